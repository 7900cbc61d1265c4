//! From data to HTML: templates that always escape, one for each page and region.

mod addresses;
mod filters;
mod templates;

pub use addresses::Addresses;
pub use filters::duration;
use templates::Templates;
pub use templates::{Reading, TemplateError};

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, context};

use crate::operation::{Record, Registry};
use crate::progress::{Content, ElementId};
use crate::projection::{Delta, Line, OwnRegion, Piece, Projection, Region, Row, Shown, whole};
use crate::stream::{Fragment, Frame, FrameBuilder, FrameRenderer, RowRenderer, Subject, Swap};

/// A time in a page's `datetime`.
const SECONDS: &str = "%Y-%m-%dT%H:%M:%SZ";

/// So many earlier attempts have a link to their logs.
const EARLIER: usize = 5;

/// So much of a log line is shown on a page, in bytes; the whole log has all of it.
const LINE_SHOWN: usize = 8 * 1024;

/// What a page's template could not be turned into.
#[derive(Debug, thiserror::Error)]
#[error("template {name:?} failed to render: {source}")]
pub struct RenderError {
    name: String,
    source: Error,
}

/// Renders pages and regions.
#[derive(Clone)]
pub struct Renderer {
    templates: Arc<Templates>,
    addresses: Addresses,
    /// The kinds that can be run again here, and whether a form starts them; any kind, without it.
    kinds: Option<Arc<HashMap<String, bool>>>,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// What belongs to the one viewer of a page, and therefore never to a fragment.
#[derive(Debug, Clone, Default)]
pub struct Personal {
    /// The subscription token; none once the operation is over.
    pub token: Option<String>,
    /// The CSRF token of the viewer's session.
    pub csrf: String,
    /// What the owner is called.
    pub owner_name: String,
    /// The title of the operation's kind.
    pub kind_title: String,
}

impl Renderer {
    /// A renderer with the embedded templates, for operations below `addresses`.
    pub fn new(addresses: Addresses) -> Self {
        Self { templates: Arc::new(Templates::embedded()), addresses, kinds: None }
    }

    /// The same, with the templates of a folder instead of the embedded ones of their names.
    ///
    /// # Errors
    /// When the folder or a template of it cannot be used.
    pub fn with_templates(self, folder: &Path, reading: Reading) -> Result<Self, TemplateError> {
        Ok(Self { templates: Arc::new(Templates::of(folder, reading)?), ..self })
    }

    /// Whether there is a template of that name.
    pub fn has(&self, name: &str) -> bool {
        self.templates.get().environment().get_template(name).is_ok()
    }

    /// The result of an operation as text, by the template `<kind>_result.txt`; none where there is no such
    /// template.
    ///
    /// # Errors
    /// When the template fails.
    pub fn result_text(&self, kind: &str, result: &serde_json::Value) -> Result<Option<String>, RenderError> {
        let name = format!("{kind}_result.txt");
        if !self.has(&name) {
            return Ok(None);
        }
        self.page(&name, context! { result => Value::from(Serde(result)) }).map(Some)
    }

    /// Offers only what these kinds allow: an operation of another one cannot be run again here, and some are not
    /// started by a form.
    pub fn with_kinds(self, kinds: &Registry) -> Self {
        let kinds = kinds.iter().map(|kind| (kind.name.clone(), kind.has_form())).collect();
        Self { kinds: Some(Arc::new(kinds)), ..self }
    }

    fn runs(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains_key(kind))
    }

    fn has_form(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.get(kind) == Some(&true))
    }

    /// Renders the page of an error, with the embedded template where the own one fails: it has to
    /// be shown whatever else is broken.
    pub(crate) fn error_page(&self, context: Value) -> Result<String, RenderError> {
        const NAME: &str = "error.html";
        self.page(NAME, context.clone()).or_else(|error| {
            tracing::error!(%error, "a page failed to render");
            let page = templates::built_in().get_template(NAME).and_then(|template| template.render(context));
            page.map_err(|source| RenderError { name: NAME.to_owned(), source })
        })
    }

    /// The addresses that pages link to.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Renders a whole page.
    ///
    /// # Errors
    /// When its template fails, which is the template's fault and not the viewer's.
    pub fn page(&self, name: &str, context: Value) -> Result<String, RenderError> {
        self.templates
            .get()
            .environment()
            .get_template(name)
            .and_then(|template| template.render(context))
            .map_err(|source| RenderError { name: name.to_owned(), source })
    }

    /// What the container of `op` needs in its page's head: stylesheet, script, the CSRF token, and a refresh where there are no
    /// scripts.
    ///
    /// # Errors
    /// When its template fails.
    pub(crate) fn live_head(&self, op: &Value) -> Result<String, RenderError> {
        templates::live_head(self.templates.get().environment(), op)
            .map_err(|source| RenderError { name: "live_head.html".to_owned(), source })
    }

    /// The container of `op` with its present state inside.
    ///
    /// # Errors
    /// When its template fails.
    pub(crate) fn live_operation(&self, op: &Value) -> Result<String, RenderError> {
        templates::live_operation(self.templates.get().environment(), op)
            .map_err(|source| RenderError { name: "live.html".to_owned(), source })
    }

    /// Gives the templates of an application `live_head(op)` and `live_operation(op)`.
    pub(crate) fn lend_functions(&self, theirs: &mut Environment<'_>) {
        templates::lend(&self.templates, theirs);
    }

    /// What `live_operation(op)` and a page's own text need of one operation.
    pub fn operation(&self, record: &Record, projection: &Projection, personal: &Personal) -> Value {
        let subject = Subject { id: record.id, kind: record.kind.clone(), owner: record.owner.clone() };
        let regions: Vec<(String, Value)> = Region::ALL
            .into_iter()
            .map(|region| {
                let html =
                    self.region(region, &subject, projection, &projection.log().newest(), &personal.csrf);
                (region.name().replace('-', "_"), Value::from_safe_string(html))
            })
            .collect();
        let at = &self.addresses;
        let (id, state) = (record.id, projection.state());
        let ending = projection.ending();
        context! {
            id => id.to_string(),
            kind => &*record.kind,
            kind_title => &*personal.kind_title,
            title => &*record.title,
            owner => &*personal.owner_name,
            state => state.as_str(),
            word => state.word(),
            final => state.is_final(),
            attempt => projection.attempt(),
            channel => crate::access::Channel::Operation(id).to_string(),
            token => personal.token.as_deref(),
            stream_url => at.stream(),
            page_url => at.operation(id),
            list_url => at.operations(),
            log_url => at.log(id),
            earlier_logs => earlier_logs(projection.attempt(), &at.log(id)),
            log_tail => projection.log().limit(),
            next_url => ending.and_then(|ending| ending.next).map(|next| at.operation(next)),
            redirect => ending.and_then(|ending| ending.redirect.clone()),
            created => record.created.strftime(SECONDS).to_string(),
            started => record.started.map(|time| time.strftime(SECONDS).to_string()),
            finished => record.finished.map(|time| time.strftime(SECONDS).to_string()),
            reference => id.reference(),
            result => ending.and_then(|ending| ending.result.as_ref()).map(|result| Value::from(Serde(result))),
            regions => Value::from_pairs(regions),
            own => Value::from_pairs(self.places(&subject, projection)),
        }
    }

    /// What the template of a row needs.
    fn row_context(&self, row: &Row) -> Value {
        let figures: Vec<_> = row
            .figures
            .iter()
            .map(|(key, value)| context! { key, value => Value::from(Serde(value)) })
            .collect();
        context! {
            id => row.id.to_string(),
            element => row.element(),
            title => &*row.title,
            kind_title => &*row.kind_title,
            state => row.state.as_str(),
            word => row.state.word(),
            url => self.addresses.operation(row.id),
            before => row.before,
            percent => row.percent,
            summary => row.summary.as_deref(),
            figures => figures,
            created => row.created.strftime(SECONDS).to_string(),
            took_seconds => row.took_seconds,
        }
    }

    /// One region as its whole element. What fails to render says so in its place: an empty box
    /// would look like a quiet operation.
    fn region(
        &self,
        region: Region,
        subject: &Subject,
        projection: &Projection,
        log: &Shown<'_>,
        csrf: &str,
    ) -> String {
        let element = format!("op-{}", subject.id);
        let name = format!("regions/{}.html", region.name().replace('-', "_"));
        let context = self.region_context(region, &element, subject, projection, log, csrf);
        self.page(&name, context).unwrap_or_else(|error| {
            tracing::error!(operation = %subject.id, region = region.name(), %error, "a region failed to render");
            format!(
                "<div id=\"{element}-{}\" class=\"liveop-broken\">{}</div>",
                region.name(),
                templates::BROKEN
            )
        })
    }

    fn region_context(
        &self,
        region: Region,
        element: &str,
        subject: &Subject,
        projection: &Projection,
        log: &Shown<'_>,
        csrf: &str,
    ) -> Value {
        let at = &self.addresses;
        let (id, state) = (subject.id, projection.state());
        let base = context! { id => element, state => state.as_str() };
        let own = match region {
            Region::Stages => {
                let stages: Vec<_> =
                    projection.stages().iter().map(|stage| Value::from(Serde(stage))).collect();
                context! { stages }
            }
            Region::Status => {
                let status = projection.status();
                context! {
                    word => state.word(),
                    text => Some(status.text.as_str()).filter(|text| !text.is_empty()),
                    level => status.level.as_str(),
                    before => projection.before(),
                    took_seconds => projection.elapsed_seconds().filter(|_| state.is_final()),
                }
            }
            Region::Progress => {
                let bar = projection.bar();
                context! {
                    active => !state.is_final(),
                    percent => projection.overall_percent().map(whole),
                    label => bar.label().map(|label| label.as_str()),
                    unit => bar.unit().map(|unit| unit.as_str()),
                    done => bar.done(),
                    total => bar.total(),
                    ok => projection.tally().ok(),
                    skipped => projection.tally().skipped(),
                    failed => projection.tally().failed(),
                    rate => bar.rate().map(readable),
                    seconds_left => projection.seconds_left().map(f64::ceil),
                    stage => projection.stages().current_name().map(|name| name.as_str()),
                    elapsed_seconds => projection.elapsed_seconds().map(f64::floor),
                }
            }
            Region::Failures => {
                let tally = projection.tally();
                let rows: Vec<_> = tally.first_failed().iter().map(|row| Value::from(Serde(row))).collect();
                context! { total => tally.failed(), rows, url => at.failed_rows(id), final => state.is_final() }
            }
            Region::LogMore => {
                context! { total => log.total, hidden => log.hidden, url => at.log(id) }
            }
            Region::LogLines => {
                let lines: Vec<_> = log.lines.iter().map(|line| line_context(line)).collect();
                context! { lines }
            }
            Region::Result => {
                let ending = projection.ending();
                let result = ending.and_then(|ending| ending.result.as_ref());
                let result = result.map(|result| Value::from(Serde(result)));
                context! {
                    error => ending.and_then(|ending| ending.message.as_ref()).map(|message| message.as_str()),
                    op => context! { id => id.to_string(), kind => &*subject.kind, state => state.as_str(), result => &result },
                    result => result,
                    has_template => self.has(&templates::result_of(&subject.kind)),
                    redirect => ending.and_then(|ending| ending.redirect.as_ref()),
                    next_url => ending.and_then(|ending| ending.next).map(|next| at.operation(next)),
                    reference => id.to_string(),
                    new_url => self.has_form(&subject.kind).then(|| at.new_operation(&subject.kind)),
                    can_restart => self.runs(&subject.kind),
                }
            }
            Region::Extra => {
                let others =
                    projection.own().iter().filter(|region| !self.has_place(&subject.kind, region.id()));
                let html: String = others.map(|region| self.own_region(subject, region)).collect();
                context! { own => Value::from_safe_string(html) }
            }
            Region::Controls => context! {
                csrf => csrf,
                cancel_url => (!state.is_final()).then(|| at.cancel(id)),
                restart_url => (state.is_final() && self.runs(&subject.kind)).then(|| at.restart(id)),
            },
        };
        context! { ..own, ..base }
    }

    /// The regions that the container of the operation's kind has places for, rendered.
    fn places(&self, subject: &Subject, projection: &Projection) -> Vec<(String, Value)> {
        let own = projection.own().iter().filter(|region| self.has_place(&subject.kind, region.id()));
        own.map(|region| (region.id().to_string(), Value::from_safe_string(self.own_region(subject, region))))
            .collect()
    }

    /// Whether the container of that kind has a place for a region of the operation's own.
    fn has_place(&self, kind: &str, id: &ElementId) -> bool {
        self.templates.get().has_place(kind, id.as_str())
    }

    /// A region of the operation's own as its whole element.
    fn own_region(&self, subject: &Subject, region: &OwnRegion) -> String {
        let id = region.id();
        let pieces: String = region.pieces().map(|piece| self.piece(subject, id, piece)).collect();
        format!("<div id=\"op-{}-{id}\" class=\"liveop-own\">{pieces}</div>", subject.id)
    }

    /// One piece of it. It has an id, so that a repeat is harmless.
    fn piece(&self, subject: &Subject, id: &ElementId, piece: &Piece) -> String {
        let html = match &*piece.content {
            Content::Html(html) => html.as_str().into(),
            Content::Template { name, context } => {
                let name = format!("{}_{name}.html", subject.kind);
                Cow::Owned(self.page(&name, Value::from(Serde(context))).unwrap_or_else(|error| {
                    tracing::error!(operation = %subject.id, region = %id, %error, "a region failed to render");
                    format!("<p class=\"liveop-broken\">{}</p>", templates::BROKEN)
                }))
            }
        };
        format!("<div id=\"op-{}-{id}-{}\">{html}</div>", subject.id, piece.seq)
    }

    /// What is news in regions of the operation's own. One that has no place comes into the extra region,
    /// where an id that is there already is replaced.
    fn own_fragments(
        &self,
        subject: &Subject,
        projection: &Projection,
        delta: &Delta,
        frame: &mut FrameBuilder,
    ) {
        let element = format!("op-{}", subject.id);
        let is_new = delta.regions.contains(&Region::Extra);
        for change in &delta.own {
            let has_place = self.has_place(&subject.kind, &change.id);
            let own = format!("{element}-{}", change.id);
            let (id, swap, html) = match &change.append {
                // It came with the extra region.
                _ if is_new && !has_place => continue,
                Some(pieces) => {
                    let html = pieces.iter().map(|piece| self.piece(subject, &change.id, piece)).collect();
                    (own, Swap::Append, html)
                }
                None => {
                    let Some(region) = projection.own().get(change.id.as_str()) else { continue };
                    let html = self.own_region(subject, region);
                    if has_place {
                        (own, Swap::Outer, html)
                    } else {
                        (format!("{element}-extra"), Swap::Append, html)
                    }
                }
            };
            frame.fragment(&Fragment { id, swap, html });
        }
    }

    fn log_line(&self, element: &str, line: &Line) -> String {
        let context = context! { id => element, line => line_context(line) };
        self.page("regions/log_line.html", context).unwrap_or_else(|error| {
            tracing::error!(%error, "a log line failed to render");
            format!("<div id=\"{element}-log-{}\">This line could not be shown.</div>", line.seq)
        })
    }
}

impl RowRenderer for Renderer {
    fn row(&self, row: &Row) -> String {
        let html = self.page("regions/row.html", context! { row => self.row_context(row) });
        html.unwrap_or_else(|error| {
            tracing::error!(operation = %row.id, %error, "a row failed to render");
            format!(
                "<tr id=\"{}\" class=\"liveop-broken\"><td colspan=\"5\">This row could not be shown. The \
                 server's log says why.</td></tr>",
                row.element()
            )
        })
    }
}

impl FrameRenderer for Renderer {
    fn frame(&self, subject: &Subject, projection: &Projection, delta: &Delta) -> Frame {
        let id = subject.id;
        let element = format!("op-{id}");
        let mut frame = FrameBuilder::default();
        if delta.state {
            frame.state(id, projection.state());
        }
        for region in &delta.regions {
            frame.fragment(&Fragment {
                id: format!("{element}-{}", region.name()),
                swap: Swap::Outer,
                // Shared by all viewers, so there is no CSRF token in it.
                html: self.region(*region, subject, projection, &projection.log().published(), ""),
            });
        }
        if !delta.append.is_empty() {
            frame.fragment(&Fragment {
                id: format!("{element}-{}", Region::LogLines.name()),
                swap: Swap::Append,
                html: delta.append.iter().map(|line| self.log_line(&element, line)).collect(),
            });
        }
        self.own_fragments(subject, projection, delta, &mut frame);
        if let Some(ending) = projection.ending() {
            if let Some(next) = ending.next {
                frame.chain(id, next, &self.addresses.operation(next));
            }
            frame.end(id, ending.state, &self.addresses.operation(id), ending.redirect.as_deref());
        }
        frame.finish(delta.to)
    }
}

/// The newest logs of the attempts before this one, newest first.
fn earlier_logs(attempt: u32, log: &str) -> Vec<Value> {
    let earlier = (1..attempt).rev().take(EARLIER);
    earlier.map(|attempt| context! { attempt, url => format!("{log}?attempt={attempt}") }).collect()
}

fn line_context(line: &Line) -> Value {
    context! {
        seq => line.seq,
        time => line.at.strftime("%H:%M:%S").to_string(),
        at => line.at.strftime(SECONDS).to_string(),
        level => line.level.as_str(),
        text => shown(line.text.as_str()),
    }
}

/// As much of a log line as a page shows. A tail of the longest lines would be larger than any page
/// that a browser, or the server, should have to hold.
fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_SHOWN {
        return text.into();
    }
    let (shown, rest) = text.split_at(text.floor_char_boundary(LINE_SHOWN));
    format!("{shown}… ({} more bytes in the whole log)", rest.len()).into()
}

/// A rate with as many digits as mean something.
fn readable(rate: f64) -> f64 {
    if rate >= 10.0 { rate.round() } else { (rate * 10.0).round() / 10.0 }
}

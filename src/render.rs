//! From data to HTML: templates that always escape, one for each page and region.

mod addresses;
mod filters;
mod own;
mod region;
mod templates;

pub use addresses::Addresses;
pub use filters::duration;
use templates::Templates;
pub use templates::{Reading, TemplateError};

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, context};

use crate::operation::{Field, Kind, Record, Registry};
use crate::projection::{Delta, Projection, Region, Row};
use crate::stream::{Fragment, Frame, FrameBuilder, FrameRenderer, RowRenderer, Subject, Swap};

/// A time in a page's `datetime`.
pub(crate) const SECONDS: &str = "%Y-%m-%dT%H:%M:%SZ";

/// So many earlier attempts have a link to their logs.
const EARLIER: usize = 5;

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
    /// The kinds that can be run again here, and what starts them; any kind, without it.
    kinds: Option<Arc<HashMap<String, Starts>>>,
}

/// What starts the operations of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Starts {
    /// No form.
    Code,
    /// A form.
    Form,
    /// A form that asks for a file.
    File,
}

impl Starts {
    fn of(kind: &Kind) -> Self {
        match (kind.has_form(), kind.fields.iter().any(Field::is_file)) {
            (false, _) => Self::Code,
            (true, false) => Self::Form,
            (true, true) => Self::File,
        }
    }
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// What belongs to the one viewer of a page, and therefore never to a fragment. `Debug` does not show the tokens.
#[derive(Clone, Default)]
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

impl std::fmt::Debug for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Personal")
            .field("owner_name", &self.owner_name)
            .field("kind_title", &self.kind_title)
            .finish_non_exhaustive()
    }
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
        let kinds = kinds.iter().map(|kind| (kind.name.clone(), Starts::of(kind))).collect();
        Self { kinds: Some(Arc::new(kinds)), ..self }
    }

    /// The templates right in the folder that are called like none that is asked for: misspelt, most often. What is there to
    /// be included begins with `_` or is in a folder of its own.
    pub(crate) fn strangers(&self) -> BTreeSet<String> {
        let is_of_kind = |name: &str| {
            let kinds = self.kinds.iter().flat_map(|kinds| kinds.keys());
            kinds.filter_map(|kind| name.strip_prefix(kind.as_str())).any(|rest| rest.starts_with(['_', '.']))
        };
        let set = self.templates.get();
        let is_part = |name: &str| name.starts_with('_') || name.contains('/');
        let strangers = set.own().filter(|name| !is_part(name) && !is_of_kind(name)).map(str::to_owned);
        strangers.collect::<BTreeSet<_>>()
    }

    /// The templates with a `live_region` that is in none of `<kind>_live.html`.
    pub(crate) fn misplaced(&self) -> BTreeSet<String> {
        self.templates.get().misplaced().map(str::to_owned).collect()
    }

    fn runs(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains_key(kind))
    }

    fn has_form(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.get(kind).is_some_and(|starts| *starts != Starts::Code))
    }

    /// Whether a form with a file starts it: where it failed, another file is the likely remedy.
    fn asks_for_file(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_some_and(|kinds| kinds.get(kind) == Some(&Starts::File))
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
            url => self.addresses.page(row.id),
            before => row.before,
            percent => row.percent,
            summary => row.summary.as_deref(),
            figures => figures,
            next_url => row.next.map(|next| self.addresses.page(next)),
            created => row.created.strftime(SECONDS).to_string(),
            since => row.since.map(|since| since.strftime(SECONDS).to_string()),
            took_seconds => row.took_seconds,
        }
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
            frame.end(id, ending.state, &self.addresses.page(id), ending.redirect.as_deref());
        }
        frame.finish(delta.to)
    }
}

/// The newest logs of the attempts before this one, newest first.
fn earlier_logs(attempt: u32, log: &str) -> Vec<Value> {
    let earlier = (1..attempt).rev().take(EARLIER);
    earlier.map(|attempt| context! { attempt, url => format!("{log}?attempt={attempt}") }).collect()
}

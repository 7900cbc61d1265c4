//! What people look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use minijinja::context;
use minijinja::value::{Serde, Value};

use super::App;
use super::body::Posted;
use super::commands::SUBMISSION;
use super::error::Refusal;
use super::layout::layout;
use super::segment::Segment;
use crate::access::{Viewer, random_text};
use crate::live::Download;
use crate::operation::{FieldError, Kind, OperationId, Record, Submitted, size};
use crate::progress::Level;
use crate::projection::Line;
use crate::render::SECONDS;

/// The kinds that can be started.
pub(super) async fn catalogue(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
) -> Result<Html<String>, Refusal> {
    let renderer = app.live.renderer();
    let mut latest = app.live.latest(&viewer).await?;
    let kinds = app.live.kinds_for(&viewer).filter(|kind| kind.has_form()).map(|kind| {
        let last = latest.remove(&kind.name).map(|record| {
            let (state, word) = (record.state.as_str(), record.state.word());
            let url = app.live.renderer().addresses().page(record.id);
            context! { state, word, url, created => record.created.strftime(SECONDS).to_string() }
        });
        context! { last, group => kind.group.as_deref(), ..about(&app, kind) }
    });
    let kinds: Vec<_> = kinds.collect();
    let context = context! { kinds, now => now(&app), ..layout(&app, Some(&viewer), "new") };
    Ok(Html(renderer.page("catalogue.html", context)?))
}

/// What time it is here, for a page that tells how long ago something was: its reader's clock may be wrong.
pub(super) fn now(app: &App) -> String {
    app.live.now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn about(app: &App, kind: &Kind) -> Value {
    context! {
        name => &*kind.name,
        title => &*kind.title,
        description => &*kind.description,
        url => app.live.renderer().addresses().new_operation(&kind.name),
    }
}

/// The kind of that name, where the viewer may start it by a form.
pub(super) fn with_form<'a>(app: &'a App, viewer: &Viewer, name: &str) -> Result<&'a Kind, Refusal> {
    app.live.kind_for(viewer, name).filter(|kind| kind.has_form()).ok_or(Refusal::NotFound)
}

/// A kind's form, as it is shown first or again.
pub(super) struct FormPage<'a> {
    pub(super) kind: &'a Kind,
    /// What was typed, where it is shown again.
    pub(super) values: Option<&'a Posted>,
    /// What it is filled in from, where it is not.
    pub(super) from: Option<&'a Record>,
    pub(super) errors: &'a [FieldError],
    pub(super) general: Option<String>,
}

pub(super) async fn form(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(kind): Segment,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, Refusal> {
    let kind = with_form(&app, &viewer, &kind)?;
    // One that is not there, not theirs or of another kind is passed over, all in the same way.
    let from = match query.get("from").and_then(|id| id.parse().ok()) {
        Some(id) => app.live.owned(&viewer, id).await?.filter(|record| record.kind == kind.name),
        None => None,
    };
    let page = FormPage { kind, values: None, from: from.as_ref(), errors: &[], general: None };
    render_form(&app, &viewer, &page)
}

pub(super) fn render_form(app: &App, viewer: &Viewer, page: &FormPage<'_>) -> Result<Html<String>, Refusal> {
    let mut multipart = false;
    let mut is_filled = false;
    let fields: Vec<_> = page
        .kind
        .fields
        .iter()
        .map(|field| {
            multipart |= field.is_file();
            let stored = page.from.and_then(|record| field.typed(record.input.get(&*field.name)?));
            is_filled |= stored.is_some();
            let value = match page.values {
                None => stored.as_deref().unwrap_or(&field.default),
                // A file has to be chosen again: browsers take no value for it.
                Some(_) if field.is_file() => "",
                Some(posted) => posted.text(&field.name).unwrap_or(""),
            };
            let error =
                page.errors.iter().find(|error| error.field == field.name).map(|error| &error.message);
            let sent = page.values.and_then(|posted| posted.values.get(&*field.name));
            let lost = match sent {
                Some(Submitted::File(upload)) if error.is_none() => Some(&upload.name),
                _ => None,
            };
            let required = field.needs_value();
            let pattern = field.browser_pattern();
            let limit = field.largest_file(app.live.max_upload_bytes());
            let limit = limit.map(|bytes| context! { bytes, text => size(bytes) });
            context! { value, error, lost, required, pattern, limit, ..Value::from(Serde(field)) }
        })
        .collect();
    let from = page.from.filter(|_| is_filled).map(|record| {
        let url = app.live.renderer().addresses().page(record.id);
        context! { title => &*record.title, url }
    });
    let context = context! {
        kind => about(app, page.kind),
        from,
        action => app.live.renderer().addresses().new_operation(&page.kind.name),
        // A form that is shown again is the same one.
        submission => page.values.and_then(|posted| posted.text(SUBMISSION)).map_or_else(random_text, str::to_owned),
        multipart => multipart,
        fields => fields,
        error => page.general.as_deref(),
        ..layout(app, Some(viewer), "new")
    };
    let renderer = app.live.renderer();
    let own = format!("{}_form.html", page.kind.name);
    let template = if renderer.has(&own) { &own } else { "form.html" };
    Ok(Html(renderer.page(template, context)?))
}

/// The record of the id in an address, where that operation is there and the viewer's.
pub(super) async fn owned(app: &App, viewer: &Viewer, id: &str) -> Result<Record, Refusal> {
    let id = id.parse().map_err(|_| Refusal::NotFound)?;
    app.live.owned(viewer, id).await?.ok_or(Refusal::NotFound)
}

/// One operation's page.
pub(super) async fn operation(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(id): Segment,
) -> Result<Html<String>, Refusal> {
    let id = id.parse().map_err(|_| Refusal::NotFound)?;
    let page = app.live.page(&viewer, id).await?.ok_or(Refusal::NotFound)?;
    let own = format!("{}.html", page.kind());
    let name = if app.live.renderer().has(&own) { &own } else { "operation.html" };
    let context = context! { op => page, ..layout(&app, Some(&viewer), "operations") };
    Ok(Html(app.live.renderer().page(name, context)?))
}

/// A file that came in the form that started an operation.
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment((id, field)): Segment<(String, String)>,
) -> Result<Download, Refusal> {
    let record = owned(&app, &viewer, &id).await?;
    app.live.download(&record, &field).await?.ok_or(Refusal::NotFound)
}

/// The whole log of one attempt as text, read from the store bit by bit.
pub(super) async fn log(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(id): Segment,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Refusal> {
    let full = query.get("format").is_some_and(|format| format == "full");
    let lines = Lines::asked(app, viewer, &id, &query).await?;
    let body = lines.into_body(String::new(), move |line| Some(as_text(line, full)));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// The rows that failed in one attempt as CSV (RFC 4180), read from the log.
pub(super) async fn failed_rows(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(id): Segment,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Refusal> {
    let lines = Lines::asked(app, viewer, &id, &query).await?;
    let name = format!("attachment; filename=\"failed-{}.csv\"", lines.id.reference());
    let body = lines.into_body("row,reason\r\n".to_owned(), |line| {
        let (row, reason) = line.failure()?;
        Some(format!("{},{}\r\n", cell(row), cell(reason)))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

/// A cell of a CSV file. What a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV
/// injection).
fn cell(text: &str) -> String {
    // Also as wide as Chinese characters, which some programs take for the same.
    let formula = ['=', '+', '-', '@', '\t', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    let guard = if text.starts_with(formula) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// The lines of one attempt's log.
struct Lines {
    app: Arc<App>,
    viewer: Viewer,
    id: OperationId,
    attempt: u32,
    /// The number of the newest line when they were asked for: a run that goes on makes no endless answer, nor one
    /// that grows after its reader was signed out.
    last: u64,
}

impl Lines {
    /// Those of the attempt that is asked for, or of the latest one, as far as they were said by now.
    async fn asked(
        app: Arc<App>,
        viewer: Viewer,
        id: &str,
        query: &BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let Record { id, attempt: latest, .. } = owned(&app, &viewer, id).await?;
        let attempt = match query.get("attempt") {
            None => latest,
            Some(text) => text.parse().ok().filter(|n| (1..=latest).contains(n)).ok_or(Refusal::NotFound)?,
        };
        app.live.settle_log(id).await;
        let seen = app.live.view(&viewer, id).await?.ok_or(Refusal::NotFound)?.projection;
        // An attempt before that one is over.
        let last = if seen.attempt() == attempt { seen.log().total() } else { u64::MAX };
        Ok(Self { app, viewer, id, attempt, last })
    }

    /// `head`, and then what `text` makes of each line.
    fn into_body(self, head: String, text: impl Fn(&Line) -> Option<String> + Send + 'static) -> Body {
        let Self { app, viewer, id, attempt, last } = self;
        Body::from_stream(async_stream::stream! {
            if !head.is_empty() {
                yield Ok(Bytes::from(head));
            }
            let mut next = 1;
            while next <= last {
                match app.live.own_log(&viewer, id, attempt, next).await {
                    Ok(lines) => {
                        let Some(newest) = lines.last() else { break };
                        next = newest.seq + 1;
                        let asked_for = lines.iter().take_while(|line| line.seq <= last);
                        let text: String = asked_for.filter_map(&text).collect();
                        if !text.is_empty() {
                            yield Ok(Bytes::from(text));
                        }
                    }
                    Err(error) => {
                        // The connection breaks, so that a part is not taken for the whole.
                        yield Err(error);
                        break;
                    }
                }
            }
        })
    }
}

fn as_text(line: &Line, full: bool) -> String {
    let text = line.text.as_str();
    if !full {
        return format!("{text}\n");
    }
    let level = match line.level {
        Level::Info => "info   ",
        Level::Success => "success",
        Level::Warning => "warning",
        Level::Error => "error  ",
    };
    format!("{} {level} {text}\n", line.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

//! The viewer's operations, all of them or those that a filter lets through.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State as Shared};
use axum::response::Html;
use form_urlencoded::Serializer;
use minijinja::context;
use minijinja::value::Value;

use super::App;
use super::error::Refusal;
use super::layout::layout;
use super::pages::now;
use crate::access::{Channel, Viewer};
use crate::operation::State;
use crate::store::Filter;
use crate::stream::RowRenderer as _;

/// The states that a list is looked through for, those that ask for somebody first.
const STATES: [State; 6] =
    [State::Running, State::Waiting, State::Failed, State::Succeeded, State::Interrupted, State::Cancelled];

/// A page of the list. What the query asks for in vain, a state or kind that is none, is not asked for.
pub(super) async fn list(
    Shared(app): Shared<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, Refusal> {
    let kinds = app.live.listed_kinds(&viewer).await?;
    let filter = Filter {
        state: query.get("state").and_then(|name| State::from_name(name)),
        kind: query.get("kind").filter(|asked| kinds.iter().any(|(_, name)| name == *asked)).cloned(),
        ..Filter::default()
    };
    let is_filtered = filter != Filter::default();
    let asked = query.get("page");
    let mut page = asked.and_then(|page| page.parse().ok()).filter(|page| *page > 0).unwrap_or(1u32);
    let mut found = app.live.rows(&viewer, &filter, page).await?;
    if found.rows.is_empty() && page > 1 {
        page = 1;
        found = app.live.rows(&viewer, &filter, page).await?;
    }
    let renderer = app.live.renderer();
    let newest = renderer.addresses().operations();
    let at = |page: u32| address(&newest, &filter, Some(page).filter(|page| *page > 1));
    let list = context! {
        channel => Channel::User(viewer.id.clone()).to_string(),
        token => app.live.list_token(&viewer.id).as_str(),
        stream_url => renderer.addresses().stream(),
        page_url => address(&newest, &filter, asked.map(|_| page)),
        now => now(&app),
        // New operations belong on the page of the newest ones only, and whether they match is for a filter to say.
        known_only => asked.is_some() || is_filtered,
        active => found.rows.iter().any(|row| !row.state.is_final()),
    };
    let choice = |value: &str, label: &str, by: Filter| {
        context! { value, label, selected => by == filter, url => address(&newest, &by, None) }
    };
    let states: Vec<_> = STATES
        .into_iter()
        // Nothing stays in it for long: who asks for it is shown that they did.
        .chain(filter.state.filter(|state| !STATES.contains(state)))
        .map(|state| choice(state.as_str(), state.word(), Filter { state: Some(state), ..filter.clone() }))
        .collect();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(title, name)| choice(name, title, Filter { kind: Some(name.clone()), ..filter.clone() }))
        .collect();
    let any_state = choice("", "All", Filter { state: None, ..filter.clone() });
    let any_kind = choice("", "All kinds", Filter { kind: None, ..filter.clone() });
    let rows: Vec<_> = found.rows.iter().map(|row| Value::from_safe_string(renderer.row(row))).collect();
    let context = context! {
        list,
        rows,
        filter => context! { any_state, states, any_kind, kinds, set => is_filtered },
        newer_url => (page > 1).then(|| at(page - 1)),
        older_url => found.more.then(|| at(page.saturating_add(1))),
        ..layout(&app, Some(&viewer), "operations")
    };
    Ok(Html(renderer.page("operations.html", context)?))
}

/// The address of a page of the filtered list.
fn address(list: &str, filter: &Filter, page: Option<u32>) -> String {
    let mut query = Serializer::new(String::new());
    if let Some(state) = filter.state {
        query.append_pair("state", state.as_str());
    }
    if let Some(kind) = &filter.kind {
        query.append_pair("kind", kind);
    }
    if let Some(page) = page {
        query.append_pair("page", &page.to_string());
    }
    let query = query.finish();
    if query.is_empty() { list.to_owned() } else { format!("{list}?{query}") }
}

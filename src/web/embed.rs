//! Operations in the pages of an application.

use minijinja::value::Value;
use minijinja::{Environment, context};
use serde::{Serialize, Serializer};

use super::assets::ASSETS;
use super::csrf::Csrf;
use crate::access::Viewer;
use crate::live::{Chain, LiveOps, Snapshot};
use crate::operation::{Field, OperationId, Record};
use crate::render::{Addresses, Personal, RenderError, Renderer};
use crate::store::StoreResult;

/// So many characters of a value are shown on its operation's page.
const SHOWN: usize = 300;

/// An operation as one viewer's page shows it: `op` in templates.
///
/// It holds the viewer's tokens, so it belongs into an answer to that viewer only, which nobody caches.
#[derive(Clone)]
pub struct OperationPage {
    op: Value,
    kind: String,
    renderer: Renderer,
}

impl std::fmt::Debug for OperationPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the tokens.
        f.debug_struct("OperationPage").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl OperationPage {
    /// The name of the operation's kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What belongs into the page's `<head>`: stylesheet, scripts, the viewer's CSRF token in a `<meta>`, and a refresh for
    /// browsers without scripts. The same as `live_head(op)` in a template.
    ///
    /// # Errors
    /// When a template of [`LiveOpsBuilder::templates`](crate::LiveOpsBuilder::templates) fails.
    pub fn head(&self) -> Result<String, RenderError> {
        self.renderer.live_head(&self.op)
    }

    /// The live container with the operation's present state inside. The same as `live_operation(op)` in a template.
    ///
    /// # Errors
    /// When a template of [`LiveOpsBuilder::templates`](crate::LiveOpsBuilder::templates) fails.
    pub fn operation(&self) -> Result<String, RenderError> {
        self.renderer.live_operation(&self.op)
    }
}

impl From<OperationPage> for Value {
    fn from(page: OperationPage) -> Self {
        page.op
    }
}

impl From<&OperationPage> for Value {
    fn from(page: &OperationPage) -> Self {
        page.op.clone()
    }
}

impl Serialize for OperationPage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.op.serialize(serializer)
    }
}

impl LiveOps {
    /// The viewer's operation for a page of the application's own; none when it is not theirs or not there. What
    /// [`WebOptions::required_group`](super::WebOptions::required_group) asks for is for the application to check.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page(&self, viewer: &Viewer, id: OperationId) -> StoreResult<Option<OperationPage>> {
        let Some(Snapshot { record, projection }) = self.view(viewer, id).await? else { return Ok(None) };
        let chain = self.chain(&record).await?;
        let over = projection.state().is_final();
        let kind = self.kind(&record.kind);
        let personal = Personal {
            token: (!over).then(|| self.subscription_token(&viewer.id, id).as_str().to_owned()),
            // It only signs here.
            csrf: Csrf::new(self.secret(), &[], None).token(viewer),
            owner_name: viewer.name.clone(),
            kind_title: kind.map_or_else(|| record.kind.clone(), |kind| kind.title.clone()),
        };
        let renderer = self.renderer().clone();
        let at = renderer.addresses();
        let mut files = Vec::new();
        for file in self.sent_files(&record).await? {
            if let Some(size) = file.size().await {
                files.push(context! { name => file.name, url => at.upload(id, &file.field), size });
            }
        }
        let op = context! {
            csrf => &*personal.csrf,
            site => context! { css => at.at(&ASSETS.css()), js => at.at(&ASSETS.js()), page_js => at.at(&ASSETS.page()) },
            chain => breadcrumb(&chain, &record, at),
            files,
            input => kind.map(|kind| input(&kind.fields, &record.input)).unwrap_or_default(),
            // Of now, and not of the last change: a quiet operation takes its time too.
            elapsed_seconds => (!over).then(|| projection.seconds_until(self.now())).flatten().map(f64::floor),
            ..renderer.operation(&record, &projection, &personal)
        };
        Ok(Some(OperationPage { op, kind: record.kind, renderer }))
    }

    /// Gives an application's templates the functions `live_head(op)` and `live_operation(op)`, where `op` is an
    /// [`OperationPage`] in the context. The environment is of the minijinja that liveops uses, version 3; with any other
    /// engine, use [`OperationPage::head`] and [`OperationPage::operation`].
    pub fn add_to(&self, templates: &mut Environment<'_>) {
        self.renderer().lend_functions(templates);
    }
}

/// What it was started with, as far as its form asks for it; what else is in the input is nobody's business.
fn input(fields: &[Field], given: &serde_json::Value) -> Vec<Value> {
    let told = fields.iter().filter_map(|field| {
        let words = field.in_words(given.get(&*field.name)?)?;
        let value = match words.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", words[..end].trim_end()),
            None => words,
        };
        Some(context! { label => &*field.label, value })
    });
    told.collect()
}

/// The operation among those that it is in a chain with; none where it is on its own.
fn breadcrumb(chain: &Chain, record: &Record, at: &Addresses) -> Option<Value> {
    let Chain { before, after, begins_earlier, goes_on } = chain;
    let is_alone = before.is_empty() && after.is_empty() && !begins_earlier && !goes_on;
    let link = |link: &Record, is_current: bool| {
        context! {
            title => &*link.title,
            url => (!is_current).then(|| at.page(link.id)),
            state => link.state.as_str(),
            word => link.state.word(),
        }
    };
    let before = before.iter().map(|before| link(before, false));
    let after = after.iter().map(|after| link(after, false));
    let links: Vec<_> = before.chain([link(record, true)]).chain(after).collect();
    (!is_alone).then(|| context! { links, begins_earlier, goes_on })
}

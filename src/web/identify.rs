//! Who asks: the host's sessions behind one trait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::{OriginalUri, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::{NoStream, Refusal};
use crate::access::Viewer;

/// The viewer could not be looked up: the database is down, say.
pub type IdentifyError = Box<dyn std::error::Error + Send + Sync>;

/// Says who makes a request. Every page, command and stream of operations asks it, and belongs to
/// whomever it names: the whole of access rests on the answer, so it has to come from a session
/// that the server itself can vouch for, never from what the request merely claims.
#[async_trait]
pub trait Identify: Send + Sync + 'static {
    /// The signed-in viewer, if there is one.
    ///
    /// # Errors
    /// When that could not be found out; the request then gets 503.
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError>;

    /// Where people sign in and come back to `next`: see [`with_next`]. Without it they get 401.
    fn sign_in(&self, next: &str) -> Option<String> {
        let _ = next;
        None
    }
}

/// The address of a sign-in that leads back to `next` afterwards, for [`Identify::sign_in`].
///
/// ```
/// let address = liveops::web::with_next("/login", "/live/operations?state=failed&kind=a");
/// assert_eq!(address, "/login?next=%2Flive%2Foperations%3Fstate%3Dfailed%26kind%3Da");
/// assert_eq!(liveops::web::with_next("/login?lang=de", "/x"), "/login?lang=de&next=%2Fx");
/// ```
pub fn with_next(sign_in: &str, next: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
    let sign = if sign_in.contains('?') { '&' } else { '?' };
    format!("{sign_in}{sign}{query}")
}

/// Lets signed-in viewers pass, and sends others to sign in; what a script asked for, and streams,
/// get 401 instead.
pub(super) async fn require_viewer(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked { at: Instant::now(), endings: app.live.stream_endings() };
    let viewer = match identify(&app, &parts).await {
        Ok(viewer) => viewer,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(viewer) = viewer else { return signed_out(&app, &parts).into_response() };
    let mut request = Request::from_parts(parts, body);
    tracing::Span::current().record("user", &viewer.id);
    request.extensions_mut().insert(viewer.clone());
    request.extensions_mut().insert(asked);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(viewer);
    response
}

/// What is known of a session is as good as asked anew for so long; streams are ended within it too.
const FRESH: Duration = Duration::from_secs(1);

/// The moment at which it was asked who the viewer is.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    endings: u64,
}

/// Who the viewer of a request is even now. A command whose body took long to read is not carried out for somebody who was signed
/// out, removed or put out of the group meanwhile; and whoever ended a session a moment before its stream could be ended did not
/// find that. What other processes end is noticed of open streams.
pub(super) async fn again(app: &App, parts: &Parts, viewer: Viewer) -> Result<Viewer, Refusal> {
    let asked = parts.extensions.get::<Asked>();
    if asked.is_some_and(|asked| asked.at.elapsed() < FRESH && asked.endings == app.live.stream_endings()) {
        return Ok(viewer);
    }
    let now = identify(app, parts).await?;
    let now = now.filter(|now| now.id == viewer.id && now.session == viewer.session);
    let now = now.ok_or_else(|| signed_out(app, parts))?;
    match &app.required_group {
        Some(group) if !now.passes(Some(group)) => Err(Refusal::NotMember(group.clone())),
        _ => Ok(now),
    }
}

async fn identify(app: &App, parts: &Parts) -> Result<Option<Viewer>, Refusal> {
    let viewer = app.identify.identify(parts).await.map_err(|error| {
        tracing::error!(error, "the viewer could not be identified");
        Refusal::Unavailable
    })?;
    // Nobody's id is what operations have that are being removed.
    if viewer.as_ref().is_some_and(|viewer| viewer.id.is_empty()) {
        tracing::error!("a viewer with an empty id is nobody: see Identify");
        return Ok(None);
    }
    Ok(viewer)
}

/// Lets members of the required group pass, and superusers.
pub(super) async fn require_group(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(group) = app.required_group.as_deref() else { return next.run(request).await };
    match request.extensions().get::<Viewer>() {
        Some(viewer) if viewer.passes(Some(group)) => next.run(request).await,
        _ if is_stream(&app, request.uri().path()) => NoStream::Refused.into_response(),
        _ => Refusal::NotMember(group.to_owned()).into_response(),
    }
}

/// The address of a request as it came: a host's router takes what it is nested under away.
pub(super) fn original<'a>(extensions: &'a Extensions, uri: &'a Uri) -> &'a Uri {
    extensions.get::<OriginalUri>().map_or(uri, |OriginalUri(uri)| uri)
}

fn signed_out(app: &App, parts: &Parts) -> Refusal {
    let uri = original(&parts.extensions, &parts.uri);
    let path = uri.path();
    if !is_scripted(parts) && !is_stream(app, path) {
        // Whoever posted a command comes back to its page, since the command cannot be repeated.
        let page = match path.strip_suffix("/cancel").or_else(|| path.strip_suffix("/restart")) {
            Some(page) => page,
            None if matches!(parts.method, Method::GET | Method::HEAD) => {
                uri.path_and_query().map_or(path, |whole| whole.as_str())
            }
            None => path,
        };
        return Refusal::SignedOut(app.identify.sign_in(page));
    }
    Refusal::SignedOut(None)
}

fn is_stream(app: &App, path: &str) -> bool {
    path == "/stream" || path == app.live.renderer().addresses().stream()
}

/// Whether our script asked, which wants statuses rather than pages to go to.
pub(super) fn is_scripted(parts: &Parts) -> bool {
    parts.headers.get("x-liveops").is_some_and(|value| value == "1")
}

//! Each request by an id of its own, in the log and in its answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{App, client};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a proxy.
const LONGEST: usize = 64;

/// The id of a request, which people can name to whoever reads the log.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Gives the request an id, unless a trusted proxy gave it one; everything that is logged while it is answered carries it. Of the
/// address only the route's pattern is named: tokens and links are secrets.
pub(super) async fn trace(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = given(&app, &request).unwrap_or_else(|| Uuid::new_v4().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method, route, user = tracing::field::Empty);
    let begin = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, seconds) = (response.status().as_u16(), begin.elapsed().as_secs_f64());
    let labels =
        [("route", route.to_owned()), ("method", known(&method).to_owned()), ("status", status.to_string())];
    metrics::histogram!("liveops_request_seconds", &labels).record(seconds);
    span.in_scope(|| {
        if response.status().is_server_error() {
            tracing::warn!(status, seconds, "answered");
        } else {
            tracing::debug!(status, seconds, "answered");
        }
    });
    // What is not there, and what is somebody else's, gets the same bytes.
    let is_told = response.status() != StatusCode::NOT_FOUND;
    if let Some(value) = HeaderValue::from_str(&id).ok().filter(|_| is_told) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// A method as a label, of which there are few: anybody may send any.
fn known(method: &Method) -> &str {
    let known = [Method::GET, Method::HEAD, Method::POST].contains(method);
    if known { method.as_str() } else { "other" }
}

/// The id that a trusted proxy gave, where it is short and of harmless letters.
fn given(app: &App, request: &Request) -> Option<String> {
    if !client::is_by_proxy(&app.trusted_proxies, request.extensions()) {
        return None;
    }
    let id = request.headers().get(HEADER)?.to_str().ok()?;
    let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    ((1..=LONGEST).contains(&id.len()) && id.bytes().all(is_harmless)).then(|| id.to_owned())
}

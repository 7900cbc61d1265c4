//! Every refusal: its status, and what its page says to do next. Statuses are chosen here only.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;

use super::App;
use super::identify::original;
use super::layout::layout;
use super::requests::RequestId;
use crate::access::Viewer;
use crate::live::OpenError;
use crate::operation::is_local_path;
use crate::render::{Addresses, RenderError};
use crate::runner::panic_text;
use crate::store::StoreError;

/// Why a request was not answered as it wished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// With the way to the sign-in page, where there is one to go to.
    #[error("signed out")]
    SignedOut(Option<String>),
    #[error("The address may be mistyped, or what it shows was removed or is somebody else’s.")]
    NotFound,
    #[error(
        "This form did not come from our page, or it is from an earlier sign-in. Open the page again and send it from there."
    )]
    ForeignForm,
    #[error(
        "A sign-in link works once and for ten minutes, and this one is used up or too old. Each start of liveops demo prints a new one; who has a password can sign in with that."
    )]
    DeadLink,
    #[error("What was sent cannot be read: {0}. Open the form again and send it from there.")]
    Malformed(String),
    #[error("What was sent is larger than the {0} that are taken here. Choose a smaller file.")]
    TooLarge(String),
    #[error("The form came too slowly to be waited for. Send it again.")]
    TooSlow,
    #[error("These pages are for members of the group {0:?}. Ask whoever runs this server to add you to it.")]
    NotMember(String),
    #[error("This name was tried from your address with wrong passwords too often. Wait {} and try again.", minutes(*.0))]
    TooManyTries(Duration),
    #[error("Very many people are signing in right now. Try again in a moment.")]
    TooManySignIns,
    #[error("You have as many pages open as one user may have. Close some of them.")]
    TooManyStreams,
    #[error("As many pages are open from your address as one address may have. Close some of them.")]
    CrowdedAddress,
    #[error(
        "As many of your operations wait as may: {0}. Nothing was started. Wait until some of them have run, or cancel some."
    )]
    TooManyWaiting(u32),
    #[error(
        "Forms are taken as application/x-www-form-urlencoded or multipart/form-data only. Open the form in a browser and send it from there."
    )]
    WrongType,
    #[error("This operation waits or runs already, so there is nothing to run again.")]
    NotOver,
    #[error("This server does not have this kind of operation any more, so it cannot be run again here.")]
    KindGone,
    #[error(
        "The server cannot store anything or look anything up right now. Nothing was done. Try again in a minute."
    )]
    Unavailable,
    #[error(
        "This is the server’s fault, and its log has the details. Go back and try again; if it happens again, tell whoever runs this server."
    )]
    Internal,
}

impl Refusal {
    /// What happened in a few words: a status code's own name says nothing to most people.
    fn title(&self) -> &'static str {
        match self {
            Self::SignedOut(_) => "You are signed out",
            Self::NotFound => "There is nothing here",
            Self::ForeignForm => "This form is no longer valid",
            Self::DeadLink => "This link no longer works",
            Self::Malformed(_) => "This cannot be read",
            Self::TooLarge(_) => "That is too large",
            Self::TooSlow => "That took too long",
            Self::NotMember(_) => "This is not for you",
            Self::TooManyTries(_) => "Too many tries",
            Self::TooManyStreams | Self::CrowdedAddress => "Too many pages",
            Self::TooManyWaiting(_) => "Too many operations wait",
            Self::WrongType => "This is not a form",
            Self::NotOver => "It is not over yet",
            Self::KindGone => "This cannot be run again",
            Self::TooManySignIns | Self::Unavailable => "Not now",
            Self::Internal => "Something went wrong",
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut(Some(_)) => StatusCode::SEE_OTHER,
            Self::SignedOut(None) => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::DeadLink => StatusCode::GONE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotMember(_) => StatusCode::FORBIDDEN,
            Self::TooManyTries(_) | Self::TooManyStreams | Self::CrowdedAddress | Self::TooManyWaiting(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotOver | Self::KindGone => StatusCode::CONFLICT,
            Self::TooManySignIns | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// After how many seconds it is worth trying again.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Unavailable | Self::TooManyWaiting(_) => Some(60),
            Self::TooManySignIns => Some(5),
            Self::TooManyStreams | Self::CrowdedAddress => Some(10),
            Self::TooManyTries(wait) => {
                Some(wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(600))
            }
            _ => None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if let StoreError::TooManyWaiting(most) = error {
            return Self::TooManyWaiting(most);
        }
        tracing::error!(%error, "the store failed a request");
        Self::Unavailable
    }
}

impl From<RenderError> for Refusal {
    fn from(error: RenderError) -> Self {
        tracing::error!(%error, "a page failed to render");
        Self::Internal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // It has no page: people are led on, and scripts go by the status.
        if let Self::SignedOut(address) = &self {
            return match address {
                Some(address) => Redirect::to(address).into_response(),
                None => (self.status(), format!("{self}\n")).into_response(),
            };
        }
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        // The rest of what they send is not read, so nothing can follow it.
        if matches!(self, Self::TooLarge(_) | Self::TooSlow) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a stream is not opened, in a line for whoever wrote what asks for it: nobody looks at a page there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoStream {
    /// The same for every reason, so that nothing is learned from it.
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Unclear(OpenError),
    #[error("as= is htmx or datastar, or left out")]
    UnknownDialect,
    #[error("as= is for streams of operations")]
    ListInDialect,
    #[error("a stream is opened by GET")]
    NotGet,
}

impl IntoResponse for NoStream {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Refused => StatusCode::FORBIDDEN,
            Self::Unclear(_) | Self::UnknownDialect | Self::ListInDialect => StatusCode::BAD_REQUEST,
            // It gets the page of every wrong method.
            Self::NotGet => {
                return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")]).into_response();
            }
        };
        (status, format!("{self}\n")).into_response()
    }
}

fn minutes(wait: Duration) -> String {
    match wait.as_secs().div_ceil(60) {
        0 | 1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

/// There is nothing at this address; who is signed in gets the page that everything else gets.
pub(super) async fn not_found(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let mut response = Refusal::NotFound.into_response();
    if let Ok(Some(viewer)) = app.identify.identify(&parts).await {
        response.extensions_mut().insert(viewer);
    }
    response
}

/// The answer where a handler panicked, which is a fault of ours.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives it away")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    tracing::error!(panic = panic_text(&*panic), "a request made its handler panic");
    Refusal::Internal.into_response()
}

/// What was asked for, as far as it matters to the way on from its refusal.
struct Asked {
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            method: request.method().clone(),
            uri: original(extensions, request.uri()).clone(),
            route: extensions.get().cloned(),
        }
    }

    /// Where people are led from its refusal, and how that is called. Without a refusal it was a wrong method.
    fn onward(&self, refusal: Option<&Refusal>, addresses: &Addresses) -> Option<(String, &'static str)> {
        let list = addresses.operations();
        let way = match refusal {
            // They may look at nothing else either.
            Some(Refusal::NotMember(_)) => return None,
            // It leads to the sign-in page where nobody is signed in.
            Some(Refusal::DeadLink | Refusal::TooManyTries(_) | Refusal::TooManySignIns) => {
                return Some((list, "Sign in"));
            }
            None | Some(Refusal::NotFound) => None,
            Some(Refusal::Unavailable | Refusal::Internal) if self.method != Method::POST => self.again(),
            Some(_) => self.back(addresses),
        };
        Some(way.unwrap_or((list, "Your operations")))
    }

    /// To the same page once more, as it was asked for.
    fn again(&self) -> Option<(String, &'static str)> {
        let address = self.uri.path_and_query()?.as_str();
        is_local_path(address).then(|| (address.to_owned(), "Try again"))
    }

    /// To the page with the form that was sent, which the route tells that took it; below a host's path its name has that
    /// before it.
    fn back(&self, addresses: &Addresses) -> Option<(String, &'static str)> {
        let route = self.route.as_ref().filter(|_| self.method == Method::POST)?.as_str();
        let path = self.uri.path();
        let is = |ours: &str| route.ends_with(ours);
        if is("/operations/new/{kind}") {
            Some((path.to_owned(), "Back to the form"))
        } else if is("/operations/{id}/cancel") || is("/operations/{id}/restart") {
            let id = path.rsplit('/').nth(1)?.parse().ok()?;
            Some((addresses.page(id), "Back to the operation"))
        } else if is("/login") || is("/login/link/{secret}") {
            Some((path.to_owned(), "Open it again"))
        } else {
            None
        }
    }
}

/// Gives refusals their page in the site's layout.
pub(super) async fn dress(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    let refusal = response.extensions().get::<Refusal>();
    let (title, message) = match refusal {
        Some(refusal) => (refusal.title(), refusal.to_string()),
        None if status == StatusCode::METHOD_NOT_ALLOWED => (
            "This cannot be opened like that",
            "Go back to the page before and use its own buttons.".to_owned(),
        ),
        None => return response,
    };
    let outside = matches!(refusal, Some(Refusal::NotMember(_)));
    let viewer = response.extensions().get::<Viewer>().cloned();
    let onward = asked.onward(refusal, app.live.renderer().addresses());
    let page = app.live.renderer().error_page(context! {
        status => status.as_u16(),
        title => title,
        message => message,
        links => onward.map(|(url, label)| [context! { url, label }]),
        outside => outside,
        reference => id.filter(|_| status.is_server_error()).map(|id| id.0),
        ..layout(&app, viewer.as_ref(), "")
    });
    let Ok(page) = page else { return response };
    // The refusal's own headers, such as Allow and Retry-After, stay.
    let (mut parts, _) = response.into_parts();
    // Also where the page itself is not wanted (RFC 9110 section 9.3.2).
    parts.headers.insert(header::CONTENT_LENGTH, page.len().into());
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let body = if asked.method == Method::HEAD { Body::empty() } else { Body::from(page) };
    Response::from_parts(parts, body)
}

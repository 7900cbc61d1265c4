//! Every refusal: its status, and what its page says to do next. Statuses are chosen here only.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use minijinja::context;

use super::App;
use super::identify::original;
use super::layout::layout;
use super::requests::RequestId;
use crate::access::Viewer;
use crate::render::RenderError;
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
            Self::WrongType => "This is not a form",
            Self::NotOver => "It is not over yet",
            Self::KindGone => "This cannot be run again",
            Self::TooManySignIns | Self::Unavailable => "Not now",
            Self::Internal => "Something went wrong",
        }
    }

    fn status(&self) -> StatusCode {
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
            Self::TooManyTries(_) | Self::TooManyStreams | Self::CrowdedAddress => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::WrongType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotOver | Self::KindGone => StatusCode::CONFLICT,
            Self::TooManySignIns | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// After how many seconds it is worth trying again.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Unavailable => Some(60),
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

/// Gives refusals their page in the site's layout.
pub(super) async fn dress(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let head = method == Method::HEAD;
    let id = request.extensions().get::<RequestId>().cloned();
    let path = original(request.extensions(), request.uri()).path().to_owned();
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
    let list = app.live.renderer().addresses().operations();
    let restarted = path.strip_suffix("/restart").map(str::to_owned);
    // Where the form is that was sent; what was asked for has none.
    let form = (method == Method::POST
        && path.starts_with(&app.live.renderer().addresses().new_operation("")))
    .then(|| path.clone());
    let onward = match refusal {
        // They may look at nothing else either.
        Some(Refusal::NotMember(_)) => None,
        // It leads to the sign-in page where nobody is signed in.
        Some(Refusal::DeadLink | Refusal::TooManyTries(_) | Refusal::TooManySignIns) => {
            Some((list, "Sign in"))
        }
        Some(Refusal::NotOver | Refusal::KindGone) => {
            Some((restarted.unwrap_or(list), "Back to the operation"))
        }
        Some(Refusal::Unavailable | Refusal::Internal) if method == Method::GET => Some((path, "Try again")),
        Some(Refusal::ForeignForm) if path == "/login" || path.starts_with("/login/link/") => {
            Some((path, "Open it again"))
        }
        Some(refusal) if form.is_some() && *refusal != Refusal::NotFound => {
            form.map(|form| (form, "Back to the form"))
        }
        _ => Some((list, "Your operations")),
    };
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
    let body = if head { Body::empty() } else { Body::from(page) };
    Response::from_parts(parts, body)
}

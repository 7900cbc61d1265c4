//! Headers that every answer of the binary has.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

const PROTECTION: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types liveops",
    ),
    (header::REFERRER_POLICY, "same-origin"),
];

/// Adds them, and those of [`keep_private`].
pub(super) async fn protect(request: Request, next: Next) -> Response {
    let mut response = keep_private(next.run(request).await).await;
    for (name, value) in PROTECTION {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What says nothing about caching is not cached, and types are not guessed: pages hold tokens, and logs what
/// operations said. Also in a host, whose policies are its own.
pub(super) async fn keep_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// `Allow` belongs to 405 (RFC 9110 section 10.2.1 lets others have it, but they are about something else).
pub(super) async fn allow_with_405_only(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

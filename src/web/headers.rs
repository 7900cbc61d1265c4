//! Headers that every answer of the binary has.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

/// Headers that every answer of the binary has, and what they say where a route does not say otherwise.
pub const PROTECTION: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types liveops",
    ),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
];

/// Adds them where they are not there.
pub(super) async fn protect(mut response: Response) -> Response {
    add(&mut response, &PROTECTION);
    response
}

/// What says nothing about caching is not cached, and types are not guessed: pages hold tokens, and logs what
/// operations said. Also in a host, whose policies are its own.
pub(super) async fn keep_private(mut response: Response) -> Response {
    add(&mut response, &PROTECTION[2..]);
    response
}

fn add(response: &mut Response, headers: &[(&'static str, &'static str)]) {
    for (name, value) in headers {
        let name = HeaderName::from_static(name);
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// `Allow` belongs to 405 (RFC 9110 section 10.2.1 lets others have it, but they are about something else).
pub(super) async fn allow_with_405_only(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

//! The routes that take forms, and where whoever sent one is led back to.

use axum::extract::MatchedPath;
use axum::http::Extensions;

use crate::render::Addresses;

pub(super) const LOGIN: &str = "/login";
pub(super) const LOGIN_LINK: &str = "/login/link/{secret}";
pub(super) const START: &str = "/operations/new/{kind}";
pub(super) const CANCEL: &str = "/operations/{id}/cancel";
pub(super) const RESTART: &str = "/operations/{id}/restart";

/// The route that took a request, if it has one.
#[derive(Clone)]
pub(super) struct Route(Option<MatchedPath>);

impl Route {
    pub(super) fn of(extensions: &Extensions) -> Self {
        Self(extensions.get().cloned())
    }

    /// Whether it is one of these; below a host's path its name has that before it.
    pub(super) fn is(&self, ours: &[&str]) -> bool {
        self.0.as_ref().is_some_and(|route| ours.iter().any(|ours| route.as_str().ends_with(ours)))
    }

    /// The page of the operation that a command at this path is for.
    pub(super) fn commanded(&self, path: &str, addresses: &Addresses) -> Option<String> {
        if !self.is(&[CANCEL, RESTART]) {
            return None;
        }
        let id = path.rsplit('/').nth(1)?.parse().ok()?;
        Some(addresses.page(id))
    }
}

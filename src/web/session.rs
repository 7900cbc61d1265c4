//! The binary's own sessions: a random cookie, of which the database has the digest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use jiff::Timestamp;
use tower_cookies::cookie::SameSite;
use tower_cookies::{Cookie, Cookies};

use super::identify::{Identify, IdentifyError, with_next};
use crate::access::{Viewer, random_text};
use crate::clock::{Clock, SystemClock};
use crate::operation::is_local_path;
use crate::store::{Accounts, Digest, StoreResult, User};

/// How long a session lasts.
const LIFE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The sessions of people who signed in to the binary.
#[derive(Clone)]
pub struct Sessions {
    accounts: Arc<dyn Accounts>,
    /// People come by https, so cookies never travel otherwise.
    secure: bool,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("secure", &self.secure).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sessions of these accounts; `public_url` decides whether cookies are `Secure`.
    pub fn new(accounts: Arc<dyn Accounts>, public_url: Option<&str>) -> Self {
        let https = |url: &str| url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        let secure = public_url.is_some_and(https);
        Self { accounts, secure, clock: Arc::new(SystemClock) }
    }

    /// The same by another clock.
    pub(super) fn by(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    pub(super) fn accounts(&self) -> &dyn Accounts {
        &*self.accounts
    }

    /// A new session's secret, its digest and when it ends.
    pub(super) fn fresh(&self) -> (String, Digest, Timestamp) {
        let secret = random_text();
        let digest = Digest::of(&secret);
        (secret, digest, self.clock.now() + LIFE)
    }

    /// Gives the browser its session.
    pub(super) fn hand_out(&self, cookies: &Cookies, secret: String) {
        cookies.add(self.cookie(self.name("liveops_session"), secret));
    }

    /// A user as the viewer whom they are in a session.
    pub(super) fn viewer(user: User, session: &str) -> Viewer {
        let User { id, name, groups, superuser, .. } = user;
        Viewer { id, name, groups, superuser, session: session.to_owned() }
    }

    /// Ends the session of a request, in the database and in the browser.
    pub(super) async fn end(&self, cookies: &Cookies) -> StoreResult<()> {
        if let Some(cookie) = cookies.get(&self.name("liveops_session")) {
            self.accounts.close_session(Digest::of(cookie.value())).await?;
            cookies.remove(self.cookie(self.name("liveops_session"), String::new()));
        }
        Ok(())
    }

    /// What the CSRF token of the login form is bound to, before there is a session.
    pub(super) fn visit(&self, cookies: &Cookies) -> Option<String> {
        cookies.get(&self.name("liveops_login")).map(|cookie| cookie.value().to_owned())
    }

    /// The same, begun where there is none.
    pub(super) fn begin_visit(&self, cookies: &Cookies) -> String {
        self.visit(cookies).unwrap_or_else(|| {
            let visit = random_text();
            cookies.add(self.cookie(self.name("liveops_login"), visit.clone()));
            visit
        })
    }

    /// The names of both cookies.
    pub(super) fn names(&self) -> [String; 2] {
        ["liveops_session", "liveops_login"].map(|name| self.name(name))
    }

    fn name(&self, name: &str) -> String {
        // The prefix makes browsers refuse the cookie from another host or without TLS.
        if self.secure { format!("__Host-{name}") } else { name.to_owned() }
    }

    fn cookie(&self, name: String, value: String) -> Cookie<'static> {
        Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .build()
    }
}

#[async_trait]
impl Identify for Sessions {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        let cookie =
            parts.extensions.get::<Cookies>().and_then(|cookies| cookies.get(&self.name("liveops_session")));
        let Some(cookie) = cookie else { return Ok(None) };
        let user = self.accounts.session_user(Digest::of(cookie.value()), self.clock.now()).await?;
        Ok(user.map(|user| Self::viewer(user, cookie.value())))
    }

    fn sign_in(&self, next: &str) -> Option<String> {
        if !is_page(next) {
            return Some("/login".to_owned());
        }
        Some(with_next("/login", next))
    }
}

/// Whether a path on this site is worth going to after signing in: `/logout` is no page, and `/login` was
/// left a moment ago.
pub(super) fn is_page(path: &str) -> bool {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    is_local_path(path) && !matches!(path[..end].trim_end_matches('/'), "/logout" | "/login")
}

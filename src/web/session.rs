//! The binary's own sessions: a random cookie, of which the database has the digest.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use jiff::Timestamp;
use parking_lot::Mutex;
use tower_cookies::cookie::SameSite;
use tower_cookies::{Cookie, Cookies};

use super::identify::{Identify, IdentifyError, is_scripted, with_next};
use crate::access::{Viewer, random_text};
use crate::clock::{Clock, SystemClock};
use crate::operation::is_local_path;
use crate::store::{Accounts, Digest, Session, StoreResult, User};

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long at most, however much they are used; 14 days by default.
    pub life: Duration,
    /// How long without being used, to 1 % exactly; 7 days by default.
    pub idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self { life: 14 * DAY, idle: 7 * DAY }
    }
}

impl SessionLimits {
    /// Whether a session goes on. One that is of a time to come was opened, or used, before the clock went back, and would live
    /// longer than it may: people sign in anew. So they do where the limits were lowered.
    fn allow(&self, session: &Session, now: Timestamp) -> bool {
        /// Clocks are set right now and then.
        const SLACK: Duration = Duration::from_secs(3600);
        let Session { expires, opened, used, .. } = session;
        let lives = *expires > now && *opened > now - self.life && *opened <= now + SLACK;
        let is_in_use = *used > now - self.idle && *used <= now + SLACK;
        lives && is_in_use
    }

    /// Whether it is long enough ago that a use was noted to note another one.
    fn is_worth_noting(&self, noted: Timestamp, now: Timestamp) -> bool {
        noted > now || noted <= now - self.idle / 100
    }
}

/// The sessions of people who signed in to the binary.
#[derive(Clone)]
pub struct Sessions {
    accounts: Arc<dyn Accounts>,
    /// People come by https, so cookies never travel otherwise.
    secure: bool,
    limits: SessionLimits,
    clock: Arc<dyn Clock>,
    /// Whose use is being noted right now: once is enough.
    noting: Arc<Mutex<HashSet<Digest>>>,
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
        Self {
            accounts,
            secure,
            limits: SessionLimits::default(),
            clock: Arc::new(SystemClock),
            noting: Arc::default(),
        }
    }

    /// The same with other limits.
    pub fn lasting(self, limits: SessionLimits) -> Self {
        Self { limits, ..self }
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
        (secret, digest, self.clock.now() + self.limits.life)
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

    /// Notes that a session is used. Nobody waits for that, and a store that cannot be written is no reason to refuse a page.
    fn note_use(&self, session: Digest, now: Timestamp) {
        if !self.noting.lock().insert(session) {
            return;
        }
        let (accounts, noting) = (Arc::clone(&self.accounts), Arc::clone(&self.noting));
        tokio::spawn(async move {
            if let Err(error) = accounts.touch_session(session, now).await {
                tracing::warn!(%error, "the use of a session could not be noted");
            }
            noting.lock().remove(&session);
        });
    }

    /// Ends the session of a request, in the database and in the browser.
    pub(super) async fn end(&self, cookies: &Cookies) -> StoreResult<()> {
        if let Some(cookie) = cookies.get(&self.name("liveops_session")) {
            let session = Digest::of(cookie.value());
            // First: where the database cannot be written, at least nobody goes on in this browser.
            cookies.remove(self.cookie(self.name("liveops_session"), String::new()));
            self.accounts.close_session(session).await?;
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
        let (digest, now) = (Digest::of(cookie.value()), self.clock.now());
        let session = self.accounts.session(digest).await?;
        let Some(session) = session.filter(|session| self.limits.allow(session, now)) else {
            return Ok(None);
        };
        if is_by_a_person(parts) && self.limits.is_worth_noting(session.used, now) {
            self.note_use(digest, now);
        }
        Ok(Some(Self::viewer(session.user, cookie.value())))
    }

    fn sign_in(&self, next: &str) -> Option<String> {
        if !is_page(next) {
            return Some("/login".to_owned());
        }
        Some(with_next("/login", next))
    }
}

/// Whether somebody did something: what the page's script fetches by itself, and streams, go on without anybody there.
fn is_by_a_person(parts: &Parts) -> bool {
    let is_background = parts.method.is_safe() && is_scripted(parts);
    let says = |name: &str, what: &str| parts.headers.get(name).is_some_and(|value| value == what);
    // Another site's page may load what it likes from here; a link of it that somebody followed is something else.
    let is_own = !parts.headers.contains_key("sec-fetch-site")
        || says("sec-fetch-site", "same-origin")
        || says("sec-fetch-site", "none")
        || (parts.method.is_safe() && says("sec-fetch-mode", "navigate"));
    !is_background && is_own && !parts.uri.path().ends_with("/stream")
}

/// Whether a path on this site is worth going to after signing in: `/logout` is no page, and `/login` was
/// left a moment ago.
pub(super) fn is_page(path: &str) -> bool {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    is_local_path(path) && !matches!(path[..end].trim_end_matches('/'), "/logout" | "/login")
}

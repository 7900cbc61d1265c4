//! Signing in and out of the binary.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{FromRef, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use minijinja::context;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tower_cookies::Cookies;
use tracing::Instrument as _;

use super::App;
use super::body::{Posted, Reading, read_command};
use super::checks::PasswordChecks;
use super::client;
use super::error::Refusal;
use super::layout::layout;
use super::segment::Segment;
use super::session::{Sessions, is_page};
use super::throttle::{Account, Throttle};
use crate::access::{Password, Viewer};
use crate::store::{Digest, User};

/// What the sign-in pages share.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) app: Arc<App>,
    pub(super) sessions: Sessions,
    pub(super) checks: PasswordChecks,
    pub(super) throttle: Arc<Throttle>,
}

impl FromRef<Login> for Arc<App> {
    fn from_ref(login: &Login) -> Self {
        Arc::clone(&login.app)
    }
}

/// The form for name and password.
pub(super) async fn form(
    State(login): State<Login>,
    cookies: Cookies,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, Refusal> {
    let next = query.get("next").filter(|next| is_page(next)).map_or("", String::as_str);
    login.render_form(&cookies, next, "", None)
}

/// Checks name and password, and begins a session.
pub(super) async fn sign_in(
    State(login): State<Login>,
    cookies: Cookies,
    request: Request,
) -> Result<Response, Refusal> {
    let client = client::address(&login.app.trusted_proxies, request.extensions(), request.headers());
    let posted = login.read(&cookies, request).await?;
    let name = posted.text("username").unwrap_or("");
    let next = posted.text("next").filter(|next| is_page(next)).unwrap_or("");
    let password = Password::new(posted.text("password").unwrap_or(""));
    let account = Account::new(name, client);
    // Counted before the check, so that many at once are not checked more often.
    login.throttle.count(account, Instant::now()).map_err(Refusal::TooManyTries)?;
    let signed_in = login.open_session(client, name, password).await;
    // What could not be checked was no wrong try.
    let Some((user, secret)) = signed_in.inspect_err(|_| login.throttle.take_back(account))? else {
        tracing::info!(%client, "a wrong name or password");
        metrics::counter!("liveops_logins_failed_total").increment(1);
        let wrong = "This name and password do not go together.";
        let page = login.render_form(&cookies, next, name, Some(wrong))?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    login.throttle.forget(account);
    login.sessions.end(&cookies).await?;
    login.sessions.hand_out(&cookies, secret);
    tracing::info!(user = user.id, "signed in");
    let next = if next.is_empty() { "/" } else { next };
    Ok(Redirect::to(&utf8_percent_encode(next, RAW).to_string()).into_response())
}

/// What an address in a header is written without (URL standard, section 1.3: the query's set, which holds the path's but for
/// two); what is escaped already stays as it is.
const RAW: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// The button behind a login link: mail and chat scanners follow links, but press no buttons.
pub(super) async fn link(
    State(login): State<Login>,
    cookies: Cookies,
    Segment(secret): Segment,
) -> Result<Html<String>, Refusal> {
    let csrf = login.app.csrf.visit_token(&login.sessions.begin_visit(&cookies));
    let action = format!("/login/link/{}", link_secret(&secret)?);
    let context = context! { csrf, action, ..layout(&login.app, None, "") };
    Ok(Html(login.app.live.renderer().page("login_link.html", context)?))
}

/// Uses the link up and begins a session.
pub(super) async fn follow_link(
    State(login): State<Login>,
    cookies: Cookies,
    Segment(secret): Segment,
    request: Request,
) -> Result<Response, Refusal> {
    let link = Digest::of(link_secret(&secret)?);
    login.read(&cookies, request).await?;
    let (secret, digest, expires) = login.sessions.fresh();
    let now = login.app.live.clock().now();
    if !login.sessions.accounts().use_login_link(link, digest, expires, now).await? {
        return Err(Refusal::DeadLink);
    }
    login.sessions.end(&cookies).await?;
    login.sessions.hand_out(&cookies, secret);
    tracing::info!("signed in by a link");
    Ok(Redirect::to("/").into_response())
}

/// Ends the session, here and in the browser.
pub(super) async fn logout(
    State(login): State<Login>,
    Extension(viewer): Extension<Viewer>,
    cookies: Cookies,
    request: Request,
) -> Result<Response, Refusal> {
    let viewer = read_command(&login.app, viewer, request).await?;
    // A task of its own: a client that goes away now must not keep its streams.
    let ended = tokio::spawn(
        async move {
            login.sessions.end(&cookies).await?;
            login.app.live.end_streams(&viewer.session);
            tracing::info!(user = viewer.id, "signed out");
            Ok::<(), Refusal>(())
        }
        .in_current_span(),
    );
    ended.await.map_err(|_| Refusal::Internal)??;
    Ok(Redirect::to("/login").into_response())
}

impl Login {
    /// Opens a session for whoever has this name and password, if anybody has.
    async fn open_session(
        &self,
        client: IpAddr,
        name: &str,
        password: Password,
    ) -> Result<Option<(User, String)>, Refusal> {
        let accounts = self.sessions.accounts();
        let user = accounts.user_by_name(name).await?;
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let right = self.checks.is_right(client, password, hash).await?;
        let Some(user) = user.filter(|_| right) else { return Ok(None) };
        let (secret, digest, expires) = self.sessions.fresh();
        let now = self.app.live.clock().now();
        let opened = accounts.open_session(digest, &user, expires, now).await?;
        Ok(opened.then_some((user, secret)))
    }

    fn render_form(
        &self,
        cookies: &Cookies,
        next: &str,
        username: &str,
        error: Option<&str>,
    ) -> Result<Html<String>, Refusal> {
        let csrf = self.app.csrf.visit_token(&self.sessions.begin_visit(cookies));
        let context =
            context! { csrf, action => "/login", next, username, error, ..layout(&self.app, None, "") };
        Ok(Html(self.app.live.renderer().page("login.html", context)?))
    }

    /// A form of somebody who has no session yet; its token is bound to a cookie that the form set.
    async fn read(&self, cookies: &Cookies, request: Request) -> Result<Posted, Refusal> {
        const LIMIT: u64 = 64 * 1024;
        self.app.csrf.check_source(request.headers())?;
        let visit = self.sessions.visit(cookies);
        let genuine =
            |token: &str| visit.as_deref().is_some_and(|visit| self.app.csrf.is_of_visit(token, visit));
        let uploads = self.app.live.uploads();
        let reading = Reading { genuine: &genuine, fields: &[], uploads, limit: LIMIT };
        Ok(reading.read(request).await?.1)
    }
}

/// Only what one of our secrets can look like.
fn link_secret(secret: &str) -> Result<&str, Refusal> {
    let ours = secret.len() == 43
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if ours { Ok(secret) } else { Err(Refusal::NotFound) }
}

//! Every address over HTTP, on one page.

mod assets;
mod attachment;
mod body;
mod checks;
mod client;
mod commands;
mod cookies;
mod csrf;
mod dialect;
mod embed;
mod error;
mod headers;
mod health;
mod identify;
mod layout;
mod list;
mod login;
mod metrics;
mod pages;
mod requests;
mod segment;
mod seldom;
mod session;
mod standing;
mod stream;
mod throttle;

pub use self::metrics::metrics;
pub use embed::OperationPage;
pub use headers::PROTECTION;
pub use identify::{Identify, IdentifyError, with_next};
pub use session::{SessionLimits, Sessions};

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_request_with_state, map_response};
use axum::response::Redirect;
use axum::routing::{get, post};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tower_cookies::CookieManagerLayer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::live::LiveOps;
use crate::store::Accounts;
use crate::upkeep::keep_up;
use csrf::Csrf;

/// What the handlers share.
struct App {
    live: LiveOps,
    identify: Box<dyn Identify>,
    csrf: Csrf,
    required_group: Option<String>,
    home: Option<Home>,
    /// There are sign-out and catalogue too, which hosts have pages of their own for.
    is_site: bool,
    trusted_proxies: Vec<IpNet>,
    /// When an address with too many streams was last told of.
    crowd_told: seldom::Seldom,
    shutdown: CancellationToken,
    probe: health::Probe,
}

/// The start page of an application, which our pages lead back to.
#[derive(Debug, Clone)]
pub struct Home {
    /// What it is called, in the header.
    pub name: String,
    /// Where it is, such as `/`.
    pub url: String,
}

/// How the web side is set up.
#[derive(Debug, Clone, Default)]
pub struct WebOptions {
    /// What users type to get here, where a proxy stands in front: `https://ops.example.com`.
    pub public_url: Option<String>,
    /// Where the pages of [`router`] lead back to; without it their header leads to the list. [`site`] has a start page of its own.
    pub home: Option<Home>,
    /// Only its members get in, and superusers; without one everybody who is signed in.
    pub required_group: Option<String>,
    /// The addresses whose `X-Forwarded-For` and `X-Request-Id` are believed. The former tells where sign-ins and streams come from, and
    /// needs [`ConnectInfo`](axum::extract::ConnectInfo) of a socket address in each request.
    pub trusted_proxies: Vec<IpNet>,
    /// How long the sessions of [`site`] last; a host has its own.
    pub sessions: SessionLimits,
    /// Ends the open streams when it is cancelled; their readers come back by themselves.
    pub shutdown: CancellationToken,
}

/// The operations, their streams and the assets, for viewers whom `identify` knows: to be nested
/// where [`LiveOpsBuilder::mount`](crate::LiveOpsBuilder::mount) says, by `nest_service`. With `nest`, axum leaves the mount with
/// a slash at its end (`/live/`) to the host.
///
/// The host ends streams: an open one asks nobody again, so call [`LiveOps::end_streams`] where a session ends, and
/// [`LiveOps::end_streams_of_user`] where somebody is removed, gets another password or loses the required group. The host's
/// Content-Security-Policy has to allow `script-src 'self'`, `style-src 'self'` and `connect-src 'self'`, and with Trusted Types the
/// policy name `liveops`.
pub fn router(live: LiveOps, identify: impl Identify, options: &WebOptions) -> Router {
    let app = Arc::new(App::new(live, Box::new(identify), options));
    let list = app.live.renderer().addresses().operations();
    let router = operations(&app)
        .route("/", get(async move || Redirect::to(&list)))
        .merge(assets())
        .merge(elsewhere(&app))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(app, error::dress))
        .layer(map_response(headers::keep_private));
    without_stray_allow(router)
}

/// The whole site of the binary: [`router`] with sign-in and the catalogue. To be called within a
/// tokio runtime: a task looks after the open streams until the router is dropped.
pub fn site(live: LiveOps, accounts: Arc<dyn Accounts>, options: &WebOptions) -> Router {
    let sessions = Sessions::new(accounts, options.public_url.as_deref())
        .lasting(options.sessions)
        .by(Arc::clone(live.clock()));
    let app = App { is_site: true, ..App::new(live, Box::new(sessions.clone()), options) };
    let app = Arc::new(app);
    let standing = (Arc::downgrade(&app), sessions.clone());
    let watch = move || standing::watch(standing.0.clone(), standing.1.clone());
    tokio::spawn(keep_up("ending streams", watch));
    let login = login::Login {
        app: Arc::clone(&app),
        sessions: sessions.clone(),
        checks: checks::PasswordChecks::start(),
        throttle: Arc::default(),
    };
    let router = Router::new()
        .route("/", get(pages::catalogue))
        .layer(from_fn_with_state(Arc::clone(&app), identify::require_group))
        // Whoever may see nothing may still sign out.
        .route("/logout", post(login::logout).with_state(login.clone()))
        .layer(from_fn_with_state(Arc::clone(&app), identify::require_viewer))
        .with_state(Arc::clone(&app))
        .merge(operations(&app))
        .route("/login", get(login::form).post(login::sign_in).with_state(login.clone()))
        .route("/login/link/{secret}", get(login::link).post(login::follow_link).with_state(login))
        .merge(assets())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready).with_state(Arc::clone(&app)))
        .merge(elsewhere(&app))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(Arc::clone(&app), error::dress))
        .layer(CookieManagerLayer::new())
        .layer(map_request_with_state(sessions, cookies::only_ours))
        .layer(map_response(headers::protect))
        .layer(from_fn_with_state(app, requests::trace));
    without_stray_allow(router)
}

/// A router says what a route allows on whatever answers a wrong method, also where that is a way to the
/// sign-in page or a refusal. It does so after all layers, hence the second router around it.
fn without_stray_allow(router: Router) -> Router {
    Router::new().fallback_service(router).layer(map_response(headers::allow_with_405_only))
}

fn operations(app: &Arc<App>) -> Router {
    Router::new()
        .route("/operations", get(list::list))
        .route("/operations/new/{kind}", get(pages::form).post(commands::start))
        .route("/operations/{id}", get(pages::operation))
        .route("/operations/{id}/cancel", post(commands::cancel))
        .route("/operations/{id}/restart", post(commands::restart))
        .route("/operations/{id}/log", get(pages::log))
        .route("/operations/{id}/failed.csv", get(pages::failed_rows))
        .route("/operations/{id}/uploads/{field}", get(pages::upload))
        .route("/stream", get(stream::open).head(stream::only_get).fallback(stream::only_get))
        .layer(from_fn_with_state(Arc::clone(app), identify::require_group))
        .layer(from_fn_with_state(Arc::clone(app), identify::require_viewer))
        .with_state(Arc::clone(app))
}

/// Every other address.
fn elsewhere(app: &Arc<App>) -> Router {
    Router::new().fallback(error::not_found).with_state(Arc::clone(app))
}

fn assets() -> Router {
    Router::new().route("/assets/{name}", get(self::assets::serve))
}

impl App {
    fn new(live: LiveOps, identify: Box<dyn Identify>, options: &WebOptions) -> Self {
        let csrf = Csrf::new(live.secret(), live.fallbacks(), options.public_url.as_deref());
        Self {
            live,
            identify,
            csrf,
            required_group: options.required_group.clone(),
            home: options.home.clone(),
            trusted_proxies: options.trusted_proxies.clone(),
            crowd_told: seldom::Seldom::default(),
            shutdown: options.shutdown.clone(),
            is_site: false,
            probe: health::Probe::default(),
        }
    }
}

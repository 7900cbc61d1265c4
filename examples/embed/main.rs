//! An application with its own users, sign-in and pages gains a live import: `cargo run --example embed`, then open the
//! address that it prints and sign in as ada, whose password is lovelace.
//!
//! This file is the application as it was, but for the lines that say `live` and for its shutdown. All the rest that
//! liveops needs is in `import.rs` and, two lines, in `import.html`.

mod import;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, FromRequestParts, OptionalFromRequestParts, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use liveops::LiveOps;
use liveops::web::{self, Home, WebOptions};
use minijinja::{Environment, context};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tower_cookies::{Cookie, CookieManagerLayer, Cookies, cookie::SameSite};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The application's own policy. For live pages it has `connect-src` and the name of the Trusted Types policy.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types liveops";
const COOKIE: &str = "shop_session";

/// The application's own user.
#[derive(Clone)]
struct Clerk {
    number: u32,
    name: &'static str,
}

/// Somebody's session, by the secret in their cookie. As an argument of a handler, it leads others to the sign-in.
#[derive(Clone)]
struct Session {
    secret: String,
    csrf: String,
    clerk: Clerk,
}

#[derive(Clone, Default)]
struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

#[derive(Clone)]
struct Shop {
    sessions: Sessions,
    templates: Arc<Environment<'static>>,
    live: LiveOps,
}

pub(crate) async fn app(database: &Path, stop: CancellationToken) -> Result<(Router, LiveOps), Failure> {
    let live = import::live(database).await?;
    let mut templates = Environment::new();
    templates.add_template("home.html", include_str!("home.html"))?;
    templates.add_template("import.html", include_str!("import.html"))?;
    live.add_to(&mut templates); // live_head(op) and live_operation(op)
    let sessions = Sessions::default();
    let start = Home { name: "The shop".to_owned(), url: "/".to_owned() }; // where live pages lead back to
    let options = WebOptions { shutdown: stop, home: Some(start), ..WebOptions::default() };
    let operations = web::router(live.clone(), sessions.clone(), &options);
    let app = Router::new()
        .route("/", get(home))
        .route("/shop.css", get(async || ([(header::CONTENT_TYPE, "text/css")], include_str!("shop.css"))))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/imports", post(import::start))
        .route("/imports/{id}", get(import::show))
        .with_state(Shop { sessions, templates: Arc::new(templates), live: live.clone() })
        .nest_service("/live", operations) // the stream, the script, and pages of its own
        .layer(CookieManagerLayer::new())
        .layer(map_response(protect));
    Ok((app, live))
}

async fn home(State(shop): State<Shop>, session: Option<Session>) -> Response {
    shop.page(
        "home.html",
        context! {
            name => session.as_ref().map(|session| session.clerk.name),
            csrf => session.as_ref().map(|session| &*session.csrf),
        },
    )
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
    password: String,
}

async fn sign_in(State(shop): State<Shop>, cookies: Cookies, Form(form): Form<SignIn>) -> Response {
    // Yours asks a table of password hashes.
    if (form.name.as_str(), form.password.as_str()) != ("ada", "lovelace") {
        return (StatusCode::FORBIDDEN, "No such name and password: go back and try again.").into_response();
    }
    let (secret, csrf) = (liveops::access::random_text(), liveops::access::random_text());
    let session = Session { secret: secret.clone(), csrf, clerk: Clerk { number: 1, name: "Ada" } };
    shop.sessions.0.lock().insert(secret.clone(), session);
    let cookie = Cookie::build((COOKIE, secret)).path("/").http_only(true).same_site(SameSite::Lax);
    cookies.add(cookie.build());
    Redirect::to("/").into_response()
}

#[derive(Deserialize)]
struct SignOut {
    csrf: String,
}

async fn sign_out(
    State(shop): State<Shop>,
    session: Session,
    Form(form): Form<SignOut>,
) -> Result<Redirect, StatusCode> {
    session.sent(&form.csrf)?;
    shop.sessions.0.lock().remove(&session.secret);
    shop.live.end_streams(&session.secret); // once the session itself is over
    Ok(Redirect::to("/"))
}

impl Sessions {
    fn find(&self, parts: &Parts) -> Option<Session> {
        self.0.lock().get(parts.extensions.get::<Cookies>()?.get(COOKIE)?.value()).cloned()
    }
}

impl Session {
    /// Whether a form came from a page of this session.
    fn sent(&self, csrf: &str) -> Result<(), StatusCode> {
        if self.csrf == csrf { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }
}

impl FromRequestParts<Shop> for Session {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, shop: &Shop) -> Result<Self, Redirect> {
        shop.sessions.find(parts).ok_or_else(|| Redirect::to("/"))
    }
}

impl OptionalFromRequestParts<Shop> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shop: &Shop) -> Result<Option<Self>, Infallible> {
        Ok(shop.sessions.find(parts))
    }
}

impl Shop {
    fn page(&self, name: &str, context: minijinja::Value) -> Response {
        match self.templates.get_template(name).and_then(|template| template.render(context)) {
            Ok(html) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

async fn protect(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt::init(); // why a run failed is said here, and not to its user
    let stop = CancellationToken::new();
    let (app, live) = app(Path::new("embed.db"), stop.clone()).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stopping = async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel(); // ends the live streams, for whose connections the server would wait
    };
    axum::serve(listener, app).with_graceful_shutdown(stopping).await?;
    live.shutdown(Duration::from_secs(5)).await; // what still runs then is recorded as interrupted
    Ok(())
}

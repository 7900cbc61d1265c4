//! An application with its own users, sign-in and pages gains a live import: `cargo run --example embed`, then open the address
//! that it prints and sign in as ada, whose password is lovelace. What is marked is all that liveops needs.

use std::collections::HashMap;
use std::path::Path as File;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use liveops::store::Sqlite;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Operation, OperationId, Progress, SecretKey, Viewer};
use minijinja::{Environment, context};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tower_cookies::{Cookie, CookieManagerLayer, Cookies, cookie::SameSite};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The application's own policy; the script needs `connect-src`, and under Trusted Types the name `liveops`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types liveops";
const COOKIE: &str = "shop_session";
const HOME: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>The shop</title><main>
{% if user %}<form method="post" action="/imports"><input type="hidden" name="csrf" value="{{ csrf }}">
<label>Customers, one a line <textarea name="customers"></textarea></label><button>Import</button></form>
{% else %}<form method="post" action="/sign-in"><label>Name <input name="name"></label>
<label>Password <input name="password" type="password"></label><button>Sign in</button></form>{% endif %}</main></html>"#;
const IMPORT: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Import</title>{{ live_head(op) }}</head>
<body><form method="post" action="/sign-out"><input type="hidden" name="csrf" value="{{ csrf }}"><button>Sign out</button></form>
<main>{{ live_operation(op) }}</main></body></html>"#;

/// The application's own user.
#[derive(Clone)]
struct Customer {
    number: u32,
    name: &'static str,
}

/// A session, by the secret in its cookie.
#[derive(Clone)]
struct Session {
    secret: String,
    csrf: String,
    user: Customer,
}

#[derive(Clone)]
struct Shop {
    sessions: Arc<Mutex<HashMap<String, Session>>>,
    templates: Arc<Environment<'static>>,
    live: LiveOps,
}

// What liveops needs: the work, who the viewer is, and the wiring.

#[derive(Serialize, Deserialize)]
struct Import {
    customers: Vec<String>,
}

impl Operation for Import {
    const KIND: &'static str = "import";
    const TITLE: &'static str = "Import of customers";

    async fn run(self, p: Progress) -> liveops::Result {
        let count = self.customers.len();
        for customer in p.track(self.customers).unit("customers") {
            p.log(customer?);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        p.result(serde_json::json!({ "customers": count }))
    }
}

struct Sessions(Arc<Mutex<HashMap<String, Session>>>);

#[async_trait::async_trait]
impl Identify for Sessions {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        let cookies = parts.extensions.get::<Cookies>();
        Ok(cookies.and_then(|cookies| session(&self.0, cookies)).map(|session| session.viewer()))
    }

    fn sign_in(&self, _: &str) -> Option<String> {
        Some("/".to_owned())
    }
}

impl Session {
    fn viewer(&self) -> Viewer {
        let (id, name) = (self.user.number.to_string(), self.user.name.to_owned());
        Viewer { id, name, groups: Vec::new(), superuser: false, session: self.secret.clone() }
    }
}

pub(crate) async fn app(database: &File) -> Result<Router, Failure> {
    let live = LiveOps::builder()
        .store(Sqlite::open(database)?) // beside the application's own tables
        // One for each start; yours comes from where your secrets are.
        .secret_key(SecretKey::new(liveops::access::random_text().as_bytes())?)
        .mount("/live")
        .operation::<Import>()
        .start()
        .await?;
    let mut templates = Environment::new();
    live.add_to(&mut templates); // live_head(op) and live_operation(op)
    templates.add_template("home.html", HOME)?;
    templates.add_template("import.html", IMPORT)?;
    let sessions = Arc::default();
    let operations = web::router(live.clone(), Sessions(Arc::clone(&sessions)), &WebOptions::default());
    let shop = Shop { sessions, templates: Arc::new(templates), live };
    Ok(Router::new()
        .route("/", get(home))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/imports", post(start))
        .route("/imports/{id}", get(import))
        .with_state(shop)
        .nest("/live", operations)
        .layer(CookieManagerLayer::new())
        .layer(map_response(protect)))
}

/// Begins an import and goes to its page.
async fn start(State(shop): State<Shop>, cookies: Cookies, Form(form): Form<Sent>) -> Response {
    let Some(session) = shop.sender(&cookies, &form) else { return StatusCode::FORBIDDEN.into_response() };
    let customers = form.customers.lines().map(str::to_owned).collect();
    match shop.live.start(&session.viewer(), Import { customers }).await {
        Ok(id) => Redirect::to(&format!("/imports/{id}")).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The page of an import, live.
async fn import(State(shop): State<Shop>, cookies: Cookies, Path(id): Path<String>) -> Response {
    let Some(session) = session(&shop.sessions, &cookies) else { return Redirect::to("/").into_response() };
    let Ok(id) = id.parse::<OperationId>() else { return StatusCode::NOT_FOUND.into_response() };
    match shop.live.page(&session.viewer(), id).await {
        Ok(Some(op)) => shop.page("import.html", context! { op, csrf => session.csrf }),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn sign_out(State(shop): State<Shop>, cookies: Cookies, Form(form): Form<Sent>) -> Response {
    let Some(session) = shop.sender(&cookies, &form) else { return StatusCode::FORBIDDEN.into_response() };
    shop.sessions.lock().remove(&session.secret);
    shop.live.end_streams(&session.secret); // once the session itself is over
    Redirect::to("/").into_response()
}

// The application as it was.

#[derive(Deserialize)]
struct Sent {
    csrf: String,
    #[serde(default)]
    customers: String,
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
    password: String,
}

async fn home(State(shop): State<Shop>, cookies: Cookies) -> Response {
    let session = session(&shop.sessions, &cookies);
    let context = context! {
        user => session.as_ref().map(|session| session.user.name),
        csrf => session.as_ref().map(|session| &*session.csrf),
    };
    shop.page("home.html", context)
}

async fn sign_in(State(shop): State<Shop>, cookies: Cookies, Form(form): Form<SignIn>) -> Response {
    // Yours asks a table of password hashes.
    if (form.name.as_str(), form.password.as_str()) != ("ada", "lovelace") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (secret, csrf) = (liveops::access::random_text(), liveops::access::random_text());
    let session = Session { secret: secret.clone(), csrf, user: Customer { number: 1, name: "Ada" } };
    shop.sessions.lock().insert(secret.clone(), session);
    let cookie = Cookie::build((COOKIE, secret)).path("/").http_only(true).same_site(SameSite::Lax);
    cookies.add(cookie.build());
    Redirect::to("/").into_response()
}

fn session(sessions: &Mutex<HashMap<String, Session>>, cookies: &Cookies) -> Option<Session> {
    sessions.lock().get(cookies.get(COOKIE)?.value()).cloned()
}

impl Shop {
    /// Whose form it is, where it came from a page of their session.
    fn sender(&self, cookies: &Cookies, form: &Sent) -> Option<Session> {
        session(&self.sessions, cookies).filter(|session| session.csrf == form.csrf)
    }

    fn page(&self, name: &str, context: minijinja::Value) -> Response {
        match self.templates.get_template(name).and_then(|template| template.render(context)) {
            Ok(html) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

async fn protect(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let app = app(File::new("embed.db")).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

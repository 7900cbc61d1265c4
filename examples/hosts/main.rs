//! Live operations in pages of htmx or of Datastar, without the script of liveops:
//!
//! ```text
//! npm install htmx.org@2 htmx-ext-sse@2
//! cargo run --example hosts -- htmx node_modules/htmx.org/dist/htmx.min.js node_modules/htmx-ext-sse/sse.js
//! cargo run --example hosts -- datastar datastar.js       # version 1, from data-star.dev
//! ```
//!
//! Then open the address that it prints. What is special about these pages is in `htmx.html` and `datastar.html`; how an
//! application with sessions of its own is wired shows the example `embed`.

use std::path::{Path as File, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use liveops::operation::Field;
use liveops::store::Sqlite;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Operation, OperationId, Progress, SecretKey, Viewer};
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Serialize, Deserialize)]
struct Count {
    to: u32,
    greeting: String,
}

impl Operation for Count {
    const KIND: &'static str = "count";
    const TITLE: &'static str = "Count";

    fn fields() -> Vec<Field> {
        vec![
            Field::number("to", "Up to").range(1, 10_000).default("200"),
            Field::text("greeting", "Greeting"),
        ]
    }

    async fn run(self, p: Progress) -> liveops::Result {
        p.status(&self.greeting);
        for number in p.track(1..=self.to).unit("numbers") {
            p.log(format!("{} {}", self.greeting, number?));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        p.result(serde_json::json!({ "counted": self.to }))
    }
}

/// Everybody is Ada here. Yours asks its sessions.
struct Ada;

impl Ada {
    fn viewer() -> Viewer {
        let [id, name, session] = ["1", "Ada", "hers"].map(str::to_owned);
        Viewer { id, name, groups: Vec::new(), superuser: false, session }
    }
}

#[async_trait::async_trait]
impl Identify for Ada {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(Some(Self::viewer()))
    }
}

/// Whose pages they are.
#[derive(Clone, Copy)]
pub(crate) enum Library {
    Htmx,
    Datastar,
}

impl Library {
    fn page(self) -> &'static str {
        match self {
            Self::Htmx => "htmx.html",
            Self::Datastar => "datastar.html",
        }
    }

    /// Neither of them works with Trusted Types, and Datastar makes functions of attributes.
    fn policy(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Htmx => {
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            }
            Self::Datastar => {
                "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            }
        })
    }
}

#[derive(Clone)]
struct Host {
    live: LiveOps,
    library: Library,
    templates: Arc<Environment<'static>>,
    scripts: Arc<[(String, Vec<u8>)]>,
}

pub(crate) struct Setup<'a> {
    pub(crate) library: Library,
    /// Files of the library.
    pub(crate) scripts: &'a [PathBuf],
    pub(crate) database: &'a File,
    pub(crate) token_ttl: Duration,
    pub(crate) stop: CancellationToken,
}

pub(crate) async fn app(setup: Setup<'_>) -> Result<(Router, LiveOps), Failure> {
    let Setup { library, .. } = setup;
    let live = LiveOps::builder()
        .store(Sqlite::open(setup.database)?)
        .secret_key(SecretKey::new(liveops::access::random_text().as_bytes())?)
        .mount("/live")
        .page_at("/counts/{id}")
        .token_ttl(setup.token_ttl)
        .log_tail(50)
        .operation::<Count>();
    let live = live.start().await?;
    let mut templates = Environment::new();
    templates.add_template("htmx.html", include_str!("htmx.html"))?;
    templates.add_template("datastar.html", include_str!("datastar.html"))?;
    live.add_to(&mut templates);
    let mut scripts = vec![("forms.js".to_owned(), include_bytes!("forms.js").to_vec())];
    for path in setup.scripts {
        let script = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        scripts.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), script));
    }
    let host = Host { live: live.clone(), library, templates: Arc::new(templates), scripts: scripts.into() };
    let options = WebOptions { shutdown: setup.stop, ..WebOptions::default() };
    let app = Router::new()
        .route("/", get(async || Redirect::to("/live/operations/new/count")))
        .route("/counts/{id}", get(page))
        .route("/counts/{id}/live", get(container))
        .route("/scripts/{name}", get(script))
        .with_state(host)
        .layer(map_response(move |response| with_policy(response, library.policy())))
        .nest_service("/live", web::router(live.clone(), Ada, &options));
    Ok((app, live))
}

async fn page(State(host): State<Host>, Path(id): Path<OperationId>) -> Result<Response, StatusCode> {
    host.show(id, true).await
}

/// What the page takes in place of what it has, when its stream is over or was refused: it has a fresh token.
async fn container(State(host): State<Host>, Path(id): Path<OperationId>) -> Result<Response, StatusCode> {
    host.show(id, false).await
}

impl Host {
    async fn show(&self, id: OperationId, whole: bool) -> Result<Response, StatusCode> {
        let op = self.live.page(&Ada::viewer(), id).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let op = op.ok_or(StatusCode::NOT_FOUND)?;
        let scripts: Vec<_> = self.scripts.iter().map(|(name, _)| name.clone()).collect();
        let template = self.templates.get_template(self.library.page());
        let html = template.and_then(|template| template.render(context! { op, whole, scripts }));
        let html = html.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response())
    }
}

async fn script(State(host): State<Host>, Path(name): Path<String>) -> Result<Response, StatusCode> {
    let (_, script) = host.scripts.iter().find(|(known, _)| *known == name).ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, "text/javascript")], script.clone()).into_response())
}

async fn with_policy(mut response: Response, policy: HeaderValue) -> Response {
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt::init();
    let mut arguments = std::env::args_os().skip(1);
    let library = match arguments.next().as_deref().and_then(|name| name.to_str()) {
        Some("htmx") => Library::Htmx,
        Some("datastar") => Library::Datastar,
        _ => {
            return Err(
                "say whose pages it shall serve, htmx or datastar, and where the library's scripts are"
                    .into(),
            );
        }
    };
    let scripts: Vec<_> = arguments.map(PathBuf::from).collect();
    let stop = CancellationToken::new();
    let setup = Setup {
        library,
        scripts: &scripts,
        database: File::new("hosts.db"),
        token_ttl: Duration::from_secs(300),
        stop: stop.clone(),
    };
    let (app, live) = app(setup).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stopping = async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.cancel();
    };
    axum::serve(listener, app).with_graceful_shutdown(stopping).await?;
    live.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

//! The live import: the work, who the viewer is, the wiring, and two handlers.

use std::path::Path as File;
use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::{StatusCode, request::Parts};
use axum::response::{Redirect, Response};
use liveops::store::Sqlite;
use liveops::web::{Identify, IdentifyError};
use liveops::{LiveOps, Operation, OperationId, Progress, SecretKey, Viewer};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::{Failure, Session, Sessions, Shop};

#[derive(Serialize, Deserialize)]
pub(super) struct Import {
    customers: Vec<String>,
}

impl Operation for Import {
    const KIND: &'static str = "import";
    const TITLE: &'static str = "Import of customers";

    fn label(&self) -> String {
        format!("{} lines", self.customers.len())
    }

    async fn run(self, p: Progress) -> liveops::Result {
        let count = self.customers.len();
        for customer in p.track(self.customers).unit("customers") {
            p.log(customer?); // it is an error once somebody pressed Cancel
            tokio::time::sleep(Duration::from_millis(20)).await; // yours writes to a table
        }
        p.result(serde_json::json!({ "customers": count }))
    }
}

#[async_trait::async_trait]
impl Identify for Sessions {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(self.find(parts).map(|session| session.viewer()))
    }

    fn sign_in(&self, _next: &str) -> Option<String> {
        Some("/".to_owned())
    }
}

impl Session {
    fn viewer(&self) -> Viewer {
        let (id, name) = (self.clerk.number.to_string(), self.clerk.name.to_owned());
        Viewer { id, name, groups: Vec::new(), superuser: false, session: self.secret.clone() }
    }
}

pub(super) async fn live(database: &File) -> Result<LiveOps, Failure> {
    let live = LiveOps::builder()
        .store(Sqlite::open(database)?) // beside the application's own tables
        // A new one for each start; yours comes from where your secrets are.
        .secret_key(SecretKey::new(liveops::access::random_text().as_bytes())?)
        .mount("/live")
        .page_at("/imports/{id}") // where links lead, instead of to ours
        .operation::<Import>();
    Ok(live.start().await?)
}

/// The application's own form.
#[derive(Deserialize)]
pub(super) struct Sent {
    csrf: String,
    customers: String,
}

/// Begins an import and goes to its page.
pub(super) async fn start(
    State(shop): State<Shop>,
    session: Session,
    Form(form): Form<Sent>,
) -> Result<Redirect, StatusCode> {
    session.sent(&form.csrf)?;
    let customers = form.customers.lines().map(str::to_owned).collect();
    let id = shop
        .live
        .start(&session.viewer(), Import { customers })
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Redirect::to(&shop.live.url(id)))
}

/// The page of an import, live.
pub(super) async fn show(
    State(shop): State<Shop>,
    session: Session,
    Path(id): Path<OperationId>,
) -> Result<Response, StatusCode> {
    let op = shop.live.page(&session.viewer(), id).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let op = op.ok_or(StatusCode::NOT_FOUND)?;
    Ok(shop.page("import.html", context! { op, name => session.clerk.name, csrf => session.csrf }))
}

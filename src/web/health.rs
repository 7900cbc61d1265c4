//! For whoever watches over the process.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::App;
use crate::live::LiveOps;

/// For so long what was found out is not looked at again, however many ask.
const FRESH: Duration = Duration::from_secs(3);
/// Nobody waits longer for an answer of the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the store could be written, and when that was found out. Held while it is found out, so
/// that it is written once for all who ask.
#[derive(Default)]
pub(super) struct Probe(Arc<Mutex<Option<(Instant, bool)>>>);

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// It can do its work, or what is missing for that.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let missing = if app.shutdown.is_cancelled() {
        "stopping\n"
    } else if !timeout(PATIENCE, app.live.is_store_answering()).await.unwrap_or(false) {
        "the database does not answer\n"
    } else if !timeout(PATIENCE, app.probe.is_writable(&app.live)).await.unwrap_or(false) {
        "the database cannot be written\n"
    } else {
        return "ok".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, missing).into_response()
}

impl Probe {
    async fn is_writable(&self, live: &LiveOps) -> bool {
        let mut last = Arc::clone(&self.0).lock_owned().await;
        match *last {
            Some((at, found)) if at.elapsed() < FRESH => return found,
            _ => {}
        }
        let live = live.clone();
        // A task of its own: who gives up waiting must not make the next one write once more.
        let probing = tokio::spawn(async move {
            let found = live.is_store_writable().await;
            *last = Some((Instant::now(), found));
            found
        });
        probing.await.unwrap_or(false)
    }
}

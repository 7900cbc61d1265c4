//! For whoever watches over the process.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::App;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok"
}

/// It can do its work, or what is missing for that.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    let missing = if app.shutdown.is_cancelled() {
        "stopping\n"
    } else if app.live.is_store_answering().await {
        return "ok".into_response();
    } else {
        "the database does not answer\n"
    };
    (StatusCode::SERVICE_UNAVAILABLE, missing).into_response()
}

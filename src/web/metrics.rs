//! `/metrics`, for Prometheus: what the process counted, and how many operations there are.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use tokio::time::timeout;

use super::headers;
use crate::live::LiveOps;
use crate::operation::State as OperationState;
use crate::store::Census;

/// The database is waited for no longer than this: whoever asks gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `/metrics` needs.
#[derive(Clone)]
struct Exporter<R> {
    live: LiveOps,
    render: R,
}

/// A site of its own that serves `/metrics` and nothing else. `render` writes what the process's
/// recorder of the [`metrics`](https://docs.rs/metrics) facade holds, in Prometheus' text format; the
/// recorder has to be installed before.
pub fn metrics<R>(live: LiveOps, render: R) -> Router
where
    R: Fn() -> String + Clone + Send + Sync + 'static,
{
    describe();
    appear(&live);
    Router::new()
        .route("/metrics", get(serve::<R>))
        .fallback(async || (StatusCode::NOT_FOUND, "there is /metrics here, and nothing else\n"))
        .with_state(Exporter { live, render })
        .layer(map_response(headers::protect))
}

async fn serve<R>(State(exporter): State<Exporter<R>>) -> Response
where
    R: Fn() -> String + Clone + Send + Sync + 'static,
{
    // What the process itself counted is wanted most when the database fails.
    let counted = match timeout(PATIENCE, exporter.live.census()).await {
        Ok(Ok(census)) => {
            record(&exporter.live, census);
            true
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "operations could not be counted");
            false
        }
        Err(_) => {
            tracing::warn!("operations could not be counted: the database does not answer");
            false
        }
    };
    gauge!("liveops_database_up").set(f64::from(u8::from(counted)));
    let text = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], (exporter.render)()).into_response()
}

fn record(live: &LiveOps, census: Census) {
    let waits = census.operations.iter().filter(|(_, state, _)| *state == OperationState::Waiting);
    let queue: u64 = waits.map(|(_, _, count)| count).sum();
    let age =
        census.oldest_waiting.map_or(0.0, |since| live.clock().now().duration_since(since).as_secs_f64());
    gauge!("liveops_queue_length").set(queue as f64);
    gauge!("liveops_queue_age_seconds").set(age.max(0.0));
    for kind in live.kinds() {
        // One that has gone from the store would keep its last value.
        for state in OperationState::ALL {
            operations(&kind.name, state).set(0.0);
        }
    }
    for (kind, state, count) in census.operations {
        operations(&kind, state).set(count as f64);
    }
}

fn operations(kind: &str, state: OperationState) -> metrics::Gauge {
    gauge!("liveops_operations", "kind" => kind.to_owned(), "state" => state.as_str())
}

/// What is known beforehand is there from the start: `increase()` does not see how a figure that appears came to be above 0.
fn appear(live: &LiveOps) {
    for name in [
        "liveops_streams_opened_total",
        "liveops_operations_interrupted_total",
        "liveops_operations_repeated_total",
        "liveops_frame_bytes_total",
        "liveops_commits_total",
        "liveops_writes_total",
        "liveops_logins_failed_total",
    ] {
        counter!(name).increment(0);
    }
    for reason in ["address", "token", "too_many"] {
        counter!("liveops_streams_refused_total", "reason" => reason).increment(0);
    }
    for kind in live.kinds() {
        counter!("liveops_operations_started_total", "kind" => kind.name.clone()).increment(0);
    }
    for state in OperationState::ALL.into_iter().filter(|state| state.is_final()) {
        counter!("liveops_operations_ended_total", "state" => state.as_str()).increment(0);
    }
    // They may go up and down already.
    gauge!("liveops_streams_open").increment(0);
    gauge!("liveops_runs").increment(0);
}

fn describe() {
    describe_gauge!("liveops_streams_open", "Streams open in this process");
    describe_counter!("liveops_streams_opened_total", "Streams opened");
    describe_counter!("liveops_streams_refused_total", "Streams refused, by reason");
    describe_gauge!("liveops_database_up", "1 when the database answered the last time, else 0");
    describe_histogram!(
        "liveops_request_seconds",
        Unit::Seconds,
        "Requests until their answer began, by route, method and status"
    );
    describe_gauge!("liveops_operations", "Operations in the store, by kind and state");
    describe_gauge!("liveops_queue_length", "Operations that wait");
    describe_gauge!("liveops_queue_age_seconds", Unit::Seconds, "For how long the oldest of them waits");
    describe_gauge!("liveops_runs", "Operations that run in this process");
    describe_counter!("liveops_operations_started_total", "Operations started here, by kind");
    describe_counter!("liveops_operations_ended_total", "Operations that ended here, by state");
    describe_counter!(
        "liveops_operations_interrupted_total",
        "Operations of dead processes that were marked here"
    );
    describe_counter!(
        "liveops_operations_repeated_total",
        "Attempts that were put back into the queue here, as their process died or was stopped"
    );
    describe_histogram!("liveops_frame_seconds", Unit::Seconds, "How long a change of a page took to render");
    describe_counter!("liveops_frame_bytes_total", Unit::Bytes, "Rendered changes, before they are shared");
    describe_histogram!("liveops_commit_seconds", Unit::Seconds, "How long a commit to the database took");
    describe_counter!("liveops_commits_total", "Commits to the database");
    describe_counter!("liveops_writes_total", "Writes in these commits, which gather what comes at once");
    describe_counter!("liveops_logins_failed_total", "Sign-ins with a wrong name or password");
}

//! `/metrics` on an address of its own.

use std::time::Duration;

use liveops::{LiveOps, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use super::{Failure, say};
use crate::config::Settings;

/// From 0.1 ms to 10 s.
const BUCKETS: [f64; 11] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// How often what was recorded is gathered: it would pile up where nobody asks.
const GATHER: Duration = Duration::from_secs(5);

/// The address of `/metrics`, and what records from now on.
pub(super) struct Metrics {
    listener: TcpListener,
    recorder: PrometheusHandle,
}

impl Metrics {
    /// Takes the address and begins to record; nothing where no address is set.
    pub(super) async fn prepare(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(address) = &settings.metrics_listen else { return Ok(None) };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("metrics_listen: {address} cannot be used: {error}"))?;
        Ok(Some(Self { listener, recorder: install()? }))
    }

    /// Says where it is, and serves until the process ends.
    pub(super) fn serve(self, live: LiveOps) -> std::io::Result<()> {
        say(&format!("metrics on http://{}/metrics", self.listener.local_addr()?));
        let recorder = self.recorder.clone();
        let site = web::metrics(live, move || recorder.render());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(self.listener, site).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
        let recorder = self.recorder;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(GATHER).await;
                recorder.run_upkeep();
            }
        });
        Ok(())
    }
}

fn install() -> Result<PrometheusHandle, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    PrometheusBuilder::new().set_buckets_for_metric(seconds, &BUCKETS)?.install_recorder()
}

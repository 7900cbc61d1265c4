//! `liveops serve`: the server for real work.

use std::process::ExitCode;

use liveops::store::Sqlite;
use liveops::{LiveOps, LiveOpsBuilder, SecretKey};

use super::metrics::Metrics;
use super::{Failure, say, server};
use crate::config::{Settings, beside};

pub(super) async fn serve(settings: &Settings) -> Result<ExitCode, Failure> {
    let secret = settings.needed_secret()?;
    let store = Sqlite::open(&settings.database)?;
    let listener = server::bind(&settings.listen).await?;
    let metrics = Metrics::prepare(settings).await?;
    let signals = server::Signals::listen()?;
    let live = builder(settings, store.clone(), secret).start().await?;
    say(&format!("listening on http://{}", listener.local_addr()?));
    if let Some(metrics) = metrics {
        metrics.serve(live.clone())?;
    }
    server::serve(listener, live, store, settings, signals).await
}

/// What every server has: all that the settings say, and no kinds yet.
pub(super) fn builder(settings: &Settings, store: Sqlite, secret: SecretKey) -> LiveOpsBuilder {
    let builder = LiveOps::builder()
        .store(store)
        .secret_key(secret)
        .secret_key_fallbacks(settings.secret_key_fallbacks.clone())
        .uploads(beside(&settings.database, "-uploads"))
        .max_upload_bytes(settings.max_upload_bytes)
        .token_ttl(settings.token_ttl)
        .throttle_hz(settings.throttle_hz)
        .log_tail(settings.log_tail)
        .streams_per_user(settings.streams_per_user)
        .streams_per_address(settings.streams_per_address)
        .running_per_user(settings.running_per_user)
        .waiting_per_user(settings.waiting_per_user);
    let builder = match &settings.templates {
        Some(folder) => builder.templates(folder),
        None => builder,
    };
    let builder = match settings.retention {
        Some(age) => builder.retention(age),
        None => builder,
    };
    match settings.workers {
        Some(workers) => builder.workers(workers),
        None => builder,
    }
}

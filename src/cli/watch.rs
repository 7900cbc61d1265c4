//! `liveops watch ID`.

use std::path::Path;
use std::process::ExitCode;

use liveops::access::random_text;
use liveops::store::{Sqlite, Store as _, StoreError, StoreResult};
use liveops::{LiveOps, OperationId, SecretKey, State, Viewer};

use super::follow::Follower;
use super::server::Signals;
use super::terminal::Terminal;
use super::{Failure, serve};
use crate::config::Settings;

/// Follows an operation that runs anywhere on this database. Being interrupted ends the following,
/// not the operation.
pub(super) async fn watch(id: &str, settings: &Settings, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let id: OperationId = id.parse()?;
    let store = open(&settings.database)?;
    let record = store.record(id).await?.ok_or_else(|| format!("there is no operation {id}"))?;
    let viewer = owner(record.owner);
    let live = foreground(settings, store).await?;
    let mut signals = Signals::listen()?;
    let follower = Follower { live: &live, viewer: &viewer, terminal };
    let state = tokio::select! {
        state = follower.follow(id) => Some(state),
        () = signals.stop() => None,
    };
    terminal.finish().await;
    match state.transpose()? {
        Some(state) => Ok(exit_code(state)),
        None => {
            terminal.note("not watched any more; the operation goes on").await;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The database, which has to be there with its tables: whoever only looks changes nothing.
pub(super) fn open(database: &Path) -> Result<Sqlite, Failure> {
    known(database, Sqlite::open_existing(database))
}

/// The same; tables of an older program are brought up to date.
pub(super) fn open_and_update(database: &Path) -> Result<Sqlite, Failure> {
    match Sqlite::open_existing(database) {
        Err(StoreError::Older { .. }) => Ok(Sqlite::open(database)?),
        other => known(database, other),
    }
}

fn known(database: &Path, opened: StoreResult<Sqlite>) -> Result<Sqlite, Failure> {
    match opened {
        Err(_) if !database.exists() => {
            Err(format!("database: there is no file {}", database.display()).into())
        }
        Err(error @ StoreError::NoTables(_)) => Err(format!(
            "database: {error}; name the right one with --database, or set this one up with `liveops user add NAME`"
        )
        .into()),
        other => Ok(other?),
    }
}

/// Whoever may read this database may see what its owner sees.
pub(super) fn owner(id: String) -> Viewer {
    Viewer { name: id.clone(), id, groups: Vec::new(), superuser: true, session: String::new() }
}

/// Operations with the kinds of this binary, the queue left to others. It serves nobody, so any key
/// will do.
pub(super) async fn foreground(settings: &Settings, store: Sqlite) -> Result<LiveOps, Failure> {
    let secret = SecretKey::new(random_text().as_bytes())?;
    let builder = serve::builder(settings, store, secret).foreground();
    Ok(super::demo::with_kinds(builder).start().await?)
}

pub(super) fn exit_code(state: State) -> ExitCode {
    if state == State::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

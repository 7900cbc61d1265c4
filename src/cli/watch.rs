//! `liveops watch ID`.

use std::cell::Cell;
use std::process::ExitCode;

use liveops::access::random_text;
use liveops::store::{Sqlite, Store as _};
use liveops::{LiveOps, OperationId, SecretKey, State, Viewer};

use super::follow::Follower;
use super::screen::Screen;
use super::server::Signals;
use super::{Failure, serve};
use crate::config::Settings;

/// Follows an operation that runs anywhere on this database. Being interrupted ends the following,
/// not the operation.
pub(super) async fn watch(id: &str, settings: &Settings) -> Result<ExitCode, Failure> {
    let id: OperationId = id.parse()?;
    let store = open(settings)?;
    let record = store.record(id).await?.ok_or_else(|| format!("there is no operation {id}"))?;
    let viewer = owner(record.owner);
    let live = foreground(settings, store).await?;
    let mut signals = Signals::listen()?;
    let mut screen = Screen::new();
    let follower = Follower { live: &live, viewer: &viewer, stop: &Cell::new(false) };
    tokio::select! {
        state = follower.follow(id, &mut screen) => Ok(exit_code(state?)),
        () = signals.stop() => {
            eprintln!("not watched any more; the operation goes on");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The database, which has to be there.
pub(super) fn open(settings: &Settings) -> Result<Sqlite, Failure> {
    if !settings.database.exists() {
        return Err(format!("database: there is no file {}", settings.database.display()).into());
    }
    Ok(Sqlite::open(&settings.database)?)
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

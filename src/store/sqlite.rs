//! The store in one SQLite file, which several processes of one machine may share.

mod accounts;
mod backup;
mod check;
mod fault;
mod glance;
mod lease;
mod list;
mod log;
mod open;
mod operations;
mod place;
mod queue;
mod readers;
mod removal;
mod rows;
mod start;
mod worker;
mod writer;

pub use backup::Copied;
pub use check::{Checked, Uploaded};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::StoreResult;
use place::Place;
use readers::Readers;
use worker::Worker;
use writer::Writer;

/// The store in a SQLite file; a clone is another handle to the same one.
///
/// The file may be the host application's: all tables are called `liveops_*`. Writes go through one
/// thread, which commits together what has gathered; a write that returned `Ok` is on the disk.
/// Beside the file stands, while this process runs operations, a locked file that says that it
/// lives.
///
/// The methods are to be awaited within a tokio runtime.
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

/// Dropped in this order: the writer's is the last connection, which tidies the file up, and the
/// worker's file goes once no claim can follow.
struct Inner {
    readers: Readers,
    writer: Writer,
    worker: Arc<Worker>,
    place: Arc<Place>,
    identity: u64,
}

impl Sqlite {
    /// Opens the file, or makes it, and brings its tables to this program's version.
    ///
    /// # Errors
    /// [`StoreError::Newer`](super::StoreError::Newer) when a newer program made the tables,
    /// otherwise what SQLite says of a file that cannot be opened, is no database or is corrupt.
    /// Nothing in the file was changed then.
    pub fn open(path: impl AsRef<Path>) -> StoreResult<Self> {
        Self::start(open::open(path.as_ref(), open::Tables::Made)?)
    }

    /// Opens a file that has the tables of this program's version, and makes neither the file nor tables.
    /// For a command that looks at what others set up.
    ///
    /// # Errors
    /// [`StoreError::NoTables`](super::StoreError::NoTables) and
    /// [`StoreError::Older`](super::StoreError::Older) when the tables are missing or of an older program,
    /// otherwise as for [`open`](Self::open).
    pub fn open_existing(path: impl AsRef<Path>) -> StoreResult<Self> {
        Self::start(open::open(path.as_ref(), open::Tables::AreThere)?)
    }

    /// Moves what is committed out of the write-ahead log into the file, so that the file alone is the whole database. For the
    /// end of a program: until then SQLite does it now and then, and at the next opening.
    pub async fn tidy(&self) {
        let place = Arc::clone(&self.0.place);
        let path = self.0.readers.path().to_owned();
        let tidying = tokio::task::spawn_blocking(move || {
            place.check().inspect_err(|_| place.make_way())?;
            open::empty_log(&path)
        });
        if let Ok(Err(error)) = tidying.await {
            tracing::warn!(%error, "the write-ahead log beside the database is still needed: keep both together");
        }
    }

    fn start((path, connection): (PathBuf, Connection)) -> StoreResult<Self> {
        let identity = open::identity(&connection)?;
        let worker = Arc::new(Worker::new(&path));
        let place = Arc::new(Place::of(&path));
        let writer = Writer::start(connection, Arc::clone(&place))?;
        let readers = Readers::new(path, Arc::clone(&place));
        Ok(Self(Arc::new(Inner { readers, writer, worker, place, identity })))
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sqlite").field(&self.0.readers.path()).finish()
    }
}

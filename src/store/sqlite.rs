//! The store in one SQLite file, which several processes of one machine may share.

mod accounts;
mod backup;
mod check;
mod fault;
mod glance;
mod list;
mod log;
mod open;
mod operations;
mod queue;
mod readers;
mod removal;
mod rows;
mod worker;
mod writer;

pub use backup::Copied;
pub use check::{Checked, Uploaded};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::StoreResult;
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

    fn start((path, connection): (PathBuf, Connection)) -> StoreResult<Self> {
        let identity = open::identity(&connection)?;
        let worker = Arc::new(Worker::new(&path));
        let writer = Writer::start(connection)?;
        Ok(Self(Arc::new(Inner { readers: Readers::new(path), writer, worker, identity })))
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sqlite").field(&self.0.readers.path()).finish()
    }
}

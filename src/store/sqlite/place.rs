//! Whether the files are still where they were opened.

use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// The database and what SQLite keeps beside it, as they were when they were opened. SQLite goes on with files that have
/// lost their names: what it commits there is gone with the process, so that nothing may be answered by it.
#[derive(Debug, Default)]
pub(super) struct Place {
    database: PathBuf,
    files: Vec<(PathBuf, Option<FileId>)>,
}

/// What tells a file from another one of its name.
type FileId = (u64, u64);

impl Place {
    /// The place of an open database in write-ahead mode, by its true path.
    pub(super) fn of(database: &Path) -> Self {
        let beside = ["", "-wal", "-shm"].map(|end| {
            let mut path = database.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        });
        let files = beside.map(|path| {
            let id = file_id(&path);
            (path, id)
        });
        Self { database: database.to_owned(), files: files.into() }
    }

    /// Whether all of them are there.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] where one of them is gone, or another one has its name.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_empty = self.database.metadata().is_ok_and(|file| file.len() == 0);
        match !is_empty && self.files.iter().all(|(path, id)| file_id(path) == *id) {
            true => Ok(()),
            false => Err(StoreError::Replaced(self.database.display().to_string())),
        }
    }

    /// Where another file has the database's name now, takes away what is beside it and belongs to the old one: SQLite would
    /// read the old log into the new file at its next opening. Nothing is deleted.
    pub(super) fn make_way(&self) {
        let [(database, id), beside @ ..] = self.files.as_slice() else { return };
        if file_id(database).is_none_or(|now| Some(now) == *id) {
            return;
        }
        for (path, _) in beside.iter().filter(|(path, id)| id.is_some() && file_id(path) == *id) {
            match std::fs::rename(path, aside(path)) {
                Ok(()) => {
                    tracing::warn!(file = %path.display(), "it belongs to a database that was replaced, and was renamed")
                }
                Err(error) => tracing::error!(
                    file = %path.display(), %error,
                    "it belongs to a database that was replaced: remove it before the next start"
                ),
            }
        }
    }
}

/// A name for it that is not taken.
fn aside(path: &Path) -> PathBuf {
    let named = |end: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let numbered = (2..).map(|n| named(format!(".replaced-{n}")));
    let mut names = std::iter::once(named(".replaced".to_owned())).chain(numbered);
    names.find(|name| name.symlink_metadata().is_err()).unwrap_or_default()
}

/// Read without opening it: closing it again would free the locks of all of this process's connections (POSIX).
#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

/// Elsewhere nobody can replace a file that is open.
#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}

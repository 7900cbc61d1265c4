//! The SQLite file that one import fills.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Statement};

/// An import's file while it is filled. All rows are in one transaction; unless that is committed,
/// the file is removed when this is dropped.
pub(super) struct Target {
    path: PathBuf,
    connection: Option<Connection>,
    insert: String,
}

/// Adds rows to the table.
pub(super) struct Insert<'a>(Statement<'a>);

/// Where the import of `upload` goes: `csv-import-<stem of the upload>.db`, in the folder above
/// the one for uploads, which is the database's.
pub(super) fn path_for(upload: &Path) -> PathBuf {
    let uploads = upload.parent().unwrap_or(Path::new(""));
    let stem = upload.file_stem().unwrap_or_default().to_string_lossy();
    let above = uploads.parent().unwrap_or(uploads);
    above.join(format!("csv-import-{stem}.db"))
}

impl Target {
    /// Makes the file anew, with the empty table `rows`.
    pub(super) fn create(path: PathBuf, columns: &[String]) -> Result<Self, TargetError> {
        remove(&path)?;
        // Made here, since SQLite would let everybody on the machine read it.
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?;
        // Used by one thread at a time, so SQLite need not lock it for each call.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        let names: Vec<_> = columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let insert = format!("INSERT INTO rows VALUES ({})", vec!["?"; columns.len()].join(", "));
        let target = Self { path, connection: Some(connection), insert };
        let connection = target.connection()?;
        // A journal that is deleted only after the file reached the disk: what is committed stays.
        connection.execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")?;
        connection.execute_batch(&format!("CREATE TABLE rows ({} TEXT)", names.join(" TEXT, ")))?;
        Ok(target)
    }

    /// What adds rows.
    pub(super) fn insert(&self) -> Result<Insert<'_>, TargetError> {
        Ok(Insert(self.connection()?.prepare(&self.insert)?))
    }

    /// Makes all rows last.
    pub(super) fn commit(mut self) -> Result<(), TargetError> {
        self.connection()?.execute_batch("COMMIT")?;
        self.connection = None; // from here on the file is kept
        Ok(())
    }

    /// The file's name.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn connection(&self) -> Result<&Connection, TargetError> {
        self.connection.as_ref().ok_or(TargetError::Closed)
    }
}

impl Insert<'_> {
    /// Adds a row that has a cell for each column.
    pub(super) fn row<'a>(&mut self, cells: impl Iterator<Item = &'a str>) -> Result<(), TargetError> {
        for (index, cell) in cells.enumerate() {
            self.0.raw_bind_parameter(index + 1, cell)?;
        }
        self.0.raw_execute()?;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection);
            if let Err(error) = remove(&self.path) {
                tracing::warn!(path = %self.path.display(), %error, "what an import left cannot be removed");
            }
        }
    }
}

/// Removes the file and then its journal: in the other order a crash between the two could make
/// half an import look whole.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    for path in [path, Path::new(&journal)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Why the file cannot be filled.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("the import's file: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the import's file: {0}")]
    Io(#[from] io::Error),
    #[error("the import's file is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lies_beside_the_database() {
        let path = path_for(Path::new("/data/liveops.db.uploads/0f3a.csv"));
        assert_eq!(path, Path::new("/data/csv-import-0f3a.db"));
        assert_eq!(path_for(Path::new("uploads/0f3a")), Path::new("csv-import-0f3a.db"));
        assert_eq!(path_for(Path::new("0f3a")), Path::new("csv-import-0f3a.db"));
    }

    #[test]
    fn what_is_not_committed_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let columns = ["a\"b".to_owned(), "rowid".to_owned()];
        let target = Target::create(path.clone(), &columns).expect("made");
        target.insert().and_then(|mut insert| insert.row(["1", "2"].into_iter())).expect("a row");
        drop(target);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);

        fs::write(&path, "left over").expect("written");
        let target = Target::create(path.clone(), &columns).expect("made anew");
        target.insert().and_then(|mut insert| insert.row(["1", "2"].into_iter())).expect("a row");
        target.commit().expect("committed");
        let cell: String = Connection::open(&path)
            .and_then(|c| c.query_row("SELECT \"a\"\"b\" FROM rows", [], |row| row.get(0)))
            .expect("a row");
        assert_eq!(cell, "1");
    }
}

//! A copy of the database as it is at one moment, made while others write.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::fault::Fault;
use super::{Sqlite, check, open};
use crate::store::{StoreError, StoreResult};

/// The first version that says whose the uploads are.
const OLDEST: i64 = 2;
/// So many pages are copied between two questions whether to go on.
const STEP: i32 = 1000;

/// What a copy of the database holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many operations there are in it.
    pub operations: u64,
    /// The names of the uploads that they need, which lie in a folder of their own, each with one of these operations.
    pub uploads: BTreeMap<String, String>,
}

impl Sqlite {
    /// Copies the database `from` into the file `to`, which is empty or not there, as it is at one moment; others go on to read and
    /// write it. Sessions and login links are left out: who restores an old copy lets nobody in again who signed out since.
    ///
    /// It blocks, and asks `goes_on` now and then; none where that said no. Then, as after an error, `to` is of no use. It is not
    /// made durable: that is for whoever gives it its name.
    ///
    /// # Errors
    /// [`StoreError::NoTables`], [`StoreError::Older`] and [`StoreError::Newer`] where `from` has other tables, otherwise what
    /// SQLite says of a file that cannot be read, is corrupt, or cannot be written.
    pub fn back_up(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        goes_on: impl Fn() -> bool,
    ) -> StoreResult<Option<Copied>> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let failed = |path: &Path, fault: Fault| match fault.of_read() {
            StoreError::Failed(error) => StoreError::Failed(format!("{}: {error}", path.display()).into()),
            other => other,
        };
        let source = open::look(from, OLDEST).map_err(|fault| failed(from, fault))?;
        let mut copy = Connection::open(to).map_err(|error| failed(to, error.into()))?;
        if !copy_pages(&source, &mut copy, goes_on).map_err(|fault| failed(to, fault))? {
            return Ok(None);
        }
        // Its pages are as they were in the source, and so is the damage.
        sound(&copy).map_err(|fault| failed(from, fault))?;
        finish(&copy).map(Some).map_err(|fault| failed(to, fault))
    }
}

/// Copies all pages; false where it was not to go on.
fn copy_pages(source: &Connection, copy: &mut Connection, goes_on: impl Fn() -> bool) -> Result<bool, Fault> {
    // Whatever stops it in the middle, nobody reads what is there.
    copy.pragma_update(None, "synchronous", "OFF")?;
    copy.query_row("PRAGMA journal_mode = MEMORY", [], |_| Ok(()))?;
    // All steps are in one transaction, else each write of another process would begin the copy anew.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let pages = Backup::new(source, copy)?;
    while goes_on() {
        match pages.step(STEP)? {
            StepResult::Done => return Ok(true),
            StepResult::More => {}
            // By a program that does not use the write-ahead log, and has the file for itself.
            _ => return Err(Fault::stored("another program holds the database: try again")),
        }
    }
    Ok(false)
}

fn sound(copy: &Connection) -> Result<(), Fault> {
    let answer: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if answer == "ok" {
        return Ok(());
    }
    let answer = answer.replace('\n', " ");
    Err(Fault::stored(format!(
        "it is corrupt, and so would be its copy: restore it from an earlier one ({answer})"
    )))
}

fn finish(copy: &Connection) -> Result<Copied, Fault> {
    // One file, without the write-ahead log beside it; the next server makes that again.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    // Overwritten, else their bytes would stay in pages that nothing uses.
    copy.execute_batch(
        "PRAGMA secure_delete = ON; DELETE FROM liveops_sessions; DELETE FROM liveops_login_links",
    )?;
    let operations: i64 = copy.query_row("SELECT count(*) FROM liveops_operations", [], |row| row.get(0))?;
    Ok(Copied { operations: operations.unsigned_abs(), uploads: check::needed(copy)? })
}

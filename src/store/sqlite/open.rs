//! Opening the file: first a look that changes nothing, then the settings, then the tables.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::fault::Fault;
use crate::store::{StoreError, StoreResult, migrations};

/// How long another connection, the host's say, may hold the file before a write gives up.
const BUSY: Duration = Duration::from_secs(5);
/// The same at the end of a program.
const LAST: Duration = Duration::from_secs(1);
/// A larger file is checked without its logs and pages, so that it opens within a second.
const CHECK_WHOLE: u64 = 64 * 1024 * 1024;
/// The smallest page of a database. What is smaller is none, but SQLite would take it for an empty
/// one and overwrite it. Reading it instead is not an option: closing it would free the locks of
/// all of this process's connections (POSIX).
const SMALLEST: u64 = 512;
/// The tables without which nothing works.
const VITAL: [&str; 5] =
    ["liveops_meta", "liveops_operations", "liveops_users", "liveops_sessions", "liveops_login_links"];

/// What becomes of tables that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// They are made, and the file too.
    Made,
    /// That is an error: nothing is changed.
    AreThere,
}

/// A connection for the writer, and the file's one true path: beside it stand the files by which
/// processes know each other, so all of them have to mean the same.
pub(super) fn open(path: &Path, tables: Tables) -> StoreResult<(PathBuf, Connection)> {
    let failed = |error: &dyn std::fmt::Display| {
        StoreError::Failed(format!("{} cannot be opened: {error}", path.display()).into())
    };
    // SQLite deletes a log whose file is empty, and with it what was committed to it.
    if path.metadata().map_or(0, |file| file.len()) == 0 && has_log(path) {
        return Err(failed(
            &"it is missing or empty, but its -wal file holds what was written to it: put it back, or move that away too",
        ));
    }
    if tables == Tables::Made {
        create(path).map_err(|error| failed(&error))?;
    }
    let full = path.canonicalize().map_err(|error| failed(&error))?;
    if full.metadata().is_ok_and(|file| (1..SMALLEST).contains(&file.len())) {
        return Err(failed(&"file is not a database"));
    }
    let connection = connect(&full, tables).map_err(|error| match error.of_write() {
        StoreError::Unwritable(error) => {
            failed(&format_args!("{error}: this program has to be able to write the file and its folder"))
        }
        StoreError::Busy(error) | StoreError::Failed(error) => failed(&error),
        other => other,
    })?;
    Ok((full, connection))
}

/// The number that tells this database from others.
pub(super) fn identity(connection: &Connection) -> StoreResult<u64> {
    let sql = "SELECT value FROM liveops_meta WHERE key = 'identity'";
    let identity: i64 =
        connection.query_row(sql, [], |row| row.get(0)).map_err(|error| Fault::from(error).of_read())?;
    Ok(identity.cast_unsigned())
}

/// A connection that reads only.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// A connection for a look at everything, which writes nothing. It may write all the same, so that what SQLite puts beside the
/// file goes again: who only reads leaves that behind. Tables of a version before `oldest` are refused. Each error says what to do.
pub(super) fn look(path: &Path, oldest: i64) -> Result<Connection, Fault> {
    if path.is_dir() {
        return Err(Fault::stored("it is a folder: name a file with --database"));
    }
    // Reading it ourselves is not an option, see `SMALLEST`.
    if path.metadata().is_ok_and(|file| (1..SMALLEST).contains(&file.len())) {
        return Err(Fault::stored("file is not a database: restore it from a backup"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unusable)?;
    connection.busy_timeout(BUSY)?;
    // SQLite keeps it beside the true file, whichever way leads there.
    leave_log(&connection, path.canonicalize().as_deref().unwrap_or(path))?;
    match migrations::version(&connection).map_err(unusable)? {
        0 => Err(StoreError::NoTables(path.display().to_string()).into()),
        found if !(0..=migrations::KNOWN).contains(&found) => Err(unknown(found)),
        found if found < oldest => Err(StoreError::Older { found, known: migrations::KNOWN }.into()),
        _ => Ok(connection),
    }
}

/// A file that cannot be looked at, and what to do then.
fn unusable(error: rusqlite::Error) -> Fault {
    match error.sqlite_error_code() {
        // Of a file with a write-ahead log, also who only reads has to write beside it.
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            Fault::stored(format!("it and its folder have to be writable: use the server's user ({error})"))
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Fault::stored(format!("{error}: restore it from a backup"))
        }
        Some(ErrorCode::DatabaseBusy) => {
            Fault::stored(format!("another program holds the database: try again ({error})"))
        }
        _ => error.into(),
    }
}

/// Closing would move the write-ahead log of another program into a file that we only look at.
fn leave_log(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log(path)).map(drop)
}

fn has_log(path: &Path) -> bool {
    wal_of(path).metadata().is_ok_and(|log| log.len() > 0)
}

/// Moves the write-ahead log's content into the file, by a connection of its own: the writer's is in a transaction when it is reached.
pub(super) fn empty_log(path: &Path) -> Result<(), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LAST)?;
    match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))? {
        false => Ok(()),
        true => Err(Fault::stored("another program is reading or writing it")),
    }
}

/// Makes an empty file where there is none: it will hold hashes of passwords, so it is its owner's
/// only. SQLite gives the files beside it the same mode.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

fn connect(path: &Path, tables: Tables) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // SQLite opens what it may not write all the same, and leaves files beside it.
    if connection.is_readonly("main")? {
        return Err(StoreError::Unwritable("the file is read-only".into()).into());
    }
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    leave_log(&connection, path)?;
    let found = migrations::version(&connection)?;
    if !(0..=migrations::KNOWN).contains(&found) {
        return Err(unknown(found));
    }
    // Before anything is written: the file may be of another program.
    match (tables, found) {
        (Tables::AreThere, 0) => return Err(StoreError::NoTables(path.display().to_string()).into()),
        (Tables::AreThere, 1..migrations::KNOWN) => {
            return Err(StoreError::Older { found, known: migrations::KNOWN }.into());
        }
        _ => {}
    }
    check(&connection, path, found > 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;

    write_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A log that one large transaction blew up doesn't stay so.
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    let now = migrations::migrate(&mut connection)?;
    if now != migrations::KNOWN {
        return Err(unknown(now));
    }
    if (1..now).contains(&found) {
        tracing::warn!(
            from = found,
            to = now,
            "the tables were brought up to date: no older version starts on them any more"
        );
    }
    if found < now {
        // Without its log the file is then a database of ours all the same, and no empty one. Nothing hangs on it.
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
    Ok(connection)
}

/// The tables are of a version that this program does not know.
fn unknown(found: i64) -> Fault {
    if found < 0 {
        return Fault::stored(
            "its schema version is none that this program ever wrote: restore it from a backup",
        );
    }
    StoreError::Newer { found, known: migrations::KNOWN }.into()
}

/// Refuses a damaged file before anything is written to it.
fn check(connection: &Connection, path: &Path, has_tables: bool) -> Result<(), Fault> {
    let check = |argument: &str| -> Result<(), Fault> {
        let sql = format!("PRAGMA quick_check({argument})");
        let answer: String = connection.query_row(&sql, [], |row| row.get(0))?;
        if answer == "ok" {
            return Ok(());
        }
        let answer = answer.replace('\n', " ");
        Err(Fault::stored(format!("it is corrupt: restore it from a backup ({answer})")))
    };
    let small = path.metadata().is_ok_and(|file| file.len() <= CHECK_WHOLE);
    match (small, has_tables) {
        (true, _) => check("1"),
        (false, true) => VITAL.into_iter().try_for_each(check),
        (false, false) => Ok(()),
    }
}

/// Switches to the write-ahead log. SQLite doesn't always wait for another process that does the
/// same, so we do.
fn write_ahead(connection: &Connection) -> Result<(), Fault> {
    let give_up = Instant::now() + BUSY;
    loop {
        let sql = "PRAGMA journal_mode = WAL";
        match connection.query_row(sql, [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let reason =
                    format!("its file system allows no write-ahead log, only {mode}: use a local disk");
                return Err(Fault::stored(reason));
            }
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < give_up =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

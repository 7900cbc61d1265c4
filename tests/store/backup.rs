//! A copy of a SQLite file is of one moment.

use std::cell::Cell;
use std::path::Path;

use liveops::store::{Copied, Sqlite, StoreError};
use rusqlite::Connection;

use super::Folder;

/// Each question whether to go on is a commit of another program, which must neither get into the copy nor begin it anew.
#[test]
fn a_backup_is_of_one_moment_however_much_is_written_meanwhile() {
    let folder = Folder::new();
    drop(Sqlite::open(folder.database()).expect("opens"));
    let host = Connection::open(folder.database()).expect("a connection");
    host.execute_batch("CREATE TABLE large (data); CREATE TABLE added (n)").expect("its tables");
    for _ in 0..20 {
        host.execute("INSERT INTO large VALUES (zeroblob(1048576))", []).expect("a row");
    }
    let asked = Cell::new(0);
    let goes_on = || {
        asked.set(asked.get() + 1);
        assert!(asked.get() < 100, "it does not come to an end");
        host.execute("INSERT INTO added VALUES (1)", []).expect("writers go on");
        host.execute("UPDATE large SET data = zeroblob(1048576) WHERE rowid = 1", []).expect("writers go on");
        true
    };
    let to = folder.0.path().join("copy.db");
    let copied = Sqlite::back_up(folder.database(), &to, goes_on).expect("it is copied");
    assert_eq!(copied, Some(Copied::default()));
    assert!(asked.get() > 3, "more than one step");
    assert_eq!(added(&to), 0);
    assert_eq!(added(&folder.database()), asked.get());
    drop(Sqlite::open(&to).expect("a server opens the copy"));
}

fn added(path: &Path) -> i64 {
    let database = Connection::open(path).expect("a connection");
    database.query_row("SELECT count(*) FROM added", [], |row| row.get(0)).expect("a number")
}

/// Before a new version brings the tables up to date is when a backup is wanted most.
#[test]
fn tables_of_an_older_version_are_backed_up_as_far_as_they_say_whose_uploads_are() {
    for (version, expected) in [(4, true), (2, true), (1, false), (0, false)] {
        let folder = Folder::new();
        drop(Sqlite::open(folder.database()).expect("opens"));
        let database = Connection::open(folder.database()).expect("a connection");
        let sql = "UPDATE liveops_meta SET value = ?1 WHERE key = 'version'";
        database.execute(sql, [version]).expect("an older version");
        let copied = Sqlite::back_up(folder.database(), folder.0.path().join("copy.db"), || true);
        match copied {
            Ok(_) => assert!(expected, "{version}"),
            Err(StoreError::Older { found, .. }) => assert_eq!((expected, found), (false, version)),
            // No program ever wrote such a version.
            Err(other) => assert_eq!(version, 0, "{other}"),
        }
    }
}

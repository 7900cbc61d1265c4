//! The files of the database: what is in which, and which belong together.

use std::fs;

use rusqlite::Connection;

use super::database;
use crate::harness::{Ask, Server, until};

/// Who stops the server and copies the database has all of it, also without what stands beside.
#[tokio::test]
async fn after_an_orderly_end_the_file_alone_is_the_database() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "3"), ("log_every", "1")]).await;
    client.finished(&id).await;
    assert!(server.terminate().await.0.success());
    let log = server.folder().join("liveops.db-wal");
    assert!(fs::metadata(&log).map_or(0, |log| log.len()) == 0, "{}", server.said());
    let other = tempfile::tempdir().expect("a folder");
    fs::copy(database(server.folder()), database(other.path())).expect("it is copied");
    let copy = Connection::open(database(other.path())).expect("a database");
    let sql = "SELECT state FROM liveops_operations WHERE id = ?1";
    assert_eq!(copy.query_row(sql, [&id], |row| row.get::<_, String>(0)), Ok("succeeded".to_owned()));
}

/// The log of the old database is not read into the new one.
#[tokio::test]
async fn a_backup_that_was_put_back_under_a_running_server_is_what_the_next_one_serves() {
    let mut server = Server::start().await;
    let client = server.user("alice").await;
    let before = client.simulate(&[("steps", "3"), ("log_every", "1")]).await;
    client.finished(&before).await;
    let (live, backup) = (database(server.folder()), server.folder().join("backup"));
    let other = Connection::open(&live).expect("the database");
    other.busy_timeout(std::time::Duration::from_secs(10)).expect("a setting");
    other.execute("VACUUM INTO ?1", [backup.to_str().expect("UTF-8")]).expect("a backup");
    let after = client.simulate(&[("steps", "3"), ("log_every", "1")]).await;
    client.finished(&after).await;
    drop(other);
    fs::rename(&backup, &live).expect("ours");
    until("it to be noticed", async || (client.get("/readyz").await.status == 503).then_some(())).await;
    assert!(server.terminate().await.0.success());
    let server = server.again().await;
    let client = client.at(&server);
    assert_eq!(client.page(&before).await.state, "succeeded");
    assert_eq!(client.get(&format!("/operations/{after}")).await.status, 404, "it came later");
    let other = Connection::open(database(server.folder())).expect("the database");
    let sound = other.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(sound, Ok("ok".to_owned()));
    assert!(server.folder().join("liveops.db-wal.replaced").exists(), "nothing is deleted");
}

/// Somebody who downloads a log and stops in the middle holds no moment of the database.
#[tokio::test]
async fn the_log_beside_the_database_stays_small_while_somebody_reads() {
    // What is shown is little, so that it does not take long.
    let server = Server::with(&[("log_tail", "1")]).await;
    let client = server.demo_user().await;
    let message = "x".repeat(60_000);
    let fields = [("steps", "300"), ("delay_ms", "0"), ("log_every", "1"), ("message", message.as_str())];
    let first = client.simulate(&fields).await;
    client.finished(&first).await;
    let mut download = client.open(Ask::get(&format!("/operations/{first}/log"))).await;
    assert!(download.chunk().await.expect("a beginning").is_some());
    let second = client.simulate(&fields).await;
    client.finished(&second).await;
    let file = |name: &str| fs::metadata(server.folder().join(name)).expect("a file").len();
    let (whole, log) = (file("liveops.db"), file("liveops.db-wal"));
    assert!(whole + log > 2 * 300 * 60_000 && log < 16 * 1024 * 1024, "{log} beside {whole}");
    drop(download);
}

//! What is old goes, and what nobody needs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::harness::{Ask, Server, finish, liveops, until};
use crate::start::imports;

const DAY: u64 = 24 * 3600;

pub(crate) fn uploads(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("liveops.db-uploads")).expect("a folder");
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Makes an operation look as if it had ended so many days ago.
pub(crate) fn age(folder: &Path, id: &str, days: u64) {
    let database = Connection::open(folder.join("liveops.db")).expect("the database");
    database.busy_timeout(Duration::from_secs(10)).expect("a time");
    let sql = "UPDATE liveops_operations SET finished = finished - ?2 WHERE id = ?1";
    let changed = database.execute(sql, (id, i64::try_from(days * DAY * 1_000_000).expect("a number")));
    assert_eq!(changed, Ok(1));
}

/// What the names of this database's uploads begin with.
fn prefix(folder: &Path) -> String {
    let database = Connection::open(folder.join("liveops.db")).expect("the database");
    let sql = "SELECT value FROM liveops_meta WHERE key = 'identity'";
    let identity: i64 = database.query_row(sql, [], |row| row.get(0)).expect("a number");
    format!("{:016x}-", identity.cast_unsigned())
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_with_log_and_upload() {
    let mut server = Server::with(&[("retention_days", "7")]).await;
    let client = server.demo_user().await;
    let old = client.import("old.csv", b"a,b\n1,2\n").await;
    client.finished(&old).await;
    let of_old = uploads(server.folder());
    let young = client.import("young.csv", b"a,b\n1,2\n3,4\n").await;
    client.finished(&young).await;
    let running = client.simulate(&[("steps", "100000"), ("delay_ms", "1000")]).await;
    client.reaches(&running, "running").await;
    server.kill();
    age(server.folder(), &old, 8);
    age(server.folder(), &young, 6);
    let server = server.again().await;
    until("the old one's end", async || {
        (client.get(&format!("/operations/{old}")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(client.get(&format!("/operations/{old}/log")).await.status, 404);
    assert_eq!(client.page(&young).await.state, "succeeded");
    assert_eq!(client.page(&running).await.state, "interrupted");
    let left =
        until("one upload", async || Some(uploads(server.folder())).filter(|left| left.len() == 1)).await;
    assert_ne!(left, of_old);
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    for table in ["liveops_log", "liveops_projections", "liveops_uploads"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE operation = ?1");
        assert_eq!(database.query_row(&sql, [&old], |row| row.get(0)), Ok(0), "{table}");
    }
    // What is kept can still be run again.
    assert_eq!(client.command(&young, "restart").await.status, 303);
    let page = client.finished(&young).await;
    assert_eq!(page.state, "succeeded", "{}", page.html);
}

#[tokio::test]
async fn zero_days_keep_all() {
    let mut server = Server::with(&[("retention_days", "0")]).await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1")]).await;
    client.finished(&id).await;
    server.kill();
    age(server.folder(), &id, 5000);
    let server = server.again().await;
    // The orphan shows that the house was kept.
    let orphan = orphan(server.folder());
    let server = server.kill_and_restart().await;
    until("the orphan's end", async || (!orphan.exists()).then_some(())).await;
    assert_eq!(client.page(&id).await.state, "succeeded");
    drop(server);
}

/// A command knows nothing of the settings that the server was started with.
#[tokio::test]
async fn a_command_in_the_terminal_removes_nothing() {
    let server = Server::with(&[("retention_days", "0")]).await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1")]).await;
    client.finished(&id).await;
    age(server.folder(), &id, 5000);
    let mut run = liveops(server.folder());
    run.args(["run", "simulate", "--field", "steps=10", "--field", "delay_ms=100"]);
    assert!(finish(run, "").status.success());
    assert_eq!(client.page(&id).await.state, "succeeded");
}

/// An upload that a process left when it was killed.
fn orphan(folder: &Path) -> PathBuf {
    let uploads = folder.join("liveops.db-uploads");
    fs::create_dir_all(&uploads).expect("a folder");
    let orphan = uploads.join(prefix(folder) + &"a".repeat(43));
    fs::write(&orphan, "half").expect("it is written");
    orphan
}

#[tokio::test]
async fn uploads_that_nobody_needs_are_removed_and_no_other_file() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.import("a.csv", b"a,b\n1,2\n").await;
    client.finished(&id).await;
    let needed = uploads(server.folder());
    let orphan = orphan(server.folder());
    let prefix = prefix(server.folder());
    let held = orphan.with_file_name(prefix.clone() + &"c".repeat(43));
    let foreign = ["notes.txt", &"b".repeat(43), &format!("{:016x}-{}", 7, "b".repeat(43)), &prefix]
        .map(|name| orphan.with_file_name(name));
    for path in foreign.iter().chain([&held]) {
        fs::write(path, "whatever").expect("it is written");
    }
    let lock = File::open(&held).expect("ours");
    lock.lock().expect("it is free");
    let server = server.kill_and_restart().await;
    until("the orphan's end", async || (!orphan.exists()).then_some(())).await;
    for path in needed.iter().chain(&foreign).chain([&held]) {
        assert!(path.exists(), "{}", path.display());
    }
    drop(server);
}

/// Whatever stands in the database: a name that leads out of the folder of uploads is no upload's.
#[tokio::test]
async fn an_old_operation_takes_no_file_with_it_that_is_no_upload() {
    let mut server = Server::with(&[("retention_days", "7")]).await;
    let client = server.demo_user().await;
    let old = client.import("old.csv", b"a,b\n1,2\n").await;
    client.finished(&old).await;
    server.terminate().await;
    let precious = server.folder().join("precious");
    fs::write(&precious, "nobody else's").expect("it is written");
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "UPDATE liveops_uploads SET name = '../precious' WHERE operation = ?1";
    assert_eq!(database.execute(sql, [&old]), Ok(1));
    drop(database);
    age(server.folder(), &old, 8);
    // Files go after what names them, and orphans after both.
    let orphan = orphan(server.folder());
    let server = server.again().await;
    until("the orphan's end", async || (!orphan.exists()).then_some(())).await;
    assert_eq!(client.get(&format!("/operations/{old}")).await.status, 404);
    assert_eq!(fs::read_to_string(&precious).expect("it is there"), "nobody else's");
    drop(server);
}

/// Killed while a file comes: what came of it is gone with the next start, however young it is.
#[tokio::test]
async fn half_an_upload_of_a_dead_process_is_removed_at_the_next_start() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let _upload = client.begin_import().await;
    let half = until("the file", async || {
        let folder = fs::read_dir(server.folder().join("liveops.db-uploads")).ok()?;
        folder.flatten().map(|entry| entry.path()).next()
    })
    .await;
    assert!(half.file_name().expect("a name").to_string_lossy().starts_with(&prefix(server.folder())));
    let server = server.kill_and_restart().await;
    until("its end", async || (!half.exists()).then_some(())).await;
    drop(server);
}

/// A log of many chunks goes in steps, and nobody sees what is left of it in between.
#[tokio::test]
async fn a_long_log_is_removed_too() {
    // A short tail: with so long lines each flush of its stream would be of megabytes.
    let mut server = Server::with(&[("retention_days", "7"), ("log_tail", "10")]).await;
    let client = server.demo_user().await;
    let message = "x".repeat(60_000);
    let fields = [("steps", "400"), ("delay_ms", "0"), ("log_every", "1"), ("message", message.as_str())];
    let old = client.simulate(&fields).await;
    client.finished(&old).await;
    server.kill();
    age(server.folder(), &old, 8);
    let server = server.again().await;
    until("its end", async || (client.get(&format!("/operations/{old}")).await.status == 404).then_some(()))
        .await;
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    for table in ["liveops_log", "liveops_operations"] {
        until("an empty table", async || {
            let count = database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
            (count == Ok(0)).then_some(())
        })
        .await;
    }
}

/// A reader that is in the middle of a log when its operation is removed gets no part of it for the whole.
#[tokio::test]
async fn a_log_that_is_removed_while_it_is_read_breaks_off() {
    // A short tail: with so long lines each flush of its stream would be of megabytes.
    let server = Server::with(&[("retention_days", "7"), ("log_tail", "10")]).await;
    let client = server.demo_user().await;
    let message = "x".repeat(60_000);
    let fields = [("steps", "600"), ("delay_ms", "0"), ("log_every", "1"), ("message", message.as_str())];
    let id = client.simulate(&fields).await;
    client.finished(&id).await;
    let mut answer = client.open(Ask::get(&format!("/operations/{id}/log"))).await;
    assert_eq!(answer.status(), 200);
    // The rest of it does not fit into the buffers in between.
    answer.chunk().await.expect("a beginning").expect("a beginning");
    age(server.folder(), &id, 8);
    let other = server.second().await;
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    until("its end", async || {
        let count = database.query_row("SELECT count(*) FROM liveops_operations", [], |row| row.get(0));
        (count == Ok(0)).then_some(())
    })
    .await;
    drop(other);
    let mut lines = String::new();
    let end = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => lines.push_str(std::str::from_utf8(&chunk).expect("ASCII")),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(end.is_err(), "{} bytes looked like all", lines.len());
}

/// Copied with its uploads: what runs there reads and writes there, not beside the original.
#[tokio::test]
async fn a_copied_database_has_its_own_uploads() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.import("a.csv", b"a,b\n1,2\n").await;
    client.finished(&id).await;
    server.kill();
    let of_original = imports(server.folder());
    fs::write(&of_original[0], "the original's").expect("it is written");
    let copy = server.copied().await;
    let client = client.at(&copy);
    assert_eq!(client.command(&id, "restart").await.status, 303);
    let page = client.finished(&id).await;
    assert_eq!(page.state, "succeeded", "{}", page.text());
    assert_eq!(imports(copy.folder()).len(), 1);
    assert_eq!(fs::read(&of_original[0]).expect("a file"), b"the original's");
}

/// Stopped while the store is busy: what may still be committed keeps its file, until it is known that it is not.
#[tokio::test]
async fn an_upload_stays_while_it_is_not_known_whether_its_operation_is_stored() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "0")]).await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    database.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    let ask = Ask::post("/operations/new/csv_import");
    let ask = ask.multipart(&[("csrf_token", &csrf)], ("file", "a.csv", b"a,b\n1,2\n"));
    let sent = tokio::spawn(client.request(ask).send());
    let file = until("the file", async || {
        let folder = fs::read_dir(server.folder().join("liveops.db-uploads")).ok()?;
        folder
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.metadata().is_ok_and(|file| file.len() > 0))
    })
    .await;
    // Its commit waits for the database meanwhile, for 5 s; the server does not wait so long for it.
    server.terminate().await;
    assert!(file.exists());
    database.execute_batch("ROLLBACK").expect("it is held");
    assert!(sent.await.expect("no panic").is_err(), "it got no answer");
    let server = server.again().await;
    until("its end", async || (!file.exists()).then_some(())).await;
    assert!(client.get("/operations").await.text().matches("<tr id=\"op-").next().is_none());
    drop(server);
}

//! What is old goes, and what nobody needs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;

use crate::harness::{Server, finish, liveops, until};

const DAY: u64 = 24 * 3600;

fn uploads(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("liveops.db-uploads")).expect("a folder");
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Makes an operation look as if it had ended so many days ago.
fn age(folder: &Path, id: &str, days: u64) {
    let database = Connection::open(folder.join("liveops.db")).expect("the database");
    database.busy_timeout(Duration::from_secs(10)).expect("a time");
    let sql = "UPDATE liveops_operations SET finished = finished - ?2 WHERE id = ?1";
    let changed = database.execute(sql, (id, i64::try_from(days * DAY * 1_000_000).expect("a number")));
    assert_eq!(changed, Ok(1));
}

fn age_file(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(DAY);
    File::options().write(true).open(path).and_then(|file| file.set_modified(old)).expect("ours");
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
    uploads(server.folder()).iter().for_each(|path| age_file(path));
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
    let orphan = uploads.join("a".repeat(43));
    fs::write(&orphan, "half").expect("it is written");
    age_file(&orphan);
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
    let young = orphan.with_file_name("b".repeat(43));
    let foreign = orphan.with_file_name("notes.txt");
    let held = orphan.with_file_name("c".repeat(43));
    for path in [&young, &foreign, &held] {
        fs::write(path, "whatever").expect("it is written");
    }
    let lock = File::open(&held).expect("ours");
    lock.lock().expect("it is free");
    for path in needed.iter().chain([&foreign, &held]) {
        age_file(path);
    }
    let server = server.kill_and_restart().await;
    until("the orphan's end", async || (!orphan.exists()).then_some(())).await;
    for path in needed.iter().chain([&young, &foreign, &held]) {
        assert!(path.exists(), "{}", path.display());
    }
    drop(server);
}

//! Whether the process answers, and whether it can do its work.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::harness::{Client, Server, until};

#[tokio::test]
async fn a_database_that_cannot_be_written_is_not_ready() {
    let server = Server::start().await;
    let nobody = Client::new(server.address);
    let ready = nobody.get("/readyz").await;
    assert_eq!((ready.status, ready.text()), (200, "ok".to_owned()));
    let held = Connection::open(server.folder().join("liveops.db")).expect("the database");
    held.busy_timeout(Duration::from_secs(30)).expect("a setting");
    held.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let missing = until("what is missing", async || {
        let answer = nobody.get("/readyz").await;
        (answer.status == 503).then(|| answer.text())
    });
    assert_eq!(missing.await, "the database cannot be written\n");
    // Many who ask wait no longer than one, and each is answered.
    let begin = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let client = Client::new(server.address);
        asking.spawn(async move { client.get("/readyz").await.status });
    }
    assert_eq!(asking.join_all().await, [503; 50]);
    // One after the other they would take 50 times the 2 s that one waits.
    assert!(begin.elapsed() < Duration::from_secs(50), "{:?}", begin.elapsed());
    assert_eq!(nobody.get("/healthz").await.text(), "ok", "the process itself is well");
    held.execute_batch("ROLLBACK").expect("let go");
    until("it to be ready again", async || (nobody.get("/readyz").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn many_who_ask_cost_one_write() {
    let server = Server::start().await;
    let nobody = Client::new(server.address);
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let version =
        || -> i64 { database.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a version") };
    // Not the first one, which may come together with what the start writes.
    let begin = Instant::now();
    assert_eq!(nobody.get("/readyz").await.status, 200);
    let (mut before, mut writes) = (version(), 0);
    for _ in 0..100 {
        assert_eq!(nobody.get("/readyz").await.status, 200);
        let now = version();
        writes += u64::from(now != before);
        before = now;
    }
    let allowed = 1 + begin.elapsed().as_secs() / 3;
    assert!(writes <= allowed, "{writes} in {:?}", begin.elapsed());
}

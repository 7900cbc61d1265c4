//! SIGTERM: what is said to whom while the server stops, and what cannot keep it from it.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Client, PATIENCE, SLOW, Server, soon, until};

async fn stopping(server: &Server) {
    until("that it stops", async || server.said().contains("stopping").then_some(())).await;
}

#[tokio::test]
async fn readiness_goes_first_while_what_runs_has_its_grace() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "60")]).await;
    let client = server.demo_user().await;
    let slow = client.simulate(SLOW).await;
    client.reaches(&slow, "running").await;
    let token = client.page(&slow).await.token.expect("it runs");
    let mut open = client.stream(&token, None).await;
    let cursor = open.first_flush().await.last().and_then(|event| event.id.clone()).expect("a cursor");
    // A load balancer that keeps its connection, and one that makes a new one each time.
    let kept = Client::new(server.address);
    assert_eq!(kept.get("/readyz").await.status, 200);
    server.signal("-TERM");
    stopping(&server).await;
    for balancer in [&kept, &Client::new(server.address)] {
        let answer = balancer.get("/readyz").await;
        assert_eq!((answer.status, answer.text()), (503, "stopping\n".to_owned()));
        assert_eq!(balancer.get("/healthz").await.status, 200, "killing it would help nobody");
    }
    // Streams are told to come back, also those that come too early; none says that it was all.
    let rest = open.rest().await;
    assert!(!rest.iter().any(|event| event.name == "end"), "{rest:?}");
    let mut early = client.stream(&token, Some(&cursor)).await;
    assert!(early.rest().await.is_empty());
    for events in [&open, &early] {
        let retries = events.retries();
        assert!(retries.len() == 1 && (1000..3000).contains(&retries[0]), "{retries:?}");
    }
    // Everybody else is served still; what is started now is durable, and for the next server.
    assert_eq!(client.page(&slow).await.state, "running");
    let late = client.simulate(&[("steps", "1")]).await;
    assert_eq!(client.page(&late).await.state, "waiting");
    client.command(&slow, "cancel").await;
    let (status, took) = server.exit().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    assert!(took < PATIENCE / 2, "nothing runs any more, so the grace is over: {took:?}");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
    let server = server.again().await;
    assert_eq!(client.page(&slow).await.state, "cancelled");
    assert_eq!(client.finished(&late).await.state, "succeeded");
    drop(server);
}

/// Sends signals until it is gone: two within a moment count as one.
async fn insist(server: &mut Server, name: &str) -> Option<i32> {
    stopping(server).await;
    let begin = Instant::now();
    let code = until("its exit", async || {
        server.signal(name);
        server.exited()
    });
    let code = code.await.code();
    assert!(begin.elapsed() < PATIENCE / 2, "that is not at once: {:?}", begin.elapsed());
    code
}

#[tokio::test]
async fn a_second_signal_ends_at_once_whatever_runs() {
    for name in ["-TERM", "-INT"] {
        let mut server = Server::with(&[("shutdown_grace_seconds", "60")]).await;
        let client = server.demo_user().await;
        let slow = client.simulate(SLOW).await;
        let again = client.submit("repeatable", &[], None).await.started();
        client.reaches(&slow, "running").await;
        client.reaches(&again, "running").await;
        server.signal(name);
        assert_eq!(insist(&mut server, name).await, Some(130), "{}", server.said());
        let server = server.again().await;
        assert_eq!(client.finished(&slow).await.state, "interrupted");
        client.follow(&again).await.until(|event| event.html().contains("Counting #1<")).await;
        assert!(client.page(&again).await.html.contains("?attempt=1"), "it runs again");
        drop(server);
    }
}

/// A terminal that goes tells of it twice: by the shell, and by the kernel.
#[tokio::test]
async fn a_terminal_that_is_closed_stops_it_in_order() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "1")]).await;
    let client = server.demo_user().await;
    let slow = client.simulate(SLOW).await;
    client.reaches(&slow, "running").await;
    server.signal("-HUP");
    assert_eq!(insist(&mut server, "-HUP").await, Some(0), "{}", server.said());
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "SELECT state FROM liveops_operations WHERE id = ?1";
    let state: String = database.query_row(sql, [&slow], |row| row.get(0)).expect("it is there");
    assert_eq!(state, "interrupted", "before the next server looks");
}

#[tokio::test]
async fn a_second_signal_ends_at_once_whoever_holds_the_database() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "0")]).await;
    let client = server.demo_user().await;
    let slow = client.simulate(SLOW).await;
    client.reaches(&slow, "running").await;
    let held = Connection::open(server.folder().join("liveops.db")).expect("the database");
    held.busy_timeout(Duration::from_secs(5)).expect("a setting");
    held.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    server.signal("-TERM");
    assert_eq!(insist(&mut server, "-TERM").await, Some(130), "{}", server.said());
    held.execute_batch("ROLLBACK").expect("let go");
    let server = server.again().await;
    assert_eq!(client.finished(&slow).await.state, "interrupted");
    drop(server);
}

/// Each of its runs has to be recorded, and none waits for the database after the other.
#[tokio::test]
async fn a_database_that_is_held_does_not_keep_it_from_stopping() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "0"), ("workers", "12")]).await;
    let client = server.demo_user().await;
    let mut running = Vec::new();
    for _ in 0..12 {
        running.push(client.simulate(SLOW).await);
    }
    for id in &running {
        client.reaches(id, "running").await;
    }
    let held = Connection::open(server.folder().join("liveops.db")).expect("the database");
    held.busy_timeout(Duration::from_secs(5)).expect("a setting");
    held.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let (status, _) = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    held.execute_batch("ROLLBACK").expect("let go");
    let server = server.again().await;
    for id in &running {
        assert_eq!(client.finished(id).await.state, "interrupted");
    }
    drop(server);
}

#[tokio::test]
async fn connections_that_stand_still_do_not_keep_it_from_stopping() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "1")]).await;
    let client = server.demo_user().await;
    let fast = [("steps", "1000000"), ("delay_ms", "0"), ("log_every", "1"), ("message", &"x".repeat(500))];
    let id = client.simulate(&fast).await;
    let token = client.page(&id).await.token.expect("it runs");
    let (cookie, csrf) = (client.cookie_header(), client.csrf().await);
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n", server.address);
    let form = format!("csrf_token={csrf}&steps=");
    let standing = [
        String::new(),
        head("GET /operations"),
        head("GET /healthz") + "\r\n",
        head("POST /operations/new/simulate")
            + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n"
            + &form,
        head(&format!("GET /operations/{id}/log")) + "\r\n",
        head(&format!("GET /stream?token={token}")) + "\r\n",
    ];
    let mut streams = Vec::new();
    for (n, said) in standing.iter().cycle().take(30).enumerate() {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(said.as_bytes()).await.expect("sent");
        if n % standing.len() == 2 {
            // One that has had its answer, and is kept open.
            let mut answer = [0; 15];
            soon("an answer", stream.read_exact(&mut answer)).await.expect("an answer");
        }
        streams.push(stream);
    }
    // Nothing of it is read: what is sent to them fills all buffers.
    let (status, took) = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    assert!(took < PATIENCE / 2, "{took:?}");
    drop(streams);
    let server = server.again().await;
    assert!(["interrupted", "succeeded"].contains(&client.finished(&id).await.state.as_str()));
    drop(server);
}

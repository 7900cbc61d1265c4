//! Many watchers, watchers that do not read, and an operation faster than its watcher.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{log_of, numbered, total_lines};
use crate::harness::{Ask, Client, PATIENCE, SLOW, Server, soon, until};

const READERS: usize = 180;
const STALLED: usize = 20;

#[tokio::test]
async fn two_hundred_watchers_do_not_slow_what_they_watch() {
    let server = Server::with(&[("streams_per_user", "1000"), ("log_tail", "20"), ("workers", "2")]).await;
    let client = server.demo_user().await;
    // It waits until all of them watch, and beside it one that nobody watches.
    let before = [client.simulate(SLOW).await, client.simulate(SLOW).await];
    for first in &before {
        client.reaches(first, "running").await;
    }
    // 600 steps of 20 ms, with lines of 8 KB: more than the system's buffers hold of a stream that
    // nobody reads.
    let message = "watched ".repeat(1024);
    let fields = [("steps", "600"), ("delay_ms", "20"), ("log_every", "1"), ("message", message.trim())];
    let (id, alone) = (client.simulate(&fields).await, client.simulate(&fields).await);
    let token = client.page(&id).await.token.expect("it waits");
    let path = format!("/stream?token={token}");
    let mut stalled: Vec<TcpStream> = Vec::new();
    for _ in 0..STALLED {
        stalled.push(stalled_stream(&client, &path).await);
    }
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let response = client.open(Ask::get(&path)).await;
        assert_eq!(response.status().as_u16(), 200);
        readers.spawn(read_to_end(response));
    }
    for first in &before {
        assert_eq!(client.command(first, "cancel").await.status, 303);
    }
    let mut most_read = 0;
    while let Some(reader) = readers.join_next().await {
        let (bytes, tail) = reader.expect("no panic");
        assert!(
            tail.contains("event: end\n"),
            "a stream of {bytes} bytes that closed without its end: {tail}"
        );
        most_read = most_read.max(bytes);
    }
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "SELECT finished - started FROM liveops_operations WHERE id = ?1";
    client.finished(&alone).await;
    let [took, took_alone] = [&id, &alone].map(|id| {
        let micros: i64 = database.query_row(sql, [id], |row| row.get(0)).expect("it is over");
        Duration::from_micros(micros.unsigned_abs())
    });
    let memory = server.memory("VmHWM");
    println!("it took {took:?}, the other {took_alone:?} of 12 s, {memory} MiB");
    // Whatever else keeps the machine busy holds up both, as watchers would that hold up the whole server.
    assert!(took < took_alone * 3 / 2, "600 steps of 20 ms took {took:?}, and {took_alone:?} unwatched");
    assert!(took_alone < PATIENCE, "600 steps of 20 ms took {took_alone:?} beside those who watch others");
    assert!(memory < 100, "{memory} MiB with {} streams, {STALLED} of them never read", READERS + STALLED);
    assert_eq!(numbered(&log_of(&client, &id).await, message.trim()), 600);

    // Who reads at last gets what the system's buffers hold, and then the end, not a backlog.
    let mut most_left = 0;
    let mut rests = JoinSet::new();
    for mut stream in stalled {
        rests.spawn(async move {
            let mut bytes = Vec::new();
            let read = soon("a stalled stream's rest", stream.read_to_end(&mut bytes)).await;
            read.map(|_| bytes)
        });
    }
    while let Some(rest) = rests.join_next().await {
        let bytes = rest.expect("no panic").expect("it is closed well");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("event: end\n"), "{} bytes without an end", bytes.len());
        most_left = most_left.max(bytes.len());
    }
    println!("who read got up to {most_read} bytes, who came late up to {most_left}");
    assert!(most_left < most_read, "a backlog of {most_left} bytes");
}

#[tokio::test]
async fn a_million_lines_at_full_speed_are_all_kept_in_bounded_memory() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    // It waits until somebody watches.
    let first = client.simulate(SLOW).await;
    client.reaches(&first, "running").await;
    let fields = [("steps", "1000000"), ("delay_ms", "0"), ("log_every", "1"), ("message", "row")];
    let id = client.simulate(&fields).await;
    let mut events = client.follow(&id).await;
    let begin = Instant::now();
    assert_eq!(client.command(&first, "cancel").await.status, 303);
    let mut model = crate::harness::Model::new(200);
    while let Some(event) = events.next().await {
        model.apply(&event);
    }
    let memory = server.memory("VmHWM");
    println!("a million lines in {:?}, {memory} MiB", begin.elapsed());
    assert_eq!(model.state(), Some(liveops::State::Succeeded));
    assert_eq!(model.line_numbers(), (999_801..=1_000_000).collect::<Vec<_>>(), "the right tail");
    let page = client.page(&id).await;
    model.assert_is(&page);
    assert_eq!(total_lines(&page), 1_000_000);
    assert_eq!(numbered(&log_of(&client, &id).await, "row"), 1_000_000);
    let memory = server.memory("VmHWM");
    assert!(memory < 200, "{memory} MiB");
}

/// Each has a translation of its own, of which there is little at a time.
#[tokio::test]
async fn whoever_does_not_read_a_translated_stream_costs_little() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let first = client.simulate(SLOW).await;
    client.reaches(&first, "running").await;
    // Escaped, the log on the page has some 6 MB.
    let message = "\"<>&".repeat(1500);
    let fields = [("steps", "400"), ("delay_ms", "0"), ("log_every", "1"), ("message", &*message)];
    let id = client.simulate(&fields).await;
    let token = client.page(&id).await.token.expect("it waits");
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        for dialect in ["htmx", "datastar"] {
            stalled.push(stalled_stream(&client, &format!("/stream?token={token}&as={dialect}")).await);
        }
    }
    let before = server.memory("VmRSS");
    let begin = Instant::now();
    assert_eq!(client.command(&first, "cancel").await.status, 303);
    for stream in &mut stalled {
        let mut text = Vec::new();
        soon("a line of the log", async {
            while !String::from_utf8_lossy(&text).contains("&amp; #") {
                assert!(stream.read_buf(&mut text).await.expect("it is open") > 0);
            }
        })
        .await;
    }
    assert_eq!(client.finished(&id).await.state, "succeeded");
    let more = server.memory("VmHWM") - before;
    println!("{} streams after {:?}, {more} MiB more", stalled.len(), begin.elapsed());
    assert!(more < 150, "{more} MiB more with {} of them", stalled.len());
}

/// They share its frame, which goes with the last of them.
#[tokio::test]
async fn whoever_does_not_read_the_stream_of_what_is_over_costs_little() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let begin = Instant::now();
    let first = client.simulate(&[("steps", "1"), ("delay_ms", "60000")]).await;
    client.reaches(&first, "running").await;
    // Escaped, the log on the page has some 6 MB.
    let message = "\"<>&".repeat(1500);
    let fields = [("steps", "400"), ("delay_ms", "0"), ("log_every", "1"), ("message", &*message)];
    let id = client.simulate(&fields).await;
    let token = client.page(&id).await.token.expect("it waits");
    assert_eq!(client.command(&first, "cancel").await.status, 303);
    until("its end", async || client.get("/operations").await.text().contains("\"succeeded\"").then_some(()))
        .await;
    let path = format!("/stream?token={token}");
    // One after the other, so that what each costs while it is opened is free again for the next one.
    let mut stalled = Vec::new();
    let mut before = 0;
    for n in 0..=STALLED {
        let mut stream = stalled_stream(&client, &path).await;
        let mut text = Vec::new();
        soon("a line of the log", async {
            while !String::from_utf8_lossy(&text).contains("&amp; #") {
                assert!(stream.read_buf(&mut text).await.expect("it is open") > 0);
            }
        })
        .await;
        stalled.push(stream);
        if n == 0 {
            before = server.memory("VmRSS");
        }
    }
    let more = server.memory("VmRSS").saturating_sub(before);
    println!("{} streams after {:?}, {more} MiB more than for the first", stalled.len(), begin.elapsed());
    assert!(more < 60, "{more} MiB more with {} of them", stalled.len());
}

/// Opens a stream over a connection with small buffers, and reads nothing of it.
pub(super) async fn stalled_stream(client: &Client, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(client.address).await.expect("a connection");
    let (host, cookies) = (client.address, client.cookie_header());
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

/// How long a stream was, and the end of it.
async fn read_to_end(mut response: reqwest::Response) -> (usize, String) {
    let (mut length, mut tail) = (0, Vec::new());
    loop {
        let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("something comes");
        let Some(chunk) = chunk.expect("it is not cut off") else { break };
        length += chunk.len();
        tail.extend_from_slice(&chunk);
        let excess = tail.len().saturating_sub(1024);
        tail.drain(..excess);
    }
    (length, String::from_utf8_lossy(&tail).into_owned())
}

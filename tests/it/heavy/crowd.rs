//! Ten thousand streams on which nothing happens, and two hundred that hardly read, while operations run at full speed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::log_of;
use super::watchers::stalled_stream;
use crate::harness::{Client, SLOW, Server, soon};

const IDLE: u64 = 10_000;
/// With fewer there is no crowd to speak of.
const LEAST: u64 = 500;
/// What this process has open beside them.
const BESIDE: u64 = 300;
const STALLED: usize = 100;
const TRICKLING: usize = 100;
const FAST: usize = 4;
/// Streams that are opened at the same time.
const TOGETHER: usize = 50;

/// As many idle streams as this process may have beside everything else.
fn allowed() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("it may be as high as that");
    let allowed = limit.maximum.map_or(IDLE, |most| most.saturating_sub(BESIDE).min(IDLE));
    let maximum = limit.maximum;
    assert!(
        allowed >= LEAST,
        "the hard limit of open files, {maximum:?}, is too low: raise it to {}",
        IDLE + BESIDE
    );
    if allowed < IDLE {
        println!("only {allowed} of {IDLE} streams: the hard limit of open files is {maximum:?}");
    }
    allowed
}

#[tokio::test]
async fn ten_thousand_idle_streams_and_two_hundred_slow_ones_hold_up_nothing() {
    let idle = allowed();
    let server = Server::with(&[("streams_per_user", "20000"), ("workers", "5")]).await;
    let client = server.demo_user().await;
    let quiet = client.simulate(&[("steps", "100"), ("delay_ms", "60000")]).await;
    client.reaches(&quiet, "running").await;
    let path = format!("/stream?token={}", client.page(&quiet).await.token.expect("it runs"));
    let begin = Instant::now();
    let before = server.memory("VmRSS");
    let mut crowd = Vec::new();
    let mut opening = JoinSet::new();
    for _ in 0..idle {
        if opening.len() == TOGETHER {
            crowd.push(opening.join_next().await.expect("one of them").expect("no panic"));
        }
        opening.spawn(open(request(&client, &path), client.address));
    }
    crowd.extend(opening.join_all().await);
    let with_crowd = server.memory("VmRSS");
    let each = (with_crowd - before) * 1024 / idle;
    println!("{idle} idle streams after {:?}, {each} KiB each", begin.elapsed());
    assert!(each < 60, "{each} KiB for each idle stream");

    // Others are in the queue before them, so that every stream is open before the first of them begins.
    let mut before_them = Vec::new();
    for _ in 0..FAST {
        let id = client.simulate(SLOW).await;
        client.reaches(&id, "running").await;
        before_them.push(id);
    }
    // A flush of 200 such lines is 400 KB: the system's buffers do not take it for one that reads nothing.
    let message = "fast ".repeat(400);
    let fields = [("steps", "100000"), ("delay_ms", "0"), ("log_every", "100"), ("message", message.trim())];
    let mut fast = Vec::new();
    let (mut stalled, mut trickling) = (Vec::new(), JoinSet::new());
    for _ in 0..FAST {
        let id = client.simulate(&fields).await;
        let path = format!("/stream?token={}", client.page(&id).await.token.expect("it waits"));
        for _ in 0..STALLED / FAST {
            stalled.push(stalled_stream(&client, &path).await);
        }
        for _ in 0..TRICKLING / FAST {
            trickling.spawn(trickle(stalled_stream(&client, &path).await));
        }
        fast.push(id);
    }
    for id in &before_them {
        assert_eq!(client.command(id, "cancel").await.status, 303);
    }
    let begin = Instant::now();
    for id in &fast {
        assert_eq!(client.finished(id).await.state, "succeeded");
        assert_eq!(numbered_by_hundreds(&log_of(&client, id).await, message.trim()), 1000);
    }
    let most = server.memory("VmHWM");
    println!("all are over after {:?}, {} MiB more", begin.elapsed(), most - with_crowd);
    assert!(most - with_crowd < 100, "{} MiB more with slow streams", most - with_crowd);
    trickling.shutdown().await;
    drop(stalled);

    // Nobody was lost: each of them hears of the end.
    client.command(&quiet, "cancel").await;
    let mut ends = JoinSet::new();
    for mut stream in crowd {
        ends.spawn(async move {
            let mut rest = Vec::new();
            soon("the end of an idle stream", stream.read_to_end(&mut rest))
                .await
                .expect("it is closed well");
            assert!(String::from_utf8_lossy(&rest).contains("event: end\n"));
        });
    }
    ends.join_all().await;
}

fn numbered_by_hundreds(log: &str, message: &str) -> usize {
    let lines = log.lines().zip(1..).map(|(line, n)| assert_eq!(line, format!("{message} #{}", n * 100)));
    lines.count()
}

fn request(client: &Client, path: &str) -> String {
    let (host, cookies) = (client.address, client.cookie_header());
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n")
}

/// A stream that has had its first flush.
async fn open(request: String, address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    soon("a stream's first flush", async {
        while !String::from_utf8_lossy(&head).contains("\nid: ") {
            assert!(
                stream.read_buf(&mut head).await.expect("it is open") > 0,
                "{}",
                String::from_utf8_lossy(&head)
            );
        }
    })
    .await;
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Reads a few bytes a second.
async fn trickle(mut stream: TcpStream) {
    let mut bytes = [0; 4];
    loop {
        stream.read_exact(&mut bytes).await.expect("it is open");
        // It is a slow one: that is what it is for.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

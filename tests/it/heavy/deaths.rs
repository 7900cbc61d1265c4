//! kill -9 at random moments and SIGTERM, while much runs, waits and begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{log_of, numbered, total_lines};
use crate::harness::{Ask, Client, Server};
use crate::start::{count, csv, imports};

/// Operations that run at once.
const WORKERS: usize = 6;
/// Runs for a minute, with a line every 10 ms.
const LONG: &[(&str, &str)] =
    &[("steps", "6000"), ("delay_ms", "10"), ("log_every", "1"), ("message", "long")];
/// Is over soon.
const SHORT: &[(&str, &str)] =
    &[("steps", "20"), ("delay_ms", "5"), ("log_every", "1"), ("message", "short")];
/// Rows of the small imports and of the large ones.
const ROWS: [usize; 2] = [30, 300_000];

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Long,
    Short,
    Import,
}

type Started = Arc<Mutex<BTreeMap<String, What>>>;

#[tokio::test]
async fn kills_at_random_moments_lose_and_double_nothing() {
    let mut server = Server::with(&[("workers", &WORKERS.to_string())]).await;
    let client = Arc::new(server.demo_user().await);
    let mut imported = 0;
    let before = Instant::now();
    for round in 0..8 {
        let csrf = client.csrf().await;
        let again = client.submit("repeatable", &[], None).await.started();
        client.follow(&again).await.until(|event| event.html().contains("Counting #2<")).await;
        let started = Started::default();
        let mut anchors = Vec::new();
        for _ in 0..3 {
            let id = client.simulate(LONG).await;
            started.lock().expect("no panic").insert(id.clone(), What::Long);
            client.reaches(&id, "running").await;
            anchors.push(id);
        }
        let id = client.import("large.csv", &csv(ROWS[1])).await;
        started.lock().expect("no panic").insert(id, What::Import);
        for _ in 0..6 {
            let id = client.simulate(SHORT).await;
            started.lock().expect("no panic").insert(id, What::Short);
        }
        let starters: Vec<_> = (0..3)
            .map(|_| tokio::spawn(keep_starting(Arc::clone(&client), csrf.clone(), Arc::clone(&started))))
            .collect();
        // Any moment whatever: so there is nothing to wait for.
        let moment = Duration::from_millis(50 + random() % 1200);
        tokio::time::sleep(moment).await;
        server.kill();
        for starter in starters {
            starter.await.expect("no panic");
        }
        server = server.again().await;
        let restarted = Instant::now();
        let started = std::mem::take(&mut *started.lock().expect("no panic"));
        println!("round {round}: killed after {moment:?} with {} started", started.len());

        // What surely ran is not said to run any more; what waited runs now.
        for id in &anchors {
            let state = settled(&client, id, restarted + Duration::from_secs(10)).await;
            assert_eq!(state, "interrupted", "{round}: {id}");
        }
        // The repeatable one runs again, by itself.
        let mut events = client.follow(&again).await;
        let seen = events.until(|event| event.html().contains("Counting #1<")).await;
        assert!(!seen.iter().any(|event| event.name == "end"), "{round}: {seen:?}");
        let first = client.get(&format!("/operations/{again}/log?attempt=1")).await;
        assert_eq!(first.status, 200);
        println!("{} lines of its first attempt", numbered(&first.text(), "Counting"));
        client.command(&again, "cancel").await;
        assert_eq!(client.finished(&again).await.state, "cancelled");
        let mut interrupted = 0;
        for (id, what) in &started {
            let page = client.finished(id).await;
            let ended = page.state.as_str();
            assert!(["succeeded", "interrupted"].contains(&ended), "{round}: {what:?} {id} {ended}");
            interrupted += usize::from(ended == "interrupted");
            let log = log_of(&client, id).await;
            assert_eq!(total_lines(&page), log.lines().count(), "{round}: {what:?} {id}");
            match what {
                What::Long => assert!(numbered(&log, "long") <= 6000),
                What::Short if ended == "succeeded" => assert_eq!(numbered(&log, "short"), 20),
                What::Short => assert!(numbered(&log, "short") <= 20),
                What::Import => imported += usize::from(ended == "succeeded"),
            }
        }
        assert!(interrupted <= WORKERS, "{interrupted} interrupted: more than ran");
        let whole = whole_imports(&server);
        assert!(whole >= imported, "{imported} imports succeeded, {whole} files have all rows");
    }
    println!("{:?} in all", before.elapsed());
}

#[tokio::test]
async fn sigterm_leaves_everything_in_order() {
    let settings = [("workers", "6"), ("shutdown_grace_seconds", "2")];
    let mut server = Server::with(&settings).await;
    let client = server.demo_user().await;
    let fast = [("steps", "1000000"), ("delay_ms", "0"), ("log_every", "1"), ("message", "fast")];
    let mut running = Vec::new();
    let mut streams = Vec::new();
    for fields in [LONG, &fast, LONG, &fast, LONG] {
        let id = client.simulate(fields).await;
        streams.push(client.follow(&id).await);
        running.push((id, fields[3].1));
    }
    let import = client.import("large.csv", &csv(1_000_000)).await;
    streams.push(client.follow(&import).await);
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(client.simulate(SHORT).await);
    }
    for events in &mut streams {
        events.first_flush().await;
    }
    let (status, took) = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    // The grace, the last commits, and what a busy machine adds.
    assert!(took < Duration::from_secs(10), "the grace is 2 s: {took:?}");
    for mut events in streams {
        events.rest().await;
    }
    let server = server.again().await;
    let mut states = Vec::new();
    for (id, message) in &running {
        let page = client.page(id).await;
        let log = log_of(&client, id).await;
        let lines = numbered(&log, message);
        assert_eq!(total_lines(&page), lines, "{message} {id}");
        assert!(lines > 0, "{message} {id} had begun");
        states.push(page.state);
    }
    // Recorded at once, not found later; a fast one may have ended within the grace.
    let ended = |state: &String| state == "interrupted" || state == "succeeded";
    assert!(states.iter().all(ended), "{states:?}");
    assert!(states.iter().step_by(2).all(|state| state == "interrupted"), "{states:?}");
    let state = client.page(&import).await.state;
    assert!(ended(&state), "{state}");
    let rows: Vec<i64> = imports(server.folder()).iter().map(|file| count(file)).collect();
    assert!(rows.iter().all(|rows| *rows == if state == "succeeded" { 1_000_000 } else { 0 }), "{rows:?}");
    for id in &waiting {
        assert_eq!(client.finished(id).await.state, "succeeded", "what waited ran after the restart");
        assert_eq!(numbered(&log_of(&client, id).await, "short"), 20);
    }
    println!("stopped within {took:?}: {states:?}");
}

/// Starts one after the other until the server is gone, and notes what it answered.
async fn keep_starting(client: Arc<Client>, csrf: String, started: Started) {
    for n in 0.. {
        let (ask, what) = if n % 4 == 3 {
            let ask = Ask::post("/operations/new/csv_import");
            let fields = [("csrf_token", csrf.as_str())];
            (ask.multipart(&fields, ("file", "small.csv", &csv(ROWS[0]))), What::Import)
        } else {
            let fields: Vec<_> = [("csrf_token", csrf.as_str())].iter().chain(SHORT).copied().collect();
            (Ask::post("/operations/new/simulate").form(&fields), What::Short)
        };
        let Ok(response) = client.request(ask).send().await else { return };
        let location = response.headers().get("location").expect("it is started").to_str().expect("ASCII");
        let id = location.strip_prefix("/operations/").expect("an operation's page").to_owned();
        started.lock().expect("no panic").insert(id, what);
        // Enough to be in the middle of one at any moment, without a queue that takes minutes.
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// An operation's state once it does not claim to be running, which is before `deadline`.
async fn settled(client: &Client, id: &str, deadline: Instant) -> String {
    loop {
        let state = client.page(id).await.state;
        if !["running", "cancelling"].contains(&state.as_str()) {
            return state;
        }
        assert!(Instant::now() < deadline, "{id} still claims to be {state}");
        // Asked again and again, as by whoever loads the page: within the contract's time it has to be true.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many imports have all their rows; the others have none.
fn whole_imports(server: &Server) -> usize {
    let mut whole = 0;
    for file in imports(server.folder()) {
        let rows = count(&file) as usize;
        assert!(rows == 0 || ROWS.contains(&rows), "{rows} rows of {file:?}: half an import");
        whole += usize::from(rows > 0);
    }
    whole
}

pub(super) fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

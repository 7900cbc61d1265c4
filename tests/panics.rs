//! A panic wherever an operation's own code runs, and in the store under the work in the background: what follows is as if it
//! had not been.

mod faulty;

use std::collections::BTreeSet;
use std::panic::panic_any;
use std::sync::Arc;
use std::time::Duration;

use faulty::Faulty;
use jiff::Timestamp;
use liveops::operation::{Ending, NewOperation};
use liveops::store::{Sqlite, Store};
use liveops::testing::StreamClient;
use liveops::{LiveOps, LiveOpsBuilder, Operation, OperationId, Outcome, Progress, SecretKey, State, Viewer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Panics when it is told.
#[derive(Debug)]
struct Untold;

impl std::fmt::Display for Untold {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("told");
    }
}

impl std::error::Error for Untold {}

impl std::fmt::Display for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bomb")
    }
}

impl std::error::Error for Bomb {}

#[derive(Serialize, Deserialize)]
struct Act(String);

impl Operation for Act {
    const KIND: &'static str = "act";

    async fn run(self, p: Progress) -> liveops::Result {
        match self.0.as_str() {
            "at once" => panic!("at once"),
            "later" => {
                tokio::task::yield_now().await;
                p.log("later");
                panic!("later");
            }
            "in a guard" => {
                let _bomb = Bomb;
                p.result(1)
            }
            "in a stage" => {
                let _stage = p.stage("Stage");
                for n in p.track(0..3) {
                    assert!(n? < 1, "in a stage");
                }
                p.result(1)
            }
            "with a bomb" => panic_any(Bomb),
            "error that cannot be told" => Err(Untold.into()),
            "error that cannot be dropped" => Err(Bomb.into()),
            "stay" => Err(p.cancelled().await.into()),
            _ => Ok(Outcome::default()),
        }
    }

    async fn on_restart(&mut self, _: u32) -> liveops::Result<()> {
        assert!(self.0 != "restart", "as asked");
        Ok(())
    }

    async fn on_finish(self, _: Ending) -> liveops::Result<()> {
        match self.0.as_str() {
            "finish" => panic_any(Bomb),
            "finish with an error" => Err(Untold.into()),
            _ => Ok(()),
        }
    }
}

fn ada() -> Viewer {
    let id = "ada".to_owned();
    Viewer { name: id.clone(), id, groups: vec![], superuser: false, session: "s".into() }
}

fn builder(store: impl Store) -> LiveOpsBuilder {
    let key = SecretKey::new(&[7; 32]).expect("a key");
    LiveOps::builder().store(store).secret_key(key).operation::<Act>().workers(1)
}

async fn start(live: &LiveOps, act: &str) -> OperationId {
    live.start(&ada(), Act(act.to_owned())).await.expect("started")
}

async fn reaches(live: &LiveOps, id: OperationId, state: State) {
    let reached = async {
        // Again and again, since some of the work that tells of it is what panics.
        loop {
            let seen = live.view(&ada(), id).await.expect("the store").expect("it is there");
            // The page is told once the record says so.
            if (seen.record.state, seen.projection.state()) == (state, state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
    assert!(reached.is_ok(), "{id} is not {state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_panics_in_an_operation_fails_it_and_frees_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = builder(Sqlite::open(folder.path().join("db")).expect("a database"));
    let live = live.start().await.expect("it starts");
    for act in [
        "at once",
        "later",
        "in a guard",
        "in a stage",
        "with a bomb",
        "error that cannot be told",
        "error that cannot be dropped",
    ] {
        let id = start(&live, act).await;
        reaches(&live, id, State::Failed).await;
        let page = live.view(&ada(), id).await.expect("the store").expect("it is there").projection;
        let message = page.ending().and_then(|ending| ending.message.clone()).expect("a message").to_string();
        assert!(message.contains("Something went wrong inside"), "{act}: {message}");
        // There is one place only.
        reaches(&live, start(&live, "well").await, State::Succeeded).await;
    }
    // What is told of an ending changes nothing about it, and the next one is told too.
    for act in ["finish", "finish with an error", "finish"] {
        reaches(&live, start(&live, act).await, State::Succeeded).await;
    }
    let id = start(&live, "restart").await;
    reaches(&live, id, State::Succeeded).await;
    live.restart(&ada(), id).await.expect("the store");
    reaches(&live, id, State::Failed).await;
    let ended = tokio::time::timeout(Duration::from_secs(30), live.shutdown(DAY)).await;
    assert!(ended.is_ok(), "nothing is thought to be under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_the_background_goes_on_after_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::open(folder.path().join("db")).expect("a database");
    let old = NewOperation {
        id: OperationId::new(),
        kind: "act".to_owned(),
        owner: "ada".to_owned(),
        title: "Old".to_owned(),
        input: serde_json::json!("old"),
        previous: None,
        submission: None,
        uploads: vec![],
        claimed: false,
    };
    let (old, long_ago) =
        (store.create(old, None, Timestamp::now()).await.expect("created"), Timestamp::now() - 2 * DAY);
    store.cancel(old, long_ago).await.expect("over since long");
    let wires = Arc::new(Mutex::new(BTreeSet::from(["claim", "cancel_requests", "remove_ended"])));
    let tripping = Faulty { wires: Arc::clone(&wires), ..Faulty::new(&folder) };
    let live = builder(tripping).retention(DAY).start().await.expect("it starts");
    let first = start(&live, "stay").await;
    reaches(&live, first, State::Running).await;
    let second = start(&live, "stay").await;
    // One that waits is followed through the store while it is watched.
    let mut watching = StreamClient::open(&live, &ada(), second).await;
    wires.lock().insert("before");
    let all = async {
        // Work in the background, which tells nobody.
        while !wires.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // By retention.
        while live.view(&ada(), old).await.expect("the store").is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), all).await.is_ok(), "left: {:?}", wires.lock());
    // As another process asks.
    store.cancel(first, Timestamp::now()).await.expect("asked");
    reaches(&live, first, State::Cancelled).await;
    reaches(&live, second, State::Running).await;
    watching.state(State::Running).await;
    let third = start(&live, "well").await;
    store.cancel(second, Timestamp::now()).await.expect("asked");
    reaches(&live, third, State::Succeeded).await;
}

//! A store that is late or fails, and what becomes of the runs that need it.

mod faulty;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use faulty::Faulty;
use jiff::Timestamp;
use liveops::access::Viewer;
use liveops::live::{RestartAnswer, Snapshot};
use liveops::operation::{NewOperation, State};
use liveops::store::{Filter, Sqlite, Store, StoreError};
use liveops::{LiveOps, LiveOpsBuilder, Operation, OperationId, Progress, SecretKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// How often the store is asked for what is awaited: one that fails may tell nobody.
const POLL: Duration = Duration::from_millis(10);
/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a step of the operation takes, so that an attempt lasts for a second: in that time the store is late, or fails.
const STEP: Duration = Duration::from_millis(50);

#[derive(Serialize, Deserialize)]
struct Short;

impl Operation for Short {
    const KIND: &'static str = "short";

    async fn run(self, p: Progress) -> liveops::Result {
        p.log("begins");
        for _ in p.track(0..20) {
            tokio::time::sleep(STEP).await;
        }
        p.log("ends");
        p.result("done")
    }
}

/// Says its last line once it is told to stop, which it does not heed.
#[derive(Serialize, Deserialize)]
struct Patient;

impl Operation for Patient {
    const KIND: &'static str = "patient";

    async fn run(self, p: Progress) -> liveops::Result {
        p.log("begins");
        p.cancelled().await;
        p.log("ends");
        p.result("done")
    }
}

/// Its first attempt lasts until it is told to stop.
#[derive(Serialize, Deserialize)]
struct Again(bool);

impl Operation for Again {
    const KIND: &'static str = "again";
    const REPEATABLE: bool = true;

    async fn run(self, p: Progress) -> liveops::Result {
        if self.0 {
            return Err(p.cancelled().await.into());
        }
        p.result("done")
    }

    async fn on_restart(&mut self, _: u32) -> liveops::Result<()> {
        self.0 = false;
        Ok(())
    }
}

/// Hands over to [`Short`].
#[derive(Serialize, Deserialize)]
struct First;

impl Operation for First {
    const KIND: &'static str = "first";

    async fn run(self, p: Progress) -> liveops::Result {
        p.chain_to(&Short)
    }
}

fn builder(store: Faulty) -> LiveOpsBuilder {
    let key = SecretKey::new(&[7; 32]).expect("32 bytes");
    LiveOps::builder()
        .store(store)
        .secret_key(key)
        .operation::<Short>()
        .operation::<Patient>()
        .operation::<First>()
        .operation::<Again>()
}

async fn start(store: Faulty) -> LiveOps {
    builder(store).start().await.expect("it starts")
}

fn viewer() -> Viewer {
    Viewer { id: "u".into(), name: "u".into(), groups: Vec::new(), superuser: false, session: "s".into() }
}

async fn until_over(live: &LiveOps, id: OperationId) -> Snapshot {
    loop {
        let snapshot = live.view(&viewer(), id).await.expect("the store works").expect("it is there");
        if snapshot.record.state.is_final() {
            return snapshot;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn stored_log(folder: &tempfile::TempDir, id: OperationId) -> Vec<String> {
    let store = Sqlite::open(folder.path().join("db")).expect("a database");
    let log = store.log(id, 1, 1, 100).await.expect("the log");
    log.iter().map(|line| line.text.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_for_a_while_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = start(Faulty { failing: AtomicUsize::new(2), ..Faulty::new(&folder) }).await;
    let id = live.start(&viewer(), Short).await.expect("started");
    assert_eq!(until_over(&live, id).await.record.state, State::Succeeded);
    assert_eq!(stored_log(&folder, id).await, ["begins", "ends"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lines_could_not_be_stored_does_not_end_well_and_has_them_with_its_ending() {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = || StoreError::Failed("the file is corrupt".into());
    let live = start(Faulty { failing: AtomicUsize::new(1), fault, ..Faulty::new(&folder) }).await;
    let id = live.start(&viewer(), Patient).await.expect("started");
    let ending = until_over(&live, id).await.record.ending.expect("an ending");
    assert_eq!(ending.state, State::Failed);
    let message = ending.message.expect("words for the user").to_string();
    assert!(message.contains("could not save") && !message.contains("corrupt"), "{message}");
    assert_eq!(stored_log(&folder, id).await, ["begins"]);
    assert_eq!(until_over(&live, id).await.projection.log().total(), 1);
}

/// Its ending is stored all the same, and counts no line that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lines_are_never_taken_ends_with_those_that_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = || StoreError::Failed("the file is corrupt".into());
    let (spared, failing) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX));
    let live = start(Faulty { spared, failing, fault, ..Faulty::new(&folder) }).await;
    let id = live.start(&viewer(), Patient).await.expect("started");
    while stored_log(&folder, id).await.is_empty() {
        tokio::time::sleep(POLL).await;
    }
    assert!(live.cancel(&viewer(), id).await.expect("the store works"));
    let store = Sqlite::open(folder.path().join("db")).expect("a database");
    let stored = async {
        while !store.record(id).await.expect("it works").expect("it is there").state.is_final() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("its ending is stored");
    assert_eq!(stored_log(&folder, id).await, ["begins"]);
    let page = store.projection(id).await.expect("it works").expect("it is there");
    let lines: Vec<_> = page.log().lines().map(|line| line.text.as_str()).collect();
    assert_eq!((page.state(), page.log().total(), &lines[..]), (State::Failed, 1, &["begins"][..]));
    let damage = Sqlite::check(folder.path().join("db")).expect("it can be read").damage;
    assert!(damage.is_empty(), "{damage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_has_a_page_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let finished = Arc::new(Semaphore::new(0));
    let store = Faulty { finished: Arc::clone(&finished), ..Faulty::new(&folder) };
    let live = start(store).await;
    let viewer = viewer();
    let id = live.start(&viewer, Short).await.expect("started");
    while live.restart(&viewer, id).await.expect("the store works") != RestartAnswer::Queued {
        tokio::time::sleep(POLL).await;
    }
    let view = async || live.view(&viewer, id).await.expect("the store works").expect("it is there");
    while view().await.record.state == State::Waiting {
        tokio::time::sleep(POLL).await;
    }
    // Only now, while the second one runs, does the first attempt hear that its ending is committed.
    finished.add_permits(1);
    let view = until_over(&live, id).await;
    assert_eq!((view.projection.attempt(), view.record.state), (2, State::Succeeded));
    assert_eq!(view.projection.log().total(), 2);
}

/// Nobody else would ever run it: it is this process's own from the moment of the handover.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_to_is_run_once_the_store_can_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Faulty { unread: AtomicUsize::new(1), ..Faulty::new(&folder) };
    let live = builder(store).foreground().start().await.expect("it starts");
    let first = live.run(&viewer(), "first", serde_json::json!(null), Vec::new()).await.expect("begun");
    live.all_ended().await;
    let ending = until_over(&live, first).await.record.ending.expect("an ending");
    let next = live.view(&viewer(), ending.next.expect("it handed over")).await;
    assert_eq!(next.expect("the store works").expect("it is there").record.state, State::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_to_while_the_process_ends_is_interrupted_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let finished = Arc::new(Semaphore::new(0));
    let store = Faulty { finished: Arc::clone(&finished), ..Faulty::new(&folder) };
    let live = builder(store).foreground().start().await.expect("it starts");
    let first = live.run(&viewer(), "first", serde_json::json!(null), Vec::new()).await.expect("begun");
    // Committed, which its run does not hear before the process begins to end.
    let next = until_over(&live, first).await.record.ending.and_then(|ending| ending.next);
    tokio::join!(live.shutdown(Duration::ZERO), async { finished.add_permits(1) });
    let next = live.view(&viewer(), next.expect("it handed over")).await;
    assert_eq!(next.expect("the store works").expect("it is there").record.state, State::Interrupted);
}

/// Each step is one commit of a few, so that none is long.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_removed_in_small_steps_with_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Faulty::new(&folder);
    let removed = Arc::clone(&store.removed);
    let uploads = folder.path().join("uploads");
    std::fs::create_dir(&uploads).expect("a folder");
    for n in 0..90 {
        let name = format!("{:016x}-{n:043}", store.identity());
        std::fs::write(uploads.join(&name), "a,b\n").expect("it is written");
        let new = NewOperation {
            id: OperationId::new(),
            kind: "short".to_owned(),
            owner: "u".to_owned(),
            title: "Old".to_owned(),
            input: serde_json::json!(null),
            previous: None,
            submission: None,
            uploads: vec![name],
            claimed: false,
        };
        store.create(new.clone(), None, Timestamp::UNIX_EPOCH).await.expect("created");
        // The last ten are young.
        let at = if n < 80 { Timestamp::UNIX_EPOCH } else { Timestamp::now() };
        store.cancel(new.id, at).await.expect("cancelled");
    }
    let live = builder(store).uploads(&uploads).retention(Duration::from_secs(3600));
    let live = live.start().await.expect("it starts");
    let files = || std::fs::read_dir(&uploads).expect("a folder").count();
    let removal = async {
        while files() > 10 {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, removal).await.unwrap_or_else(|_| panic!("{} files are left", files()));
    let left = live.list(&viewer(), &Filter::default(), 1).await.expect("the store").records;
    assert_eq!((left.len(), files()), (10, 10));
    let removed = removed.lock();
    assert_eq!(removed.iter().sum::<u32>(), 80);
    assert!(removed.iter().all(|step| *step <= 20), "{removed:?}");
}

/// Its process is as good as dead, so the next one does it.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_put_back_at_a_shutdown_is_put_back_by_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = start(Faulty { unrepeatable: true, ..Faulty::new(&folder) }).await;
    let id = live.start(&viewer(), Again(true)).await.expect("started");
    let view = async |live: &LiveOps| {
        live.view(&viewer(), id).await.expect("the store works").expect("it is there").record
    };
    while view(&live).await.state == State::Waiting {
        tokio::time::sleep(POLL).await;
    }
    live.shutdown(Duration::ZERO).await;
    let left = view(&live).await;
    assert_eq!((left.state, left.attempt), (State::Running, 1), "it has no ending");
    let next = start(Faulty::new(&folder)).await;
    let ended = until_over(&next, id).await.record;
    assert_eq!((ended.state, ended.attempt), (State::Succeeded, 2));
}

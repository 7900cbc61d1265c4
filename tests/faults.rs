//! A store that is late or fails, and what becomes of the runs that need it.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use liveops::access::Viewer;
use liveops::live::{RestartAnswer, Snapshot};
use liveops::operation::{NewOperation, Record, State};
use liveops::projection::{Line, Projection};
use liveops::store::{
    CancelAnswer, Census, Filter, Finish, Glances, Lease, Orphan, RecordPage, Removed, Sqlite, Store,
    StoreError, StoreResult, Wanted,
};
use liveops::{LiveOps, LiveOpsBuilder, Operation, OperationId, Progress, SecretKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// How often the store is asked for what is awaited.
const POLL: Duration = Duration::from_millis(10);
/// What a step of the operation takes, so that an attempt lasts for a second.
const STEP: Duration = Duration::from_millis(50);

/// A store that misbehaves as it is told.
struct Faulty {
    store: Sqlite,
    /// Where the answer to the `finish` of a first attempt waits, as on a busy machine.
    finished: Arc<Semaphore>,
    /// How many checkpoints with lines fail, one after the other, before they do well.
    failing: AtomicUsize,
    /// How they fail.
    fault: fn() -> StoreError,
    /// How many reads of a record fail once an operation has handed over.
    unread: AtomicUsize,
    /// An operation has handed over.
    handed_over: AtomicBool,
    /// How many operations each step of the removal took.
    removed: Arc<Mutex<Vec<u32>>>,
    /// Whether it takes no run back into the queue.
    unrepeatable: bool,
}

impl Faulty {
    fn new(folder: &tempfile::TempDir) -> Self {
        Self {
            store: Sqlite::open(folder.path().join("db")).expect("a database"),
            finished: Arc::new(Semaphore::new(100)),
            failing: AtomicUsize::new(0),
            fault: || StoreError::Unwritable("the disk is full".into()),
            unread: AtomicUsize::new(0),
            handed_over: AtomicBool::new(false),
            removed: Arc::default(),
            unrepeatable: false,
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn create(&self, new: NewOperation, now: Timestamp) -> StoreResult<OperationId> {
        self.store.create(new, now).await
    }
    fn identity(&self) -> u64 {
        self.store.identity()
    }
    async fn remove_ended(&self, before: Timestamp, limit: u32) -> StoreResult<Removed> {
        let removed = self.store.remove_ended(before, limit).await;
        self.removed.lock().expect("no panic").extend(removed.as_ref().map(|removed| removed.operations));
        removed
    }
    async fn follow_clock(&self, now: Timestamp, step: Duration) -> StoreResult<Timestamp> {
        self.store.follow_clock(now, step).await
    }
    async fn census(&self) -> StoreResult<Census> {
        self.store.census().await
    }
    async fn probe(&self, now: Timestamp) -> StoreResult<()> {
        self.store.probe(now).await
    }
    async fn uploads_of(&self, id: OperationId) -> StoreResult<Vec<String>> {
        self.store.uploads_of(id).await
    }
    async fn uploads_needed(&self, names: Vec<String>) -> StoreResult<Vec<String>> {
        self.store.uploads_needed(names).await
    }
    async fn record(&self, id: OperationId) -> StoreResult<Option<Record>> {
        let fewer = |left: usize| left.checked_sub(1);
        if self.handed_over.load(SeqCst) && self.unread.fetch_update(SeqCst, SeqCst, fewer).is_ok() {
            return Err(StoreError::Failed("an I/O error".into()));
        }
        self.store.record(id).await
    }
    async fn owned(&self, owner: &str, id: OperationId) -> StoreResult<Option<Record>> {
        self.store.owned(owner, id).await
    }
    async fn projection(&self, id: OperationId) -> StoreResult<Option<Projection>> {
        self.store.projection(id).await
    }
    async fn list(&self, owner: &str, filter: &Filter, page: u32, per_page: u32) -> StoreResult<RecordPage> {
        self.store.list(owner, filter, page, per_page).await
    }
    async fn kinds(&self, owner: &str) -> StoreResult<Vec<String>> {
        self.store.kinds(owner).await
    }
    async fn version(&self) -> StoreResult<i64> {
        self.store.version().await
    }

    async fn glance(
        &self,
        owners: &[String],
        without: &[String],
        per_page: u32,
        ids: &[OperationId],
    ) -> StoreResult<Glances> {
        self.store.glance(owners, without, per_page, ids).await
    }

    async fn records(&self, ids: &[OperationId]) -> StoreResult<Vec<(Record, Option<Projection>)>> {
        self.store.records(ids).await
    }

    async fn before(&self, id: OperationId) -> StoreResult<u64> {
        self.store.before(id).await
    }
    async fn log(&self, id: OperationId, attempt: u32, from_seq: u64, limit: u32) -> StoreResult<Vec<Line>> {
        self.store.log(id, attempt, from_seq, limit).await
    }
    async fn claim(&self, wanted: &Wanted, now: Timestamp) -> StoreResult<Option<Record>> {
        self.store.claim(wanted, now).await
    }
    async fn checkpoint(&self, lease: Lease, lines: &[Line], projection: Projection) -> StoreResult<()> {
        let fewer = |left: usize| left.checked_sub(1);
        if !lines.is_empty() && self.failing.fetch_update(SeqCst, SeqCst, fewer).is_ok() {
            return Err((self.fault)());
        }
        self.store.checkpoint(lease, lines, projection).await
    }
    async fn finish(&self, lease: Lease, lines: &[Line], finish: Finish) -> StoreResult<()> {
        let hands_over = finish.next.is_some();
        let answer = self.store.finish(lease, lines, finish).await;
        self.handed_over.fetch_or(hands_over, SeqCst);
        if lease.attempt == 1 {
            drop(self.finished.acquire().await);
        }
        answer
    }
    async fn cancel(&self, id: OperationId, now: Timestamp) -> StoreResult<CancelAnswer> {
        self.store.cancel(id, now).await
    }
    async fn restart(&self, id: OperationId, now: Timestamp) -> StoreResult<bool> {
        self.store.restart(id, now).await
    }
    async fn repeat(&self, lease: Lease, lines: &[Line], now: Timestamp) -> StoreResult<bool> {
        if self.unrepeatable {
            return Err((self.fault)());
        }
        self.store.repeat(lease, lines, now).await
    }
    fn leave(&self) {
        self.store.leave();
    }
    async fn cancel_requests(&self) -> StoreResult<Vec<OperationId>> {
        self.store.cancel_requests().await
    }
    async fn orphans(&self) -> StoreResult<Vec<Orphan>> {
        self.store.orphans().await
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_for_a_while_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = start(Faulty { failing: AtomicUsize::new(2), ..Faulty::new(&folder) }).await;
    let id = live.start(&viewer(), Short).await.expect("started");
    assert_eq!(until_over(&live, id).await.record.state, State::Succeeded);
    let store = Sqlite::open(folder.path().join("db")).expect("a database");
    let log = store.log(id, 1, 1, 100).await.expect("the log");
    assert_eq!(log.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["begins", "ends"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_log_has_a_hole_does_not_end_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = || StoreError::Failed("the file is corrupt".into());
    let live = start(Faulty { failing: AtomicUsize::new(1), fault, ..Faulty::new(&folder) }).await;
    let id = live.start(&viewer(), Short).await.expect("started");
    let ending = until_over(&live, id).await.record.ending.expect("an ending");
    assert_eq!(ending.state, State::Failed);
    let message = ending.message.expect("words for the user").to_string();
    assert!(message.contains("could not save") && !message.contains("corrupt"), "{message}");
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

/// Whoever else writes gets in between two steps, each of which is one commit.
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
        store.create(new.clone(), Timestamp::UNIX_EPOCH).await.expect("created");
        // The last ten are young.
        let at = if n < 80 { Timestamp::UNIX_EPOCH } else { Timestamp::now() };
        store.cancel(new.id, at).await.expect("cancelled");
    }
    let live = builder(store).uploads(&uploads).retention(Duration::from_secs(3600));
    let live = live.start().await.expect("it starts");
    let files = || std::fs::read_dir(&uploads).expect("a folder").count();
    while files() > 10 {
        tokio::time::sleep(POLL).await;
    }
    let left = live.list(&viewer(), &Filter::default(), 1).await.expect("the store").records;
    assert_eq!((left.len(), files()), (10, 10));
    let removed = removed.lock().expect("no panic");
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

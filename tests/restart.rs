//! A restart that comes between the commit of an ending and its showing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use liveops::access::Viewer;
use liveops::operation::{NewOperation, Record, State};
use liveops::projection::{Line, Projection};
use liveops::store::{CancelAnswer, Finish, Lease, RecordPage, Sqlite, Store, StoreResult};
use liveops::{LiveOps, Operation, OperationId, Progress, SecretKey};
use serde::{Deserialize, Serialize};

/// How often the store is asked for what is awaited.
const POLL: Duration = Duration::from_millis(10);
/// What a step of the operation takes, so that an attempt lasts for a second.
const STEP: Duration = Duration::from_millis(50);

/// A store whose answer to the first `finish` is late, as on a busy machine.
struct Late {
    store: Sqlite,
    finished: Arc<tokio::sync::Semaphore>,
}

#[async_trait]
impl Store for Late {
    async fn create(&self, new: NewOperation, now: Timestamp) -> StoreResult<()> {
        self.store.create(new, now).await
    }
    async fn record(&self, id: OperationId) -> StoreResult<Option<Record>> {
        self.store.record(id).await
    }
    async fn projection(&self, id: OperationId) -> StoreResult<Option<Projection>> {
        self.store.projection(id).await
    }
    async fn list(&self, owner: &str, page: u32, per_page: u32) -> StoreResult<RecordPage> {
        self.store.list(owner, page, per_page).await
    }
    async fn before(&self, id: OperationId) -> StoreResult<u64> {
        self.store.before(id).await
    }
    async fn log(&self, id: OperationId, attempt: u32, from_seq: u64, limit: u32) -> StoreResult<Vec<Line>> {
        self.store.log(id, attempt, from_seq, limit).await
    }
    async fn claim(&self, kinds: &[String], now: Timestamp) -> StoreResult<Option<Record>> {
        self.store.claim(kinds, now).await
    }
    async fn checkpoint(&self, lease: Lease, lines: Vec<Line>, projection: Projection) -> StoreResult<()> {
        self.store.checkpoint(lease, lines, projection).await
    }
    async fn finish(&self, lease: Lease, lines: Vec<Line>, finish: Finish) -> StoreResult<()> {
        let answer = self.store.finish(lease, lines, finish).await;
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
    async fn cancel_requests(&self) -> StoreResult<Vec<OperationId>> {
        self.store.cancel_requests().await
    }
    async fn orphans(&self) -> StoreResult<Vec<(Record, Option<Projection>)>> {
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

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_has_a_page_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let finished = Arc::new(tokio::sync::Semaphore::new(0));
    let store = Late {
        store: Sqlite::open(folder.path().join("db")).expect("a database"),
        finished: Arc::clone(&finished),
    };
    let live = LiveOps::builder()
        .store(store)
        .secret_key(SecretKey::new(&[7; 32]).expect("32 bytes"))
        .operation::<Short>()
        .start()
        .await
        .expect("it starts");
    let viewer = Viewer {
        id: "u".into(),
        name: "u".into(),
        groups: Vec::new(),
        superuser: false,
        session: "s".into(),
    };
    let id = live.start(&viewer, Short).await.expect("started");
    while live.restart(&viewer, id).await.expect("the store works") != Some(true) {
        tokio::time::sleep(POLL).await;
    }
    let view = async || live.view(&viewer, id).await.expect("the store works").expect("it is there");
    while view().await.record.state == State::Waiting {
        tokio::time::sleep(POLL).await;
    }
    // Only now, while the second one runs, does the first attempt hear that its ending is committed.
    finished.add_permits(1);
    while !view().await.record.state.is_final() {
        tokio::time::sleep(POLL).await;
    }
    let view = view().await;
    assert_eq!((view.projection.attempt(), view.record.state), (2, State::Succeeded));
    assert_eq!(view.projection.log().total(), 2);
}

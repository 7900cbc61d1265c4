//! A store that is late, fails or panics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use liveops::OperationId;
use liveops::operation::{NewOperation, Record};
use liveops::projection::{Line, Projection};
use liveops::store::{
    CancelAnswer, Census, Filter, Finish, Glances, Interruption, Lease, Orphan, RecordPage, Removed, Sqlite,
    Store, StoreError, StoreResult, Wanted,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A store that misbehaves as it is told.
pub(crate) struct Faulty {
    pub(crate) store: Sqlite,
    /// Where the answer to the `finish` of a first attempt waits, as on a busy machine.
    pub(crate) finished: Arc<Semaphore>,
    /// How many writes of lines by checkpoints and endings do well before any fails.
    pub(crate) spared: AtomicUsize,
    /// How many of them fail then, one after the other, before they do well again.
    pub(crate) failing: AtomicUsize,
    /// How they fail.
    pub(crate) fault: fn() -> StoreError,
    /// How many reads of a record fail once an operation has handed over.
    pub(crate) unread: AtomicUsize,
    /// An operation has handed over.
    pub(crate) handed_over: AtomicBool,
    /// How many operations each step of the removal took.
    pub(crate) removed: Arc<Mutex<Vec<u32>>>,
    /// Whether it takes no run back into the queue.
    pub(crate) unrepeatable: bool,
    /// The methods that have yet to panic, each once.
    pub(crate) wires: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Faulty {
    pub(crate) fn new(folder: &tempfile::TempDir) -> Self {
        Self {
            store: Sqlite::open(folder.path().join("db")).expect("a database"),
            finished: Arc::new(Semaphore::new(100)),
            spared: AtomicUsize::new(0),
            failing: AtomicUsize::new(0),
            fault: || StoreError::Unwritable("the disk is full".into()),
            unread: AtomicUsize::new(0),
            handed_over: AtomicBool::new(false),
            removed: Arc::default(),
            unrepeatable: false,
            wires: Arc::default(),
        }
    }

    /// Whether it takes lines now.
    fn takes(&self, lines: &[Line]) -> StoreResult<()> {
        let fewer = |left: usize| left.checked_sub(1);
        let counts = |left: &AtomicUsize| left.fetch_update(SeqCst, SeqCst, fewer).is_ok();
        let fails = !lines.is_empty() && !counts(&self.spared) && counts(&self.failing);
        if fails { Err((self.fault)()) } else { Ok(()) }
    }

    fn trip(&self, method: &'static str) {
        let tripped = self.wires.lock().remove(method);
        assert!(!tripped, "{method}, as asked");
    }
}

#[async_trait]
impl Store for Faulty {
    async fn create(
        &self,
        new: NewOperation,
        most_waiting: Option<u32>,
        now: Timestamp,
    ) -> StoreResult<OperationId> {
        self.store.create(new, most_waiting, now).await
    }
    fn identity(&self) -> u64 {
        self.store.identity()
    }
    async fn remove_ended(&self, before: Timestamp, limit: u32) -> StoreResult<Removed> {
        self.trip("remove_ended");
        let removed = self.store.remove_ended(before, limit).await;
        self.removed.lock().extend(removed.as_ref().map(|removed| removed.operations));
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
        self.trip("before");
        self.store.before(id).await
    }
    async fn log(&self, id: OperationId, attempt: u32, from_seq: u64, limit: u32) -> StoreResult<Vec<Line>> {
        self.store.log(id, attempt, from_seq, limit).await
    }
    async fn log_end(&self, id: OperationId, attempt: u32) -> StoreResult<u64> {
        self.store.log_end(id, attempt).await
    }
    async fn claim(&self, wanted: &Wanted, now: Timestamp) -> StoreResult<Option<Record>> {
        self.trip("claim");
        self.store.claim(wanted, now).await
    }
    async fn checkpoint(&self, lease: Lease, lines: &[Line], projection: Projection) -> StoreResult<()> {
        self.takes(lines)?;
        self.store.checkpoint(lease, lines, projection).await
    }
    async fn finish(&self, lease: Lease, lines: &[Line], finish: Finish) -> StoreResult<()> {
        self.takes(lines)?;
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
    async fn restart(&self, id: OperationId, most_waiting: Option<u32>, now: Timestamp) -> StoreResult<bool> {
        self.store.restart(id, most_waiting, now).await
    }
    async fn repeat(
        &self,
        lease: Lease,
        lines: &[Line],
        why: Interruption,
        now: Timestamp,
    ) -> StoreResult<bool> {
        if self.unrepeatable {
            return Err((self.fault)());
        }
        self.store.repeat(lease, lines, why, now).await
    }
    fn leave(&self) {
        self.store.leave();
    }
    async fn cancel_requests(&self) -> StoreResult<Vec<OperationId>> {
        self.trip("cancel_requests");
        self.store.cancel_requests().await
    }
    async fn orphans(&self) -> StoreResult<Vec<Orphan>> {
        self.store.orphans().await
    }
}

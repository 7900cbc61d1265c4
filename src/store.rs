//! What lasts: the traits and their homes.

mod accounts;
mod migrations;
mod sqlite;
mod tail;

pub use accounts::{Accounts, Digest, Session, User};
pub use sqlite::{Checked, Copied, Sqlite, Uploaded};
pub(crate) use tail::tail;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::operation::{Ending, NewOperation, OperationId, Record, State};
use crate::projection::{Line, Projection};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The run was taken from whoever writes: a later claim or a recovery has it.
    #[error("operation {operation}: claim {claim} no longer holds, so nothing was written")]
    Fenced {
        /// The operation.
        operation: OperationId,
        /// The claim that wrote.
        claim: u64,
    },
    /// The disk is full, or the database cannot be written for another passing reason.
    #[error("the database cannot be written now: {0}")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another program held the database for longer than a write waits.
    #[error("the database is held by another program: {0}")]
    Busy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database's files were moved, removed or replaced after they were opened.
    #[error(
        "{0}, or the -wal or -shm file beside it, was moved, removed or replaced while it is in use, so nothing is read \
         from it or written to it: put back what was there, or restart this program"
    )]
    Replaced(String),
    /// The database is of a version that this program does not know.
    #[error("the database has schema version {found}, this program knows {known}: use the newer program")]
    Newer {
        /// The version found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// The database has tables of an older program, and was not to be changed.
    #[error(
        "the database has schema version {found}, this program knows {known}, and it was left as it is: a server \
         of this program brings it up to date"
    )]
    Older {
        /// The version found.
        found: i64,
        /// The version needed.
        known: i64,
    },
    /// The database has no tables of liveops, and was not to be changed: it is empty, or somebody else's.
    #[error("{0} has no tables of liveops, and was left as it is")]
    NoTables(String),
    /// A name that has to be unique is taken.
    #[error("the name {0:?} is taken: choose another one")]
    Taken(String),
    /// So many operations of one owner wait already, and no more may.
    #[error("{0} operations of this owner wait already, which is the limit: let some run, or cancel some")]
    TooManyWaiting(u32),
    /// Anything else.
    #[error("the database failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a store returns.
pub type StoreResult<T> = Result<T, StoreError>;

/// The right to write for one run, until a later claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The operation.
    pub operation: OperationId,
    /// The number of the claim.
    pub claim: u64,
    /// The attempt that runs.
    pub attempt: u32,
}

/// What a process takes from the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The kinds that it runs.
    pub kinds: Vec<WantedKind>,
    /// How many operations of one user may run at once; any number, without it.
    pub per_user: Option<u32>,
}

/// So many attempts of an operation that follow the death of its process begin by themselves, one after the other, at most.
pub const REPEATS: u32 = 3;

/// So many that follow an orderly stop. Deployments are no fault of an operation, but one that keeps its server from being healthy,
/// which is stopped for that, is not begun for ever.
pub const STOPS: u32 = 100;

/// Why a run did not live to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// Its process died.
    Death,
    /// Its process was stopped in order, and said so.
    Stop,
}

/// A kind that a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedKind {
    /// Its name.
    pub name: String,
    /// How many of it may run at once; any number, without it.
    pub at_once: Option<u32>,
    /// Whether what is claimed of it may be repeated: whoever finds it without a process need not have its kind.
    pub repeatable: bool,
}

/// How a run ends, as it is committed.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The final page, which holds the ending.
    pub projection: Projection,
    /// The ending.
    pub ending: Ending,
    /// What went wrong inside, for operators.
    pub detail: Option<String>,
    /// The operation that it hands over to, to be created in the same commit.
    pub next: Option<NewOperation>,
    /// When it ended.
    pub at: Timestamp,
}

/// What asking to cancel came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAnswer {
    /// It waited and is cancelled.
    Cancelled,
    /// It runs and was asked to stop.
    Requested,
    /// It was over already, or is not there.
    Nothing,
}

/// How many operations there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By kind and state, where there are any.
    pub operations: Vec<(String, State, u64)>,
    /// Since when the one waits that has waited longest.
    pub oldest_waiting: Option<Timestamp>,
}

/// Operations that were removed because of their age.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many there were.
    pub operations: u32,
    /// The names of the uploaded files that were theirs, and now are nobody's.
    pub uploads: Vec<String>,
    /// There may be more to remove.
    pub more: bool,
}

/// A run whose process is dead.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Its record, which still says that it runs.
    pub record: Record,
    /// The page that it left; none where nothing was stored yet.
    pub projection: Option<Projection>,
    /// When its process gave its last sign of life, to some seconds, where that is known.
    pub seen: Option<Timestamp>,
}

/// Which of a user's operations a list shows; by default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those in this state only.
    pub state: Option<State>,
    /// Those of this kind only, by its name.
    pub kind: Option<String>,
    /// None of these kinds.
    pub without: Vec<String>,
}

/// One page of a user's operations.
#[derive(Debug, Clone)]
pub struct RecordPage {
    /// Newest first.
    pub records: Vec<Record>,
    /// Whether there are older ones.
    pub more: bool,
}

/// What tells of an operation whether it changed, without reading it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The operation.
    pub id: OperationId,
    /// The id of the user whose it is.
    pub owner: String,
    /// Grows with each operation that is stored, whatever clocks say.
    pub row: i64,
    /// Where it stands.
    pub state: State,
    /// The number of the latest attempt.
    pub attempt: u32,
    /// How many waiting operations are before it, while it waits: as [`Store::before`] counts.
    pub before: Option<u64>,
}

/// A look at the lists of several users.
#[derive(Debug, Clone, Default)]
pub struct Glances {
    /// For each owner, in the order in which they were asked for: the newest page, newest first.
    pub newest: Vec<Vec<Glance>>,
    /// Of these owners' operations, those that run or wait, and those that were asked for by their
    /// id, as far as they are there. Of very many that wait it is those that come next.
    pub others: Vec<Glance>,
}

/// Where operations, their logs and the queue last.
///
/// Whoever implements it keeps these promises: a method that returned `Ok` has committed; each
/// call is one transaction; a write under a [`Lease`] whose claim is not the latest one, or whose
/// operation is over, changes nothing and is [`StoreError::Fenced`]. No method checks who asks:
/// callers pass the owner's id where ownership counts.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Puts an operation into the queue, or gives it to this process at once, and returns its id; or returns the id of the one that the
    /// same owner started of the same kind by the same submission, and does nothing more. Where `most_waiting` of the owner wait
    /// already, it is [`StoreError::TooManyWaiting`]: counted in the same transaction, so that it holds for all processes together.
    async fn create(
        &self,
        new: NewOperation,
        most_waiting: Option<u32>,
        now: Timestamp,
    ) -> StoreResult<OperationId>;

    /// The operation's record.
    async fn record(&self, id: OperationId) -> StoreResult<Option<Record>>;

    /// The same where it is this owner's. Another's is looked for as long as one that is not there, and read no further.
    async fn owned(&self, owner: &str, id: OperationId) -> StoreResult<Option<Record>>;

    /// The stored page of the latest attempt; none while it waits for its first checkpoint.
    async fn projection(&self, id: OperationId) -> StoreResult<Option<Projection>>;

    /// A page of those of the owner's operations that `filter` lets through, newest first; `page` counts
    /// from 1.
    async fn list(&self, owner: &str, filter: &Filter, page: u32, per_page: u32) -> StoreResult<RecordPage>;

    /// The names of the kinds that the owner has operations of, in alphabetical order.
    async fn kinds(&self, owner: &str) -> StoreResult<Vec<String>>;

    /// A number that is another one after whatever change of the store, by whatever process.
    async fn version(&self) -> StoreResult<i64>;

    /// Looks at the newest `per_page` operations of each of `owners`, at what of theirs runs or
    /// waits, and at the operations `ids`, whosesoever they are. Those of the kinds `without` are as
    /// if they were not there, but count where they are before others in the queue.
    async fn glance(
        &self,
        owners: &[String],
        without: &[String],
        per_page: u32,
        ids: &[OperationId],
    ) -> StoreResult<Glances>;

    /// These operations' records, as far as they are there, with the stored pages of those that run.
    async fn records(&self, ids: &[OperationId]) -> StoreResult<Vec<(Record, Option<Projection>)>>;

    /// How many waiting operations came into the queue before this waiting one, whatever their kind and
    /// whosesoever they are. One that may not run yet, because of a limit, is among them and may be overtaken.
    async fn before(&self, id: OperationId) -> StoreResult<u64>;

    /// Up to `limit` stored lines of one attempt's log from `from_seq` on, in order. At least one
    /// where there is one; fewer than `limit` do not mean the end, none does.
    async fn log(&self, id: OperationId, attempt: u32, from_seq: u64, limit: u32) -> StoreResult<Vec<Line>>;

    /// The number of the newest stored line of one attempt's log; 0 where it has none.
    async fn log_end(&self, id: OperationId, attempt: u32) -> StoreResult<u64>;

    /// Gives the oldest waiting operation that may run now to this process: `running` from now. One that
    /// may not, because of a limit, holds up none behind it. The same transaction counts what runs
    /// and claims, so that the limits hold for all processes together.
    async fn claim(&self, wanted: &Wanted, now: Timestamp) -> StoreResult<Option<Record>>;

    /// Adds to the log and replaces the stored page of a run.
    async fn checkpoint(&self, lease: Lease, lines: &[Line], projection: Projection) -> StoreResult<()>;

    /// Ends a run: log, page, record and, where it hands over, the next operation in one commit.
    async fn finish(&self, lease: Lease, lines: &[Line], finish: Finish) -> StoreResult<()>;

    /// Puts a run that did not live to its end back into the queue as the next attempt, in one commit with the last
    /// lines of its log. False, and nothing is written, when it is to end instead: it was not claimed from the
    /// queue as [repeatable](WantedKind::repeatable), was asked to stop, or was put back
    /// [`REPEATS`] times after a death, or [`STOPS`] times after a stop, since somebody started it: `why` says which one counts.
    async fn repeat(
        &self,
        lease: Lease,
        lines: &[Line],
        why: Interruption,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// Ends a waiting operation as cancelled or asks a running one to stop.
    async fn cancel(&self, id: OperationId, now: Timestamp) -> StoreResult<CancelAnswer>;

    /// Puts a finished operation into the queue again as its next attempt; false when it is not
    /// over. Where `most_waiting` of its owner wait already, it is [`StoreError::TooManyWaiting`], and stays as it was.
    async fn restart(&self, id: OperationId, most_waiting: Option<u32>, now: Timestamp) -> StoreResult<bool>;

    /// A number that this store has and no other, the same at each opening: by it, files that belong to
    /// its operations are told from those of others.
    fn identity(&self) -> u64;

    /// Removes up to `limit` operations that ended before `before`, with their logs and pages. Of a
    /// long log it removes a part only, so that others can write in between; nobody sees its operation any
    /// more, and the next call goes on.
    async fn remove_ended(&self, before: Timestamp, limit: u32) -> StoreResult<Removed>;

    /// The names of the uploaded files that an operation needs.
    async fn uploads_of(&self, id: OperationId) -> StoreResult<Vec<String>>;

    /// Notes `now` as the time by which what is old is removed, and returns it; but no more than `step` after the time that was noted
    /// before. So what a clock that leaps ahead takes along is little before somebody puts it right.
    async fn follow_clock(&self, now: Timestamp, step: Duration) -> StoreResult<Timestamp>;

    /// Those of these uploaded files, by name, that an operation needs.
    async fn uploads_needed(&self, names: Vec<String>) -> StoreResult<Vec<String>>;

    /// How many operations there are, for whoever watches over the server.
    async fn census(&self) -> StoreResult<Census>;

    /// Writes something that nobody needs, to see whether that can be done.
    async fn probe(&self, now: Timestamp) -> StoreResult<()>;

    /// The runs of this process that were asked to stop, by whatever process. Being asked each second is also this
    /// process's sign of life.
    async fn cancel_requests(&self) -> StoreResult<Vec<OperationId>>;

    /// This process claims nothing more and runs nothing any more: it need not look alive any longer.
    fn leave(&self) {}

    /// The runs whose process is dead.
    async fn orphans(&self) -> StoreResult<Vec<Orphan>>;
}

/// How a state is stored and compared; the store's own code only.
pub(crate) fn state_from(name: &str) -> StoreResult<State> {
    State::from_name(name)
        .ok_or_else(|| StoreError::Failed(format!("{name:?} is no state of an operation").into()))
}

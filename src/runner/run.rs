//! One run: it hears the updates, shows them at the pace, and carries them to the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::clock::Clock;
use crate::operation::{Ending, State};
use crate::progress::{Cancel, Sink, Update};
use crate::projection::{Line, Projection};
use crate::store::{Lease, Store, StoreError};
use crate::stream::Live;

/// A change reaches the store at most this much later.
const CHECKPOINT: Duration = Duration::from_millis(500);
/// So much log waits for the store before it is written at once, in bytes.
const HURRY: usize = 256 * 1024;
/// So much log may wait for the store; more holds the producer.
const FULL: usize = 2 * 1024 * 1024;

/// A store that cannot be written is waited for so long before the run fails for it, and one that another program holds, which
/// will let it go: its backup, say.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_WHILE_HELD: Duration = Duration::from_secs(60);
/// How long a reader of the log waits for the newest lines to be stored.
const SETTLE: Duration = Duration::from_secs(2);

/// A run under way, as the sink of its updates.
pub(super) struct Run {
    lease: Lease,
    live: Arc<Live>,
    owner: String,
    input: Value,
    /// Says in the log which run it is.
    span: Span,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    /// Guards the lines that wait for the store, and their order.
    buffer: Mutex<Buffer>,
    /// The buffer was emptied.
    room: Condvar,
    /// Something changed since the last checkpoint.
    dirty: AtomicBool,
    /// The next checkpoint is not to wait.
    hurry: AtomicBool,
    /// When the page is to be shown next.
    flush_at: Mutex<Option<Instant>>,
    /// Wakes the keeper's two loops.
    to_flush: Notify,
    to_save: Notify,
    /// The number of the last line that is stored.
    saved: watch::Sender<u64>,
    /// The run is over; the keeper ends.
    closing: CancellationToken,
    /// The keeper has ended.
    kept: CancellationToken,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<Line>,
    bytes: usize,
    /// The run is over: nothing said counts any more.
    sealed: bool,
    /// The store refused lines for too long, so no more are taken, nor shown: memory has an end, and the log no hole.
    lost: bool,
}

impl Run {
    pub(super) fn new(
        lease: Lease,
        live: Arc<Live>,
        owner: String,
        input: Value,
        span: Span,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            lease,
            live,
            owner,
            input,
            span,
            clock,
            cancel: Cancel::default(),
            buffer: Mutex::default(),
            room: Condvar::new(),
            dirty: AtomicBool::new(true),
            hurry: AtomicBool::new(false),
            flush_at: Mutex::new(None),
            to_flush: Notify::new(),
            to_save: Notify::new(),
            saved: watch::Sender::new(0),
            closing: CancellationToken::new(),
            kept: CancellationToken::new(),
        }
    }

    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    pub(super) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    pub(super) fn input(&self) -> &Value {
        &self.input
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Asks the run to stop and shows that it was asked.
    pub(super) fn request_cancel(&self) {
        self.cancel.request();
        self.update(Update::State(State::Cancelling));
    }

    /// Nothing that is said from now on counts. Returns once the keeper has ended; false when
    /// somebody else closed the run before.
    pub(super) async fn close(&self) -> bool {
        {
            let mut buffer = self.buffer.lock();
            if std::mem::replace(&mut buffer.sealed, true) {
                return false;
            }
            self.live.seal();
            self.room.notify_all();
        }
        self.closing.cancel();
        self.kept.cancelled().await;
        true
    }

    /// Whether it is over: its ending is being committed, if it isn't yet.
    pub(super) fn is_closed(&self) -> bool {
        self.buffer.lock().sealed
    }

    /// The lines that are not stored yet, and the page that goes with them: what is committed
    /// together names the same lines.
    pub(super) fn take_unsaved(&self) -> (Vec<Line>, Projection) {
        let mut buffer = self.buffer.lock();
        buffer.bytes = 0;
        self.room.notify_all();
        (std::mem::take(&mut buffer.lines), self.live.projection())
    }

    /// Whether lines were not taken any more, because the store could not take those before them.
    pub(super) fn lost_lines(&self) -> bool {
        self.buffer.lock().lost
    }

    /// The page as it will be once the run is over.
    pub(super) fn ended_page(&self, ending: Ending, at: Timestamp) -> Projection {
        let mut projection = self.live.projection();
        projection.apply(Update::Ended(ending), at);
        projection.flush();
        projection
    }

    /// Waits until every line said so far is stored, or the run is over.
    pub(super) async fn settle_log(&self) {
        let total = self.live.projection().log().total();
        let mut saved = self.saved.subscribe();
        self.hurry.store(true, Ordering::Release);
        self.to_save.notify_one();
        let settled = async {
            tokio::select! {
                _ = saved.wait_for(|saved| *saved >= total) => {}
                () = self.kept.cancelled() => {}
            }
        };
        // A store that does not answer keeps nobody from the lines that it has.
        let _ = tokio::time::timeout(SETTLE, settled).await;
    }

    /// Shows the page when it is due, and stores page and log, until the run is over.
    pub(super) async fn keep(self: Arc<Self>, store: Arc<dyn Store>) {
        tokio::join!(self.flush_loop(), self.save_loop(&*store));
        self.kept.cancel();
    }

    async fn flush_loop(&self) {
        loop {
            let at = *self.flush_at.lock();
            // Unless something is said before.
            let silent = self.live.true_for().filter(|_| at.is_none());
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.to_flush.notified() => {}
                () = sleep_until(at) => {
                    *self.flush_at.lock() = None;
                    self.live.flush(Instant::now());
                }
                () = tokio::time::sleep(silent.unwrap_or_default()), if silent.is_some() => {
                    self.live.fall_silent(self.clock.now(), Instant::now());
                    self.mark_dirty();
                }
            }
        }
    }

    async fn save_loop(&self, store: &dyn Store) {
        let mut last = Instant::now();
        let mut failing: Option<Instant> = None;
        loop {
            let due = self.dirty.load(Ordering::Acquire).then_some(last + CHECKPOINT);
            // A store that fails is not hurried.
            let hurry = self.hurry.load(Ordering::Acquire) && failing.is_none();
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.to_save.notified(), if !hurry => continue,
                () = sleep_until(due), if !hurry => {}
                () = std::future::ready(()), if hurry => {}
            }
            self.hurry.store(false, Ordering::Release);
            self.dirty.store(false, Ordering::Release);
            last = Instant::now();
            let (lines, page) = self.take_unsaved();
            let newest = lines.last().map(|line| line.seq);
            match store.checkpoint(self.lease, &lines, page).await {
                Ok(()) => {
                    failing = None;
                    if let Some(newest) = newest {
                        self.saved.send_replace(newest);
                    }
                }
                Err(StoreError::Fenced { .. }) => {
                    tracing::warn!("another claim has it; stopping this run");
                    self.lose();
                }
                Err(error) => {
                    tracing::error!(%error, "its page and log could not be stored");
                    self.dirty.store(true, Ordering::Release);
                    let since = *failing.get_or_insert(last);
                    self.put_back(lines);
                    if newest.is_some() && since.elapsed() >= patience(&error) {
                        // Nothing more is taken, so it cannot end well any more. What was said so far is stored with
                        // its ending, if not before.
                        self.lose();
                    }
                }
            }
        }
    }

    /// Lines that could not be stored wait on, before those that were said since.
    fn put_back(&self, mut lines: Vec<Line>) {
        let mut buffer = self.buffer.lock();
        buffer.bytes += lines.iter().map(weight).sum::<usize>();
        lines.append(&mut buffer.lines);
        buffer.lines = lines;
    }

    /// No more lines are taken: the run is to stop, and nothing waits for room in the buffer any more.
    fn lose(&self) {
        self.buffer.lock().lost = true;
        self.room.notify_all();
        self.cancel.request();
    }

    fn mark_dirty(&self) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.to_save.notify_one();
        }
    }

    fn show(&self, update: Update) {
        let leaves = matches!(update, Update::LeaveStage(_));
        if let Some(at) = self.live.update(update, self.clock.now(), Instant::now()) {
            *self.flush_at.lock() = Some(at);
            self.to_flush.notify_one();
        } else if leaves {
            // Nothing is to be shown yet, but after a while of silence.
            self.to_flush.notify_one();
        }
    }
}

impl Sink for Run {
    fn update(&self, update: Update) {
        if !matches!(update, Update::Log { .. } | Update::Failed { .. }) {
            self.show(update);
            self.mark_dirty();
            return;
        }
        let mut buffer = self.buffer.lock();
        while buffer.bytes >= FULL && !buffer.sealed && !buffer.lost {
            self.room.wait(&mut buffer);
        }
        if buffer.sealed || buffer.lost {
            return;
        }
        // Under the buffer's lock, so that lines are stored in the order of their numbers.
        self.show(update);
        if let Some(line) = self.live.last_line() {
            buffer.bytes += weight(&line);
            buffer.lines.push((*line).clone());
        }
        let hurry = buffer.bytes >= HURRY;
        drop(buffer);
        if hurry && !self.hurry.swap(true, Ordering::AcqRel) {
            self.to_save.notify_one();
        }
        self.mark_dirty();
    }
}

/// For how long a run goes on, from the first time on that its store failed like that.
pub(super) fn patience(error: &StoreError) -> Duration {
    match error {
        StoreError::Busy(_) => PATIENCE_WHILE_HELD,
        StoreError::Unwritable(_) | StoreError::Replaced(_) => PATIENCE,
        _ => Duration::ZERO,
    }
}

/// About how much memory a line takes.
fn weight(line: &Line) -> usize {
    line.text.as_str().len() + std::mem::size_of::<Line>()
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

//! Who runs: claims what waits, gives each run a thread, catches whatever it does, ends it once.

mod conclude;
mod end;
mod hook;
mod orphan;
mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::operation::{Ending, OperationId, Record, Registry, State};
use crate::progress::{Progress, Text};
use crate::projection::Projection;
use crate::store::{Lease, Store, StoreResult, Wanted, WantedKind};
use crate::stream::{Hub, Subject};
use crate::upkeep::keep_up;
pub(crate) use conclude::{Conclusion, Task, drive, panic_text};
use run::Run;

/// How long the queue is left alone when nobody says that something waits: another process may
/// have put it there, or have ended what a limit counts.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often dead processes and requests to stop from other processes are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long endings that are being committed may take when the process ends.
const LAST_COMMITS: Duration = Duration::from_secs(5);

const INTERRUPTED: &str = "The server stopped while this was running.";

/// Runs operations of this process's kinds, `workers` at once.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    registry: Registry,
    clock: Arc<dyn Clock>,
    log_tail: usize,
    /// Where runs drive their futures; never the web's runtime, since runs may block.
    runtime: Handle,
    places: Arc<Semaphore>,
    per_user: Option<u32>,
    /// Whether what waits is none of its business: it runs what it is given, and what that hands
    /// over to.
    foreground: bool,
    /// Something waits.
    queued: Notify,
    /// The state of some operation changed in the store.
    changed: Arc<Notify>,
    /// Guards which runs are under way here.
    runs: Mutex<HashMap<OperationId, Arc<Run>>>,
    /// How many operations are being told how they ended, or are about to be.
    hooks: AtomicUsize,
    /// How many of them at once.
    hook_places: Arc<Semaphore>,
    /// A run is over, or an operation was told how it ended.
    ended: Notify,
    stopping: CancellationToken,
    /// Nothing more is claimed.
    claimed: CancellationToken,
}

/// What a runner takes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Most runs at once.
    pub(crate) at_once: usize,
    /// Whether the queue is left alone.
    pub(crate) foreground: bool,
    /// Most operations of one user at once, in all processes.
    pub(crate) per_user: Option<u32>,
    /// Log lines kept on a page.
    pub(crate) log_tail: usize,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("runs", &self.0.runs.lock().len()).finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner whose runs and tasks live on `runtime`. `changed` is notified when a record changed.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        registry: Registry,
        work: Work,
        clock: Arc<dyn Clock>,
        runtime: Handle,
        changed: Arc<Notify>,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            hub,
            registry,
            clock,
            log_tail: work.log_tail,
            runtime,
            places: Arc::new(Semaphore::new(work.at_once)),
            per_user: work.per_user,
            foreground: work.foreground,
            queued: Notify::new(),
            changed,
            runs: Mutex::default(),
            hooks: AtomicUsize::new(0),
            hook_places: Arc::new(Semaphore::new(work.at_once)),
            ended: Notify::new(),
            stopping: CancellationToken::new(),
            claimed: CancellationToken::new(),
        }))
    }

    /// Begins to claim and to sweep.
    pub(crate) fn start(&self) {
        let inner = &self.0;
        let claiming = Arc::clone(inner);
        inner.runtime.spawn(async move {
            let _last = claiming.claimed.clone().drop_guard();
            if !claiming.foreground {
                keep_up("claiming", || claiming.claim_loop()).await;
            }
        });
        let sweeping = Arc::clone(inner);
        inner.runtime.spawn(keep_up("sweeping", move || Arc::clone(&sweeping).sweep_loop()));
    }

    /// Runs what was created for this process, as soon as there is a place; returns once it has begun.
    pub(crate) async fn run(&self, id: OperationId) {
        let inner = Arc::clone(&self.0);
        let begun = self.0.runtime.spawn(async move {
            if let Ok(place) = Arc::clone(&inner.places).acquire_owned().await {
                inner.begin_claimed(id, place).await;
            }
        });
        // A task of its own: whoever gives up waiting must not leave it claimed and never begun.
        let _ = begun.await;
    }

    /// One that waited was cancelled.
    pub(crate) fn cancelled(&self, record: Record) {
        self.0.tell_ending(record.id, &record.kind, record.input, Ending::plain(State::Cancelled));
    }

    /// Waits until nothing runs here, every ending is stored, and the operations were told.
    pub(crate) async fn all_ended(&self) {
        self.0.all_ended().await;
    }

    /// Something waits in the queue.
    pub(crate) fn queued(&self) {
        self.0.queued.notify_one();
    }

    /// Asks the run to stop; false where it is none of this process.
    pub(crate) fn cancel(&self, id: OperationId) -> bool {
        let run = self.0.runs.lock().get(&id).cloned();
        if let Some(run) = &run {
            run.request_cancel();
        }
        run.is_some()
    }

    /// Waits until every line that the run has logged so far is stored.
    pub(crate) async fn settle_log(&self, id: OperationId) {
        let run = self.0.runs.lock().get(&id).cloned();
        if let Some(run) = run {
            run.settle_log().await;
        }
    }

    /// Marks what dead processes left as interrupted, or puts it back into the queue where its kind says so.
    ///
    /// # Errors
    /// When the store fails; calling again goes on where it stopped.
    pub(crate) async fn recover(&self) -> StoreResult<usize> {
        self.0.recover().await
    }

    /// Claims nothing more, gives the runs `grace` to end, and records those that did not as
    /// interrupted, or puts them back into the queue. The threads of these go with the process.
    pub async fn stop(&self, grace: Duration) {
        let inner = &self.0;
        inner.stopping.cancel();
        // One that was being claimed at this moment begins, so that it is recorded too.
        let _ = tokio::time::timeout(LAST_COMMITS, inner.claimed.cancelled()).await;
        if tokio::time::timeout(grace, inner.all_ended()).await.is_ok() {
            return;
        }
        let mut give_up = None;
        loop {
            let ended = inner.ended.notified();
            let left: Vec<_> = inner.runs.lock().values().cloned().collect();
            if left.is_empty() {
                if let Some(give_up) = give_up {
                    let _ = tokio::time::timeout_at(give_up, inner.all_ended()).await;
                }
                return;
            }
            // Together, as a store that does not answer would be waited for by each.
            let mut ends = JoinSet::new();
            for run in left.into_iter().filter(|run| !run.is_closed()) {
                let (inner, span) = (Arc::clone(inner), run.span().clone());
                span.in_scope(|| tracing::warn!("interrupted: the grace is over"));
                let end = async move { inner.end(&run, Conclusion::plain(interrupted()), None).await };
                ends.spawn(end.instrument(span));
            }
            ends.join_all().await;
            // Some may have been about to end by themselves, and to hand over to another one.
            let give_up = *give_up.get_or_insert_with(|| tokio::time::Instant::now() + LAST_COMMITS);
            if tokio::time::timeout_at(give_up, ended).await.is_err() {
                return;
            }
        }
    }
}

impl Inner {
    async fn claim_loop(self: &Arc<Self>) {
        let kinds = self.registry.iter();
        let kinds = kinds.map(|kind| WantedKind {
            name: kind.name.clone(),
            at_once: kind.at_once,
            repeatable: kind.repeatable,
        });
        let wanted = Wanted { kinds: kinds.collect(), per_user: self.per_user };
        loop {
            let place = tokio::select! {
                () = self.stopping.cancelled() => return,
                place = Arc::clone(&self.places).acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let record = loop {
                let queued = self.queued.notified();
                if self.stopping.is_cancelled() {
                    return;
                }
                match self.store.claim(&wanted, self.clock.now()).await {
                    Ok(Some(record)) => break record,
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "the queue could not be read"),
                }
                tokio::select! {
                    () = queued => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = self.stopping.cancelled() => return,
                }
            };
            self.begin(record, place);
            self.changed.notify_one();
        }
    }

    /// Gives a claimed operation its thread.
    fn begin(self: &Arc<Self>, record: Record, place: OwnedSemaphorePermit) {
        let lease = Lease { operation: record.id, claim: record.claim, attempt: record.attempt };
        let subject = Subject { id: record.id, kind: record.kind.clone(), owner: record.owner.clone() };
        let began = record.started.unwrap_or_else(|| self.clock.now());
        let projection =
            Projection::new(record.epoch(), record.attempt, State::Running, self.log_tail, began)
                .repeated(record.repeats);
        let live = self.hub.begin(subject, projection);
        // Whatever is logged about the run, by the operation's own code too, says which one it is.
        // At the highest level, so that also a log of errors only says which run they are about.
        let span = tracing::error_span!(
            "run", operation = %record.id, kind = record.kind, user = record.owner, attempt = record.attempt);
        let clock = Arc::clone(&self.clock);
        let run =
            Arc::new(Run::new(lease, live, record.owner.clone(), record.input.clone(), span.clone(), clock));
        self.runs.lock().insert(record.id, Arc::clone(&run));
        metrics::gauge!("liveops_runs").increment(1);
        self.runtime.spawn(Arc::clone(&run).keep(Arc::clone(&self.store)).instrument(span.clone()));
        span.in_scope(|| tracing::info!("running"));

        let inner = Arc::clone(self);
        let thread = std::thread::Builder::new().name(format!("run-{}", record.id.reference()));
        let spawned = thread.spawn({
            let run = Arc::clone(&run);
            let span = span.clone();
            move || {
                let _within = span.entered();
                let conclusion = inner.work(record, &run);
                inner.runtime.block_on(inner.end(&run, conclusion, Some(place)));
            }
        });
        if let Err(error) = spawned {
            let inner = Arc::clone(self);
            self.runtime.spawn(
                async move {
                    let conclusion = Conclusion::failed(format!("no thread could be started: {error}"));
                    inner.end(&run, conclusion, None).await;
                }
                .instrument(span),
            );
        }
    }

    /// Runs the operation on the present thread, whatever happens in it.
    fn work(&self, record: Record, run: &Arc<Run>) -> Conclusion {
        let Some(kind) = self.registry.get(&record.kind) else {
            return Conclusion::failed(format!("this process has no kind {:?}", record.kind));
        };
        let progress = Progress::new(Arc::clone(run) as _, run.cancel().clone());
        let Record { id, input, attempt, .. } = record;
        drive(Task { kind, id, owner: run.owner(), input, attempt }, progress, run.cancel(), &self.runtime)
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.runs.lock().is_empty() && self.hooks.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    async fn sweep_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => {}
                () = self.stopping.cancelled() => return,
            }
            match self.store.cancel_requests().await {
                Ok(ids) => {
                    for id in ids {
                        let run = self.runs.lock().get(&id).cloned();
                        if let Some(run) = run {
                            run.request_cancel();
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "requests to stop could not be read"),
            }
            if let Err(error) = self.recover().await {
                tracing::warn!(%error, "what dead processes left could not be marked");
            }
        }
    }
}

/// A number that no other life of a page has.
pub(crate) fn epoch() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

fn interrupted() -> Ending {
    Ending { message: Some(Text::new(INTERRUPTED)), ..Ending::plain(State::Interrupted) }
}

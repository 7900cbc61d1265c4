//! Runs one operation, and hears what it says.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{PATIENCE, Recorded};
use crate::clock::{Clock, SystemClock};
use crate::operation::{Kind, Operation, OperationId, State, shallow};
use crate::progress::{Cancel, Progress, Sink, Update};
use crate::projection::Projection;
use crate::runner::{Conclusion, Task, drive};

/// Log lines that the page keeps, as of [`LiveOpsBuilder::log_tail`](crate::LiveOpsBuilder::log_tail).
const LOG_TAIL: usize = 200;

/// Runs an operation as a server does, without one: its input goes through JSON, it has a thread and a runtime of its
/// own and may block, a panic is caught, and an `Err` after it was told to stop is a cancelling.
///
/// ```
/// use liveops::operation::State;
/// use liveops::testing::Recorder;
/// use liveops::{Operation, Progress};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Serialize, Deserialize)]
/// struct Count { up_to: u32 }
///
/// impl Operation for Count {
///     const KIND: &'static str = "count";
///
///     async fn run(self, p: Progress) -> liveops::Result {
///         p.status("Counting");
///         for n in p.track(1..=self.up_to) {
///             p.log(format!("{}", n?));
///         }
///         p.result(json!({ "counted": self.up_to }))
///     }
/// }
///
/// let seen = Recorder::new().run(Count { up_to: 3 });
/// assert_eq!(seen.state(), State::Succeeded, "{seen:?}");
/// assert_eq!(seen.statuses(), ["Counting"]);
/// assert_eq!(seen.log(), ["1", "2", "3"]);
/// assert_eq!(seen.result(), Some(&json!({ "counted": 3 })));
///
/// let seen = Recorder::new().cancel_after(4).run(Count { up_to: 1_000_000 });
/// assert_eq!(seen.state(), State::Cancelled);
/// ```
#[must_use = "nothing runs until `run` is called"]
pub struct Recorder {
    stop: Stop,
    attempt: u32,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

/// When the operation is asked to stop.
enum Stop {
    Never,
    After(usize),
    At(Box<dyn FnMut(&Update) -> bool + Send>),
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl Recorder {
    /// One that lets the operation run to its end.
    pub fn new() -> Self {
        Self { stop: Stop::Never, attempt: 1, clock: Arc::new(SystemClock), patience: PATIENCE }
    }

    /// Asks the operation to stop once it has said so many things; with 0, before it begins.
    pub fn cancel_after(self, updates: usize) -> Self {
        Self { stop: Stop::After(updates), ..self }
    }

    /// Asks the operation to stop at the first thing said that `wanted` accepts.
    pub fn cancel_when(self, wanted: impl FnMut(&Update) -> bool + Send + 'static) -> Self {
        Self { stop: Stop::At(Box::new(wanted)), ..self }
    }

    /// Runs it as that attempt: from the second on, [`Operation::on_restart`] is called before.
    pub fn attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// What says the times of what is heard; the system's clock by default.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// How long the operation may take; a minute by default.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Runs the operation and waits for its end. It may be called from any test, also from one that is async; where the
    /// operation talks to something that this test's own runtime drives, use [`Recorder::run_async`].
    ///
    /// # Panics
    /// When the operation does not become JSON, or does not end in time.
    #[track_caller]
    pub fn run<O: Operation>(self, operation: O) -> Recorded {
        let patience = self.patience;
        let (end, ended) = mpsc::channel();
        let listener = self.begin(operation, move |conclusion| {
            // Whoever waited may have given up.
            let _ = end.send(conclusion);
        });
        match ended.recv_timeout(patience) {
            Ok(conclusion) => listener.recorded(conclusion),
            Err(_) => listener.late(patience),
        }
    }

    /// The same without blocking the thread of an async test.
    ///
    /// # Panics
    /// As [`Recorder::run`].
    pub async fn run_async<O: Operation>(self, operation: O) -> Recorded {
        let patience = self.patience;
        let (end, ended) = oneshot::channel();
        let listener = self.begin(operation, move |conclusion| {
            let _ = end.send(conclusion);
        });
        match tokio::time::timeout(patience, ended).await {
            Ok(Ok(conclusion)) => listener.recorded(conclusion),
            _ => listener.late(patience),
        }
    }

    #[track_caller]
    fn begin<O: Operation>(
        self,
        operation: O,
        done: impl FnOnce(Conclusion) + Send + 'static,
    ) -> Arc<Listener> {
        let input = serde_json::to_value(operation).map_err(|error| format!("does not become JSON: {error}"));
        let input = match input
            .and_then(|input| shallow(input).map_err(|error| format!("cannot be kept: {error}")))
        {
            Ok(input) => input,
            Err(reason) => panic!("{:?} cannot be started, as its input {reason}", O::KIND),
        };
        let Self { stop, attempt, clock, .. } = self;
        let page = Projection::new(1, attempt, State::Running, LOG_TAIL, clock.now());
        let cancel = Cancel::default();
        if matches!(stop, Stop::After(0)) {
            cancel.request();
        }
        let heard = Mutex::new(Heard { updates: Vec::new(), page, stop, sealed: false });
        let listener = Arc::new(Listener { kind: O::KIND, id: OperationId::new(), clock, cancel, heard });
        let thread = std::thread::Builder::new().name(format!("recorder of {}", O::KIND));
        let spawned = thread.spawn({
            let listener = Arc::clone(&listener);
            move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .expect("the recorder needs a runtime");
                let task =
                    Task { kind: &Kind::of::<O>(), id: listener.id, owner: "recorder", input, attempt };
                let progress = Progress::new(Arc::clone(&listener) as _, listener.cancel.clone());
                let conclusion = drive(task, progress, &listener.cancel, runtime.handle());
                listener.end(&conclusion);
                done(conclusion);
                // What the operation left running must not hold the test.
                runtime.shutdown_background();
            }
        });
        spawned.expect("the recorder needs a thread");
        listener
    }
}

/// Hears what the operation says.
struct Listener {
    kind: &'static str,
    id: OperationId,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    /// Guards what was heard, in its order.
    heard: Mutex<Heard>,
}

struct Heard {
    updates: Vec<Update>,
    page: Projection,
    stop: Stop,
    /// It is over: nothing said counts any more.
    sealed: bool,
}

impl Sink for Listener {
    fn update(&self, update: Update) {
        let mut heard = self.heard.lock();
        if heard.sealed {
            return;
        }
        let now = self.clock.now();
        heard.page.apply(update.clone(), now);
        heard.updates.push(update);
        let Heard { updates, page, stop, .. } = &mut *heard;
        let stops = match stop {
            Stop::Never => false,
            Stop::After(count) => updates.len() == *count,
            Stop::At(wanted) => updates.last().is_some_and(wanted),
        };
        if stops {
            *stop = Stop::Never;
            page.apply(Update::State(State::Cancelling), now);
            self.cancel.request();
        }
    }
}

impl Listener {
    fn end(&self, conclusion: &Conclusion) {
        let mut heard = self.heard.lock();
        heard.sealed = true;
        heard.page.apply(Update::Ended(conclusion.ending.clone()), self.clock.now());
        heard.page.flush();
    }

    fn recorded(&self, conclusion: Conclusion) -> Recorded {
        let mut heard = self.heard.lock();
        let updates = std::mem::take(&mut heard.updates);
        Recorded { kind: self.kind, id: self.id, updates, page: heard.page.clone(), conclusion }
    }

    #[track_caller]
    fn late(&self, patience: Duration) -> ! {
        let heard = self.heard.lock();
        let last = &heard.updates[heard.updates.len().saturating_sub(10)..];
        panic!("{:?} did not end within {patience:?}; the last that it said: {last:#?}", self.kind)
    }
}

//! The live projections of this process, and the readers that follow them.

mod reader;
#[cfg(test)]
mod tests;

pub use reader::Watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Cursor, Frame, FrameBuilder, Pace};
use crate::operation::{OperationId, State};
use crate::progress::Update;
use crate::projection::{Delta, Line, Projection};

/// Most frames kept for sharing at one version: readers that keep up need one, new ones another.
/// Those that are behind by some odd number of versions are few, or get theirs rendered apart.
const SHARED: usize = 16;

/// What was shown no longer ago than this is the present state for a new reader: readers who come
/// all at once do not each wake all the others.
const FRESH: Duration = Duration::from_millis(5);

/// What a frame needs to know of an operation beside its projection; it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The operation.
    pub id: OperationId,
    /// Its kind's name.
    pub kind: String,
    /// The id of the user whose it is.
    pub owner: String,
}

/// Turns what a reader lacks into the bytes of a frame.
pub trait FrameRenderer: Send + Sync {
    /// Renders `delta` of `projection`. It is called once for all readers at the same cursor.
    fn frame(&self, subject: &Subject, projection: &Projection, delta: &Delta) -> Frame;
}

/// The operations that run here or are watched here.
pub struct Hub {
    renderer: Arc<dyn FrameRenderer>,
    throttle_hz: f64,
    /// Guards who is live; held for look-ups only.
    live: Mutex<HashMap<OperationId, Arc<Live>>>,
    /// Guards what is over and still read, which is kept by its readers alone: they share its frames.
    over: Mutex<HashMap<OperationId, Weak<Live>>>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("live", &self.live.lock().len()).finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub that shows each operation at most `throttle_hz` times a second.
    pub fn new(renderer: Arc<dyn FrameRenderer>, throttle_hz: f64) -> Self {
        Self { renderer, throttle_hz, live: Mutex::default(), over: Mutex::default() }
    }

    /// The operation, where it is live here.
    pub fn get(&self, id: OperationId) -> Option<Arc<Live>> {
        self.live.lock().get(&id).cloned()
    }

    /// A reader of the operation, where it is live here.
    pub fn watch(&self, id: OperationId, cursor: Cursor) -> Option<Watch> {
        self.live.lock().get(&id).filter(|live| live.is_current()).map(|live| live.watch(cursor))
    }

    /// A reader of the operation as it stands in the store. Where it became live here meanwhile,
    /// that goes first. What is over is kept for as long as somebody reads it.
    pub fn follow(&self, subject: Subject, projection: Projection, cursor: Cursor) -> Watch {
        let mut all = self.live.lock();
        if let Some(live) = all.get(&subject.id).filter(|live| live.is_current()) {
            return live.watch(cursor);
        }
        if projection.state().is_final() {
            return self.over(subject, projection).watch(cursor);
        }
        let id = subject.id;
        let live = Arc::new(self.live(subject, projection));
        // Subscribed under the lock: an entry without readers would be dropped.
        let watch = live.watch(cursor);
        all.insert(id, live);
        watch
    }

    /// An operation that is over, with the frames that whoever reads it already was given.
    fn over(&self, subject: Subject, projection: Projection) -> Arc<Live> {
        let mut over = self.over.lock();
        let present = over.get(&subject.id).and_then(Weak::upgrade);
        if let Some(live) = present.filter(|live| live.cursor() == projection.cursor()) {
            return live;
        }
        over.retain(|_, live| live.strong_count() > 0);
        let id = subject.id;
        let live = Arc::new(self.live(subject, projection));
        over.insert(id, Arc::downgrade(&live));
        live
    }

    /// A run of the operation begins here: whoever watches it waiting goes on with the run.
    pub fn begin(&self, subject: Subject, projection: Projection) -> Arc<Live> {
        let mut all = self.live.lock();
        // One that is fed here is the attempt before, about to show its ending: its own readers' only.
        if let Some(live) = all.get(&subject.id).filter(|live| !live.is_local()) {
            live.local.store(true, Ordering::Release);
            live.show(projection);
            return Arc::clone(live);
        }
        let id = subject.id;
        let live = Arc::new(self.live(subject, projection));
        live.local.store(true, Ordering::Release);
        all.insert(id, Arc::clone(&live));
        live
    }

    /// The run of this process is over. What is shown as over is forgotten, and kept alive by the
    /// readers that are still behind; anything else is followed through the store from now on.
    pub fn release(&self, live: &Arc<Live>) {
        let mut all = self.live.lock();
        live.local.store(false, Ordering::Release);
        if live.is_over() && all.get(&live.subject.id).is_some_and(|present| Arc::ptr_eq(present, live)) {
            all.remove(&live.subject.id);
        }
    }

    /// The operations that are watched here and wait or run elsewhere. Those that nobody watches
    /// any more are forgotten.
    pub fn followed(&self) -> Vec<Arc<Live>> {
        let mut all = self.live.lock();
        all.retain(|_, live| live.is_local() || (live.watchers() > 0 && !live.is_over()));
        all.values().filter(|live| !live.is_local()).cloned().collect()
    }

    fn live(&self, subject: Subject, projection: Projection) -> Live {
        Live {
            subject,
            renderer: Arc::clone(&self.renderer),
            page: Mutex::new(Page {
                projection,
                pace: Pace::new(self.throttle_hz),
                freshened: None,
                sealed: false,
            }),
            frames: Mutex::default(),
            shown: watch::Sender::new(()),
            local: AtomicBool::new(false),
        }
    }
}

/// One operation that runs here or is watched here.
pub struct Live {
    subject: Subject,
    renderer: Arc<dyn FrameRenderer>,
    /// Guards the page against updates and readers; held for as long as a copy takes.
    page: Mutex<Page>,
    /// Guards the frames at the version that is shown; held while one is rendered, so that it is
    /// rendered once, and without keeping updates waiting.
    frames: Mutex<Frames>,
    /// Wakes the readers when a version is shown.
    shown: watch::Sender<()>,
    /// A run of this process feeds it.
    local: AtomicBool,
}

struct Page {
    projection: Projection,
    pace: Pace,
    /// When it was last shown anew to a new reader.
    freshened: Option<Instant>,
    /// The run is over: its ending is being committed, and nothing may come before it any more.
    sealed: bool,
}

/// Frames that lead from some cursor to `to`.
#[derive(Default)]
struct Frames {
    to: Option<Cursor>,
    from: Vec<(Cursor, Frame)>,
}

impl Live {
    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// A copy of the page as it is now; log lines and results are shared.
    pub fn projection(&self) -> Projection {
        self.page.lock().projection.clone()
    }

    /// Where a reader stands who has all that is shown.
    fn cursor(&self) -> Cursor {
        self.page.lock().projection.cursor()
    }

    /// The newest line of its log.
    pub fn last_line(&self) -> Option<Arc<Line>> {
        self.page.lock().projection.log().last().cloned()
    }

    /// Takes an update. `Some` is the time at which the caller has to call [`Live::flush`].
    pub fn update(&self, update: Update, now: Timestamp, clock: Instant) -> Option<Instant> {
        let mut page = self.page.lock();
        // What the viewers' next click depends on does not wait for the pace.
        let at_once = matches!(update, Update::State(_) | Update::Ended(_));
        if page.sealed || !page.projection.apply(update, now) {
            return None;
        }
        if at_once {
            self.publish(&mut page, clock);
            return None;
        }
        page.pace.changed(clock)
    }

    /// For how long what is shown can be true, if nothing more is said.
    pub fn true_for(&self) -> Option<Duration> {
        let seconds = self.page.lock().projection.true_for()?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// That time is over, and nothing was said: it is shown no longer as it was.
    pub fn fall_silent(&self, now: Timestamp, clock: Instant) {
        let mut page = self.page.lock();
        if !page.sealed && page.projection.fall_silent(now) {
            self.publish(&mut page, clock);
        }
    }

    /// Shows what changed since the last time.
    pub fn flush(&self, clock: Instant) {
        let mut page = self.page.lock();
        if !page.sealed {
            self.publish(&mut page, clock);
        }
    }

    /// The run is over: the page stays as it is until its ending is shown, so that the version of
    /// the ending that is committed is the one that is shown.
    pub fn seal(&self) {
        self.page.lock().sealed = true;
    }

    /// Shows another projection of the operation: its next life, its ending, or its state in the
    /// store.
    pub fn show(&self, projection: Projection) {
        let mut page = self.page.lock();
        page.projection = projection;
        page.sealed = false;
        drop(page);
        self.shown.send_replace(());
    }

    /// The operation waits, and so many are before it now.
    pub fn move_up(&self, before: u64, now: Timestamp, clock: Instant) {
        let mut page = self.page.lock();
        // A run that began meanwhile knows better.
        if !self.is_local() && page.projection.apply(Update::Before(before), now) {
            self.publish(&mut page, clock);
        }
    }

    /// Shows the state in the store, unless a run of this process knows better.
    pub fn show_stored(&self, projection: Projection) {
        let mut page = self.page.lock();
        if !self.is_local() && page.projection.cursor() != projection.cursor() {
            page.projection = projection;
            self.shown.send_replace(());
        }
    }

    /// Whether a run of this process feeds it.
    pub fn is_local(&self) -> bool {
        self.local.load(Ordering::Acquire)
    }

    /// Whether it goes before the store: an ending may be of an earlier attempt by now.
    fn is_current(&self) -> bool {
        self.is_local() || !self.is_over()
    }

    /// Whether the operation is over.
    pub fn is_over(&self) -> bool {
        self.page.lock().projection.state().is_final()
    }

    /// How many readers it has.
    pub fn watchers(&self) -> usize {
        self.shown.receiver_count()
    }

    /// A reader that has seen `cursor`.
    pub fn watch(self: &Arc<Self>, cursor: Cursor) -> Watch {
        Watch::new(Arc::clone(self), self.shown.subscribe(), cursor)
    }

    /// Shows a new reader the present state, not that of the last flush: it comes from a page that
    /// was rendered a moment ago, and would see it go back.
    fn freshen(&self, page: &mut Page) {
        let clock = Instant::now();
        let recently = page.freshened.is_some_and(|at| clock.saturating_duration_since(at) < FRESH);
        // Only the run's own process gives versions.
        let may = self.is_local() && !page.sealed;
        if may && (!recently || page.projection.has_short_tail()) {
            page.freshened = Some(clock);
            // The pace goes on as it was: a reader who comes does not put off what is said next.
            if page.projection.flush() {
                self.shown.send_replace(());
            }
        }
    }

    /// The state by itself, for a reader who stands at `to`.
    fn state_event(&self, to: Cursor) -> Bytes {
        let mut frame = FrameBuilder::default();
        let page = self.page.lock();
        let state = if to.is_asked() { State::Cancelling } else { page.projection.state() };
        frame.state(self.subject.id, state);
        frame.preface()
    }

    fn publish(&self, page: &mut Page, clock: Instant) {
        page.pace.flushed(clock);
        if page.projection.flush() {
            self.shown.send_replace(());
        }
    }

    fn frame(&self, from: Cursor) -> Option<Frame> {
        let mut frames = self.frames.lock();
        let (projection, delta, from) = {
            let mut page = self.page.lock();
            if page.projection.is_new_to(from) {
                self.freshen(&mut page);
            }
            let to = page.projection.cursor();
            if frames.to != Some(to) {
                *frames = Frames { to: Some(to), from: Vec::new() };
            }
            let from = page.projection.known(from);
            if let Some((_, frame)) = frames.from.iter().find(|(cursor, _)| *cursor == from) {
                return Some(frame.clone());
            }
            let delta = page.projection.since(from)?;
            (page.projection.as_seen_by(&delta), delta, from)
        };
        let begin = Instant::now();
        let frame = self.renderer.frame(&self.subject, &projection, &delta);
        metrics::histogram!("liveops_frame_seconds").record(begin.elapsed());
        metrics::counter!("liveops_frame_bytes_total").increment(frame.bytes.len() as u64);
        if frames.from.len() < SHARED {
            frames.from.push((from, frame.clone()));
        }
        Some(frame)
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("subject", &self.subject)
            .field("watchers", &self.watchers())
            .finish_non_exhaustive()
    }
}

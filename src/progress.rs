//! What running code says, through one cheap handle.

mod content;
mod text;
mod track;
mod update;

pub(crate) use content::stored;
pub use content::{CONTENT_LIMIT, Content, ContentError, ElementId, Html, REGION_LIMIT};
pub(crate) use text::shortened;
pub use text::{LINE_LIMIT, TEXT_LIMIT, Text, is_invisible};
pub use track::{Polled, Track, TrackItems, TrackStream};
pub use update::{Level, Sink, StageSpec, Update};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::operation::{Operation, Outcome, Result};

/// The handle that running code speaks through: cheap to clone, synchronous, usable from any
/// thread. Every call is heard by one [`Sink`]; nothing here can fail or wait for a watcher.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<dyn Sink>,
    cancel: Cancel,
    /// Guards the names of the regions that the operation made itself.
    regions: Arc<Mutex<BTreeSet<ElementId>>>,
}

/// The request to stop, and whether the run was told of it.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    requested: CancellationToken,
    noticed: Arc<AtomicBool>,
}

/// The operation was asked to stop. Returned from `run` by `?`, it ends the run as cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Cancel {
    /// Asks the run to stop. Asking again changes nothing.
    pub fn request(&self) {
        self.requested.cancel();
    }

    /// Whether it was asked to stop.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Whether the run's handle gave out [`Cancelled`]: an `Err` then counts as cancelled.
    pub fn was_noticed(&self) -> bool {
        self.noticed.load(Ordering::Acquire)
    }

    fn check(&self) -> std::result::Result<(), Cancelled> {
        if self.requested.is_cancelled() {
            self.noticed.store(true, Ordering::Release);
            return Err(Cancelled);
        }
        Ok(())
    }
}

impl Progress {
    /// A handle whose updates go to `sink`.
    pub fn new(sink: Arc<dyn Sink>, cancel: Cancel) -> Self {
        Self { sink, cancel, regions: Arc::default() }
    }

    /// Says in a few words what is being done.
    pub fn status(&self, text: impl AsRef<str>) {
        self.status_at(Level::Info, text);
    }

    /// Like [`Progress::status`], with a level that the page shows in words and colour.
    pub fn status_at(&self, level: Level, text: impl AsRef<str>) {
        self.sink.update(Update::Status { level, text: Text::new(text.as_ref()) });
    }

    /// Sets the bar of the present stage, from 0 to 100; what lies outside is clamped.
    pub fn percent(&self, percent: f64) {
        let percent = if percent.is_nan() { 0.0 } else { percent.clamp(0.0, 100.0) };
        self.sink.update(Update::Percent(percent));
    }

    /// Follows an iterator with the bar: its size hint gives the total when it is exact. Each item
    /// comes as `Ok`, or as `Err(Cancelled)` once the operation is asked to stop.
    pub fn track<I: IntoIterator>(&self, items: I) -> Track<I::IntoIter> {
        Track::new(self.clone(), items.into_iter())
    }

    /// Follows an async stream with the bar, like [`Progress::track`] does an iterator; while it waits for
    /// an item it notices at once when the operation is asked to stop.
    pub fn track_stream<S: Stream>(&self, items: S) -> TrackStream<S> {
        TrackStream::of_stream(self.clone(), items)
    }

    /// Counts `count` more that went well; the page shows how many.
    pub fn ok(&self, count: u64) {
        self.sink.update(Update::Tally { ok: count, skipped: 0 });
    }

    /// Counts `count` more that were left out on purpose.
    pub fn skipped(&self, count: u64) {
        self.sink.update(Update::Tally { ok: 0, skipped: count });
    }

    /// Counts one more that failed: `row` says which (`line 7`), `reason` why. Both are a line of the log, the
    /// page lists the first ones, and all of them can be downloaded as CSV.
    pub fn failed(&self, row: impl AsRef<str>, reason: impl AsRef<str>) {
        let (row, reason) = (Text::label(row.as_ref()), Text::new(reason.as_ref()));
        self.sink.update(Update::Failed { row, reason });
    }

    /// Replaces what stands in a region of the operation's own, which `<kind>_live.html` has a place for, or else
    /// comes into `…-extra`. It survives reloads. For a template see [`Content::template`].
    ///
    /// ```
    /// # use liveops::{Progress, progress::{Content, Html}};
    /// # fn run(p: Progress) -> Result<(), Box<dyn std::error::Error>> {
    /// p.swap("chart", Content::template("chart", [3, 5, 8])?)?; // renders <kind>_chart.html
    /// p.swap("note", Html::trusted("<em>Half way</em>"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ContentError`] when `id` is no name for a region or one too many, or the content is too large.
    pub fn swap(&self, id: &str, content: impl Into<Content>) -> std::result::Result<(), ContentError> {
        let (id, content) = self.own(id, content.into())?;
        self.sink.update(Update::Replace { id, content });
        Ok(())
    }

    /// The same with HTML only.
    ///
    /// # Errors
    /// As of [`Progress::swap`].
    pub fn html(&self, id: &str, html: Html) -> std::result::Result<(), ContentError> {
        self.swap(id, html)
    }

    /// Adds to the end of a region of the operation's own. Very long ones lose their beginning.
    ///
    /// # Errors
    /// As of [`Progress::swap`].
    pub fn append(&self, id: &str, content: impl Into<Content>) -> std::result::Result<(), ContentError> {
        let (id, content) = self.own(id, content.into())?;
        self.sink.update(Update::Append { id, content });
        Ok(())
    }

    fn own(
        &self,
        id: &str,
        content: Content,
    ) -> std::result::Result<(ElementId, Arc<Content>), ContentError> {
        let (id, content) = (ElementId::new(id)?, Arc::new(content.checked()?));
        let mut regions = self.regions.lock();
        if !regions.contains(&id) {
            if regions.len() == REGION_LIMIT {
                return Err(ContentError::TooMany(id.to_string()));
            }
            regions.insert(id.clone());
        }
        Ok((id, content))
    }

    /// Adds a line to the log. Control characters become U+FFFD, a text over 64 KiB several lines.
    pub fn log(&self, text: impl AsRef<str>) {
        self.log_at(Level::Info, text);
    }

    /// Like [`Progress::log`], with a level.
    pub fn log_at(&self, level: Level, text: impl AsRef<str>) {
        for text in Text::lines_of(text.as_ref()) {
            self.sink.update(Update::Log { level, text });
        }
    }

    /// Names the stages ahead, all of the same weight in the overall bar.
    pub fn stages<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) {
        self.weighted_stages(names.into_iter().map(|name| (name, 1.0)));
    }

    /// Names the stages ahead with their share of the overall bar, in any unit.
    pub fn weighted_stages<S: AsRef<str>>(&self, stages: impl IntoIterator<Item = (S, f64)>) {
        let stages = stages.into_iter().map(|(name, weight)| StageSpec::new(name.as_ref(), weight)).collect();
        self.sink.update(Update::Stages(stages));
    }

    /// Enters a stage, which lasts until the guard is dropped. The bar starts anew. A name that was
    /// not announced is added at the end.
    pub fn stage(&self, name: impl AsRef<str>) -> Stage {
        let name = Text::new(name.as_ref());
        self.sink.update(Update::EnterStage(name.clone()));
        Stage { name, sink: Arc::clone(&self.sink) }
    }

    /// Whether somebody asked the operation to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.check().is_err()
    }

    /// `Err(Cancelled)` once somebody asked the operation to stop.
    ///
    /// # Errors
    /// [`Cancelled`], to be returned from `run`.
    pub fn check_cancelled(&self) -> std::result::Result<(), Cancelled> {
        self.cancel.check()
    }

    /// Waits until somebody asks the operation to stop; for a `select!`.
    pub async fn cancelled(&self) -> Cancelled {
        self.cancel.requested.cancelled().await;
        self.cancel.noticed.store(true, Ordering::Release);
        Cancelled
    }

    /// The ending with a result, to be returned from `run`.
    ///
    /// # Errors
    /// None; the type is what `run` returns.
    #[must_use = "an ending ends nothing until `run` returns it"]
    pub fn result(&self, context: impl Serialize) -> Result {
        Outcome::result(context).into()
    }

    /// The ending with an error for the user to read, to be returned from `run`.
    ///
    /// # Errors
    /// None; the type is what `run` returns.
    #[must_use = "an ending ends nothing until `run` returns it"]
    pub fn error(&self, message: impl AsRef<str>) -> Result {
        Outcome::error(message).into()
    }

    /// The ending that hands over to another operation, to be returned from `run`.
    ///
    /// # Errors
    /// None; the type is what `run` returns.
    #[must_use = "an ending ends nothing until `run` returns it"]
    pub fn chain_to<O: Operation>(&self, operation: &O) -> Result {
        Outcome::chain(operation).into()
    }

    /// The ending that leads the page on to a path of this site, to be returned from `run`.
    ///
    /// # Errors
    /// None; the type is what `run` returns.
    #[must_use = "an ending ends nothing until `run` returns it"]
    pub fn redirect(&self, path: impl Into<String>) -> Result {
        Outcome::default().redirect(path).into()
    }

    pub(crate) fn say(&self, update: Update) {
        self.sink.update(update);
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// The stage that work is in. Dropping it leaves the stage.
#[must_use = "the stage ends when this is dropped: keep it with `let _stage = …`"]
pub struct Stage {
    name: Text,
    sink: Arc<dyn Sink>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.sink.update(Update::LeaveStage(self.name.clone()));
    }
}

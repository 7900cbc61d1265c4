//! The updates of one attempt folded into what its page shows: pure data with a version.
//!
//! Every change is stamped with the version that the next [`Projection::flush`] will publish. A
//! reader at version `c` lacks what is stamped higher than `c`; that one comparison is opening a
//! page, following it and coming back to it.

mod delta;
mod estimate;
mod log;
mod overall;
mod own;
mod region;
mod row;
mod stages;
mod tally;

pub use delta::Delta;
pub use estimate::Bar;
pub use log::{Line, LogChange, LogTail, Shown};
use overall::Overall;
pub use own::{Own, OwnChange, OwnRegion, Piece};
pub use region::Region;
pub use row::Row;
pub(crate) use row::whole;
pub use stages::{Stage, StageState, Stages};
pub use tally::{FailedRow, Tally};

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::operation::{Ending, State};
use crate::progress::{Level, Text, Update};

/// A run that failed in a stage ends at once after it left it; after so many seconds it goes on.
const LEFT: f64 = 0.2;

/// What is being done, in words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How much it matters.
    pub level: Level,
    /// A few words; empty at first.
    pub text: Text,
}

/// The present state of one operation's page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Projection {
    epoch: u64,
    attempt: u32,
    #[serde(default)]
    repeats: u32,
    version: u64,
    state: State,
    state_changed: u64,
    /// The record says that it was asked to stop, and the run does not yet: never of its own pages, which are stored.
    #[serde(skip)]
    asked: bool,
    /// The version at which each region last changed, in the order of [`Region::ALL`].
    #[serde(deserialize_with = "changed")]
    changed: [u64; Region::ALL.len()],
    status: Status,
    before: Option<u64>,
    stages: Stages,
    bar: Bar,
    #[serde(default)]
    overall: Overall,
    #[serde(default)]
    tally: Tally,
    #[serde(default)]
    own: Own,
    log: LogTail,
    ending: Option<Arc<Ending>>,
    started: Option<Timestamp>,
    updated: Timestamp,
    /// When the progress region last changed: the moment that its times are of.
    measured: Timestamp,
}

impl Projection {
    /// The page of an attempt that waits or begins. `epoch` is new for each claim and recovery, so
    /// that no cursor of an earlier life is taken for one of this; `log_tail` is the number of log
    /// lines that the page keeps.
    pub fn new(epoch: u64, attempt: u32, state: State, log_tail: usize, now: Timestamp) -> Self {
        Self {
            epoch,
            attempt,
            repeats: 0,
            version: 1,
            state,
            state_changed: 1,
            asked: false,
            changed: [1; Region::ALL.len()],
            status: Status::default(),
            before: None,
            stages: Stages::default(),
            bar: Bar::new(now),
            overall: Overall::new(now),
            tally: Tally::default(),
            own: Own::default(),
            log: LogTail::new(log_tail),
            ending: None,
            started: (state != State::Waiting).then_some(now),
            updated: now,
            measured: now,
        }
    }

    /// The page of an attempt that began by itself, as did so many in a row, this one included.
    pub fn repeated(mut self, repeats: u32) -> Self {
        self.repeats = repeats;
        self
    }

    /// Takes a line of the stored log, the oldest first, of a page that could not be read.
    pub(crate) fn recall(&mut self, line: Line) {
        self.log.recall(Line { version: self.version, ..line });
    }

    /// Shows the newest lines of the stored log, the oldest first, in place of its own: later ones could not be stored.
    pub(crate) fn replace_log(&mut self, stored: Vec<Line>) {
        self.touch(Region::LogMore);
        self.flush();
        self.log = self.log.emptied(self.version);
        stored.into_iter().for_each(|line| self.recall(line));
    }

    /// Takes one update. Nothing said after the ending counts. Returns whether anything changed.
    pub fn apply(&mut self, update: Update, now: Timestamp) -> bool {
        if self.state.is_final() {
            return false;
        }
        self.updated = self.updated.max(now);
        let settles = !matches!(update, Update::LeaveStage(_) | Update::Ended(_) | Update::State(_));
        let settled = settles && self.stages.settle();
        if settled {
            self.begin_bar();
        }
        let changed = self.change(update, now) || settled;
        // The time that it takes goes on, whatever is said.
        if changed && seconds_between(self.measured, self.updated) >= 1.0 {
            self.touch(Region::Progress);
            self.advance();
        }
        changed
    }

    fn change(&mut self, update: Update, now: Timestamp) -> bool {
        match update {
            Update::Status { level, text } => {
                let status = Status { level, text };
                if self.status == status {
                    return false;
                }
                self.status = status;
                self.touch(Region::Status);
            }
            Update::Percent(percent) => return self.move_bar(|bar| bar.set_percent(percent)),
            Update::Done(done) => return self.move_bar(|bar| bar.set_done(done)),
            Update::Count { label, unit, total } => {
                self.bar.count(label, unit, total, self.updated);
                self.touch(Region::Progress);
                self.touch_stage_percent();
                self.advance();
            }
            Update::Tally { ok, skipped } => {
                if !self.tally.add(ok, skipped) {
                    return false;
                }
                self.touch(Region::Progress);
            }
            Update::Failed { row, reason } => {
                self.log.push_failure(&row, &reason, now, self.version + 1);
                if self.tally.fail(row, &reason) {
                    self.touch(Region::Failures);
                }
                self.touch(Region::LogMore);
                self.touch(Region::Progress);
            }
            Update::Replace { id, content } => return self.own.replace(id, content, self.version + 1),
            Update::Append { id, content } => return self.own.append(id, content, self.version + 1),
            Update::Stages(specs) => {
                if !specs.is_empty() {
                    self.overall.begin_stages();
                }
                self.stages.announce(specs);
                self.touch(Region::Stages);
                self.touch(Region::Progress);
                self.advance();
            }
            Update::EnterStage(name) => {
                self.overall.begin_stages();
                self.stages.enter(name, self.updated);
                self.begin_bar();
            }
            Update::LeaveStage(name) => {
                // What is said next tells whether it was done.
                self.stages.leave_later(&name, self.updated);
                return false;
            }
            Update::Log { level, text } => {
                self.log.push(level, text, now, self.version + 1);
                self.touch(Region::LogMore);
            }
            Update::Before(before) => {
                if self.before == Some(before) {
                    return false;
                }
                self.before = Some(before);
                self.touch(Region::Status);
            }
            Update::State(state) => {
                if self.state == state || state.is_final() {
                    return false;
                }
                self.enter_state(state);
            }
            Update::Ended(ending) => {
                if self.stages.end(ending.state, self.updated) {
                    self.touch(Region::Stages);
                }
                self.enter_state(ending.state);
                self.ending = Some(Arc::new(ending));
                self.touch(Region::Result);
                if self.tally.failed() > 0 {
                    // Counted and opened at the end.
                    self.touch(Region::Failures);
                }
            }
        }
        true
    }

    /// After how many seconds without a word the page is no longer true: a stage that was left was done, or the time left is
    /// over.
    pub fn true_for(&self) -> Option<f64> {
        if self.stages.is_left() { Some(LEFT) } else { self.seconds_left().map(f64::ceil) }
    }

    /// Nothing was said for so long: what is shown of stages, elapsed time, rate and time left is looked at anew. Returns
    /// whether that changes anything.
    pub fn fall_silent(&mut self, now: Timestamp) -> bool {
        if self.state.is_final() || self.true_for().is_none() {
            return false;
        }
        let told = self.seconds_left();
        self.updated = self.updated.max(now);
        let settled = self.stages.settle();
        if settled {
            self.begin_bar();
        }
        self.advance();
        let changed = settled || self.seconds_left() != told;
        if changed {
            self.touch(Region::Progress);
        }
        changed
    }

    /// Publishes what changed. Returns whether there was anything.
    pub fn flush(&mut self) -> bool {
        let next = self.version + 1;
        let dirty = self.state_changed == next || self.changed.contains(&next) || self.own.changed() == next;
        if dirty {
            self.version = next;
            self.log.publish();
        }
        dirty
    }

    /// The same page in a new life: everything counts as changed, under a new epoch.
    pub fn reborn(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// The page of a run that was asked to stop through another process than its own, and may not have heard of it: a process
    /// looks once a second, and not at all while it stands still. Its versions stay the run's, so a cursor says it apart.
    pub fn asked_to_stop(mut self) -> Self {
        self.asked = self.state == State::Running;
        self
    }

    /// Whether the log's tail, as far as it is published, lacks lines that a page shows.
    pub fn has_short_tail(&self) -> bool {
        self.log.is_short()
    }

    /// The number of the attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many attempts in a row began by themselves, this one included; 0 where somebody wanted this one.
    pub fn repeats(&self) -> u32 {
        self.repeats
    }

    /// Where the operation stands.
    pub fn state(&self) -> State {
        if self.asked { State::Cancelling } else { self.state }
    }

    /// What is being done.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// How many operations are before it in the queue, while it waits.
    pub fn before(&self) -> Option<u64> {
        self.before.filter(|_| self.state == State::Waiting)
    }

    /// The stages.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The bar of the present stage.
    pub fn bar(&self) -> &Bar {
        &self.bar
    }

    /// How many went well, failed or were left out.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The regions of the operation's own.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The log's tail, lines included that are not yet published.
    pub fn log(&self) -> &LogTail {
        &self.log
    }

    /// How it ended.
    pub fn ending(&self) -> Option<&Arc<Ending>> {
        self.ending.as_ref()
    }

    /// When something was said last.
    pub fn updated(&self) -> Timestamp {
        self.updated
    }

    /// When the attempt began; none while it waits.
    pub fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// Seconds from the beginning of the attempt to when its progress last changed.
    pub fn elapsed_seconds(&self) -> Option<f64> {
        self.started.map(|started| seconds_between(started, self.measured))
    }

    /// The seconds from the attempt's begin to a moment of it.
    pub fn seconds_until(&self, moment: Timestamp) -> Option<f64> {
        self.started.map(|started| seconds_between(started, moment))
    }

    /// The seconds that are left of the whole work at the smoothed speed; none while that is too early to say, or
    /// changes too much to be believed.
    pub fn seconds_left(&self) -> Option<f64> {
        self.whole()?;
        self.overall.seconds_left()
    }

    /// The whole work done, 0 to 100, where it is known. Once there are stages it never goes back; without them it is
    /// that of the present count.
    pub fn overall_percent(&self) -> Option<f64> {
        if self.state == State::Succeeded {
            return Some(100.0);
        }
        self.whole().map(|fraction| fraction * 100.0)
    }

    fn whole(&self) -> Option<f64> {
        self.overall.fraction(&self.stages, &self.bar)
    }

    /// Takes note of how far it came, and how fast.
    fn advance(&mut self) {
        self.bar.observe(self.updated);
        self.overall.advance(&self.stages, &self.bar, self.updated);
    }

    /// The bar begins anew, with a stage.
    fn begin_bar(&mut self) {
        self.bar = Bar::new(self.updated);
        self.touch(Region::Stages);
        self.touch(Region::Progress);
        self.advance();
    }

    fn touch(&mut self, region: Region) {
        self.changed[region as usize] = self.version + 1;
        if region == Region::Progress {
            self.measured = self.updated;
        }
    }

    fn enter_state(&mut self, state: State) {
        self.state = state;
        self.asked = false;
        self.state_changed = self.version + 1;
        for region in [Region::Status, Region::Progress, Region::Controls] {
            self.touch(region);
        }
    }

    fn move_bar(&mut self, change: impl FnOnce(&mut Bar) -> bool) -> bool {
        let changed = change(&mut self.bar);
        if changed {
            self.touch(Region::Progress);
            let is_due = self.overall.follow(&self.stages, &self.bar, self.updated);
            self.touch_stage_percent();
            if is_due {
                self.advance();
            }
        }
        changed
    }

    /// The stage's own percent is shown whole, so most steps of the bar leave it as it is.
    fn touch_stage_percent(&mut self) {
        if self.stages.set_percent(self.bar.fraction()) {
            self.touch(Region::Stages);
            self.advance();
        }
    }
}

/// The versions of the regions; of a page that another version of this program stored, all count as changed.
fn changed<'de, D: Deserializer<'de>>(stored: D) -> Result<[u64; Region::ALL.len()], D::Error> {
    let versions = Vec::<u64>::deserialize(stored)?;
    Ok(versions.try_into().unwrap_or([u64::MAX; Region::ALL.len()]))
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

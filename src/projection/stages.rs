//! The stages of an operation and where it is in them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds_between;
use crate::operation::State;
use crate::progress::{StageSpec, Text};

/// Most stages that a page shows; a name beyond them leaves the last one in place.
const MOST: usize = 100;

/// Where one stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// Not begun.
    Todo,
    /// Under way.
    Current,
    /// Left well.
    Done,
    /// The operation failed in it.
    Failed,
    /// The operation was cancelled in it.
    Cancelled,
    /// The operation's process died in it.
    Interrupted,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What it is called.
    pub name: Text,
    /// Its share of the whole, in any unit.
    pub weight: f64,
    /// Where it stands.
    pub state: StageState,
    /// When it began.
    pub started: Option<Timestamp>,
    /// How long it took.
    pub seconds: Option<f64>,
    /// How much of it is done while it is under way, in whole percent.
    pub percent: Option<u8>,
}

/// The stages in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stages {
    list: Vec<Stage>,
    /// The stage that was left last, which an ending other than success marks.
    last: Option<usize>,
    /// When the present stage was left, while it is not known yet what that means: of a run that failed, the
    /// guard of a stage is dropped a moment before the ending is known.
    #[serde(default)]
    left: Option<Timestamp>,
}

impl Stages {
    /// The stages in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Stage> {
        self.list.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The name of the one under way.
    pub fn current_name(&self) -> Option<&Text> {
        self.current().map(|index| &self.list[index].name)
    }

    /// The name of the one that a count is of: the one under way, else the one in which it stopped.
    pub fn counted_name(&self) -> Option<&Text> {
        let stopped = |stage: &&Stage| {
            matches!(stage.state, StageState::Failed | StageState::Cancelled | StageState::Interrupted)
        };
        self.current_name().or_else(|| self.list.iter().find(stopped).map(|stage| &stage.name))
    }

    pub(super) fn announce(&mut self, specs: Vec<StageSpec>) {
        let specs = specs.into_iter().take(MOST);
        self.list = specs.map(|spec| Stage::todo(spec.name, spec.weight)).collect();
        (self.last, self.left) = (None, None);
    }

    pub(super) fn enter(&mut self, name: Text, now: Timestamp) {
        self.leave(now);
        let found = self.list.iter().position(|stage| stage.name == name && stage.state == StageState::Todo);
        let found = found.or_else(|| self.list.iter().position(|stage| stage.name == name));
        let index = found.unwrap_or_else(|| {
            if self.list.len() < MOST {
                self.list.push(Stage::todo(name, 1.0));
            }
            self.list.len() - 1
        });
        let stage = &mut self.list[index];
        (stage.state, stage.started, stage.seconds, stage.percent) =
            (StageState::Current, Some(now), None, None);
    }

    /// The stage of that name is left, well or not. Where another one was entered meanwhile, it was left then.
    pub(super) fn leave_later(&mut self, name: &Text, now: Timestamp) {
        if self.current_name() == Some(name) {
            self.left = Some(now);
        }
    }

    /// Whether the present stage was left, and nothing more is known of it.
    pub(super) fn is_left(&self) -> bool {
        self.left.is_some()
    }

    /// The run goes on, so a stage that was left was done. Returns whether there was one.
    pub(super) fn settle(&mut self) -> bool {
        match self.left {
            Some(at) => self.leave(at),
            None => false,
        }
    }

    /// Leaves the present stage as done; returns whether there was one.
    fn leave(&mut self, now: Timestamp) -> bool {
        let now = self.left.take().unwrap_or(now);
        let Some(index) = self.current() else { return false };
        self.finish(index, StageState::Done, now);
        self.last = Some(index);
        true
    }

    /// Leaves the stages for good; returns whether that changed any.
    pub(super) fn end(&mut self, state: State, now: Timestamp) -> bool {
        let left = self.leave(now);
        let state = match state {
            State::Failed => StageState::Failed,
            State::Cancelled => StageState::Cancelled,
            State::Interrupted => StageState::Interrupted,
            _ => return left,
        };
        if let Some(index) = self.last {
            self.list[index].state = state;
        }
        self.last.is_some()
    }

    /// Sets the present stage's percent; returns whether the number that is shown changed.
    pub(super) fn set_percent(&mut self, fraction: Option<f64>) -> bool {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = fraction.map(|fraction| (fraction * 100.0).clamp(0.0, 100.0) as u8);
        match self.current() {
            Some(index) if self.list[index].percent != percent => {
                self.list[index].percent = percent;
                true
            }
            _ => false,
        }
    }

    /// The share of the whole that is done, when `fraction` of the present stage is.
    pub(super) fn overall(&self, fraction: Option<f64>) -> Option<f64> {
        if self.list.is_empty() {
            return fraction;
        }
        let whole: f64 = self.list.iter().map(|stage| stage.weight).sum();
        let done: f64 = self
            .list
            .iter()
            .map(|stage| match stage.state {
                StageState::Todo => 0.0,
                StageState::Done => stage.weight,
                _ => stage.weight * f64::from(stage.percent.unwrap_or(0)) / 100.0,
            })
            .sum();
        let known = done > 0.0 || fraction.is_some();
        known.then_some((done / whole).clamp(0.0, 1.0))
    }

    fn current(&self) -> Option<usize> {
        self.list.iter().position(|stage| stage.state == StageState::Current)
    }

    fn finish(&mut self, index: usize, state: StageState, now: Timestamp) {
        let stage = &mut self.list[index];
        stage.state = state;
        stage.seconds = stage.started.map(|started| seconds_between(started, now));
    }
}

impl Stage {
    fn todo(name: Text, weight: f64) -> Self {
        Self { name, weight, state: StageState::Todo, started: None, seconds: None, percent: None }
    }
}

//! How far the whole work is, with all its stages, and how fast it goes on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::estimate::Speed;
use super::{Bar, Stages};

/// What is remembered of the whole; how far it is comes from the stages and the bar.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Overall {
    speed: Speed,
    /// The furthest that it was, 0 to 1.
    furthest: f64,
    /// There were stages, so that it never goes back.
    staged: bool,
}

impl Overall {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { speed: Speed::new(now), ..Self::default() }
    }

    /// There are stages: from now on it never goes back.
    pub(super) fn begin_stages(&mut self) {
        self.staged = true;
    }

    /// How much of it is done, 0 to 1, where that is known.
    pub(super) fn fraction(&self, stages: &Stages, bar: &Bar) -> Option<f64> {
        let whole = stages.overall(bar.fraction());
        if !self.staged {
            return whole;
        }
        let furthest = Some(self.furthest).filter(|furthest| *furthest > 0.0);
        whole.map_or(furthest, |whole| Some(whole.max(self.furthest)))
    }

    /// Takes note of how far it came, and how fast.
    pub(super) fn advance(&mut self, stages: &Stages, bar: &Bar, now: Timestamp) {
        if let Some(whole) = self.fraction(stages, bar) {
            self.note(whole, bar);
            self.speed.observe(whole, now);
        }
    }

    /// The bar moved. Returns whether it is time to take note of the speed.
    pub(super) fn follow(&mut self, stages: &Stages, bar: &Bar, now: Timestamp) -> bool {
        if stages.is_empty() {
            self.note(bar.fraction().unwrap_or(0.0), bar);
        }
        self.speed.is_due(now)
    }

    /// The seconds that are left of it; none while that is too early to say, or changes too much to be believed.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        self.speed.seconds_until(1.0)
    }

    /// A count before the first stage is of something else, but a percentage that was said is of the whole.
    fn note(&mut self, whole: f64, bar: &Bar) {
        if self.staged || bar.is_said() {
            self.furthest = self.furthest.max(whole);
        }
    }
}

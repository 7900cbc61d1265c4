//! The bar of the present stage, its rate and the time that is left.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::progress::Text;

/// Seconds of counting before a rate means anything.
const RATE_AFTER: f64 = 1.0;
/// Seconds of counting before a guess at the time left does.
const LEFT_AFTER: f64 = 3.0;

/// How far the present stage, or the whole work without stages, is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    percent: Option<f64>,
    label: Option<Text>,
    unit: Option<Text>,
    done: Option<u64>,
    total: Option<u64>,
    since: Timestamp,
}

impl Bar {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { percent: None, label: None, unit: None, done: None, total: None, since: now }
    }

    pub(super) fn count(
        &mut self,
        label: Option<Text>,
        unit: Option<Text>,
        total: Option<u64>,
        now: Timestamp,
    ) {
        *self = Self { percent: None, label, unit, done: Some(0), total, since: now };
    }

    pub(super) fn set_percent(&mut self, percent: f64) -> bool {
        self.percent.replace(percent) != Some(percent)
    }

    pub(super) fn set_done(&mut self, done: u64) -> bool {
        self.done.replace(done) != Some(done)
    }

    /// What is counted for.
    pub fn label(&self) -> Option<&Text> {
        self.label.as_ref()
    }

    /// What one of the counted is called, in the plural.
    pub fn unit(&self) -> Option<&Text> {
        self.unit.as_ref()
    }

    /// How many are done.
    pub fn done(&self) -> Option<u64> {
        self.done
    }

    /// How many there are.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// When the count began.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// How much is done, 0 to 1, where it is known.
    #[expect(clippy::cast_precision_loss, reason = "a share of the whole needs no more")]
    pub fn fraction(&self) -> Option<f64> {
        match (self.percent, self.done, self.total) {
            (Some(percent), ..) => Some(percent / 100.0),
            (None, Some(done), Some(total)) if total > 0 => Some((done as f64 / total as f64).min(1.0)),
            _ => None,
        }
    }

    /// How many are done each second, after `seconds` of counting; none while that is too early.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn rate(&self, seconds: f64) -> Option<f64> {
        let done = self.done.filter(|done| *done > 0)? as f64;
        (seconds >= RATE_AFTER).then_some(done / seconds)
    }
}

/// The seconds that are left where `fraction` took `seconds`; none while that is too early to say.
pub(super) fn seconds_left(fraction: f64, seconds: f64) -> Option<f64> {
    let says_something = seconds >= LEFT_AFTER && fraction > 0.02 && fraction < 1.0;
    says_something.then(|| seconds * (1.0 - fraction) / fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_waits_until_it_means_something() {
        let mut bar = Bar::new(Timestamp::UNIX_EPOCH);
        bar.count(None, None, Some(100), Timestamp::UNIX_EPOCH);
        assert_eq!(bar.rate(9.0), None);
        bar.set_done(50);
        assert_eq!((bar.rate(0.5), bar.rate(10.0)), (None, Some(5.0)));
        assert_eq!(
            (seconds_left(0.0, 9.0), seconds_left(0.5, 2.0), seconds_left(1.0, 9.0)),
            (None, None, None)
        );
        assert_eq!(seconds_left(0.5, 10.0), Some(10.0));
    }
}

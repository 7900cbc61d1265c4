//! The bar of the present stage, its rate and the time that is left.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::seconds_between;
use crate::progress::Text;

/// Seconds of counting before a rate means anything.
const RATE_AFTER: f64 = 1.0;
/// Seconds of counting before a guess at the time left does.
const LEFT_AFTER: f64 = 3.0;
/// Seconds of counting after which it does however little is done: what takes hours says so soon.
const SURE_AFTER: f64 = 10.0;
/// Seconds between two looks at the speed.
const OBSERVE_EVERY: f64 = 0.1;
/// The seconds over which the speed of late is taken, and the one that is shown.
const OF_LATE: f64 = 3.0;
const SMOOTH: f64 = 10.0;
/// While the two differ by more than this factor, no time is told.
const STEADY: f64 = 2.0;

/// How far the present stage, or the whole work without stages, is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    percent: Option<f64>,
    label: Option<Text>,
    unit: Option<Text>,
    done: Option<u64>,
    total: Option<u64>,
    /// How fast they are done.
    #[serde(default)]
    speed: Speed,
}

/// How fast something grows, in its unit per second: of late, and over a longer while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Speed {
    /// Since when it is observed.
    since: Timestamp,
    /// When it was observed last, and what it was then.
    at: Timestamp,
    value: f64,
    of_late: f64,
    smooth: f64,
}

impl Speed {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { since: now, at: now, value: 0.0, of_late: 0.0, smooth: 0.0 }
    }

    /// Whether it was not looked at for long enough.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now < self.at || seconds_between(self.at, now) >= OBSERVE_EVERY
    }

    /// It is `value` at `now`. Where one of them goes back, it begins anew: the clock may be put back too.
    pub(super) fn observe(&mut self, value: f64, now: Timestamp) {
        if value < self.value || now < self.at {
            *self = Self { value, ..Self::new(now) };
            return;
        }
        if !self.is_due(now) {
            return;
        }
        let seconds = seconds_between(self.at, now);
        let present = (value - self.value) / seconds;
        let all = seconds_between(self.since, now);
        // Until it was observed for long enough, all of it counts alike: an average.
        let weight = |over: f64| (1.0 - (-seconds / over).exp()).max(seconds / all);
        self.of_late += (present - self.of_late) * weight(OF_LATE);
        self.smooth += (present - self.smooth) * weight(SMOOTH);
        (self.value, self.at) = (value, now);
    }

    /// So much each second; none while that is too early to say.
    fn each_second(&self) -> Option<f64> {
        let observed = seconds_between(self.since, self.at);
        (observed >= RATE_AFTER && self.smooth > 0.0).then_some(self.smooth)
    }

    /// The seconds until it is `whole`; none while that is too early to say, or changes too much to be believed.
    pub(super) fn seconds_until(&self, whole: f64) -> Option<f64> {
        let is_steady = (self.smooth / STEADY..=self.smooth * STEADY).contains(&self.of_late);
        let observed = seconds_between(self.since, self.at);
        let says_something = observed >= LEFT_AFTER
            && (self.value > 0.02 * whole || observed >= SURE_AFTER)
            && self.value < whole
            && self.smooth > 0.0
            && is_steady;
        says_something.then(|| (whole - self.value) / self.smooth)
    }
}

impl Bar {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { percent: None, label: None, unit: None, done: None, total: None, speed: Speed::new(now) }
    }

    pub(super) fn count(
        &mut self,
        label: Option<Text>,
        unit: Option<Text>,
        total: Option<u64>,
        now: Timestamp,
    ) {
        *self = Self { percent: None, label, unit, done: Some(0), total, speed: Speed::new(now) };
    }

    pub(super) fn set_percent(&mut self, percent: f64) -> bool {
        self.percent.replace(percent) != Some(percent)
    }

    pub(super) fn set_done(&mut self, done: u64) -> bool {
        self.done.replace(done) != Some(done)
    }

    /// Whether its percentage was said, and not counted.
    pub(super) fn is_said(&self) -> bool {
        self.percent.is_some()
    }

    /// Takes note of how fast it goes.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn observe(&mut self, now: Timestamp) {
        if let Some(done) = self.done {
            self.speed.observe(done as f64, now);
        }
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

    /// How much is done, 0 to 1, where it is known.
    #[expect(clippy::cast_precision_loss, reason = "a share of the whole needs no more")]
    pub fn fraction(&self) -> Option<f64> {
        match (self.percent, self.done, self.total) {
            (Some(percent), ..) => Some(percent / 100.0),
            (None, Some(done), Some(total)) if total > 0 => Some((done as f64 / total as f64).min(1.0)),
            _ => None,
        }
    }

    /// How many are done each second, smoothed; none while that is too early to say.
    pub fn rate(&self) -> Option<f64> {
        self.speed.each_second()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_microsecond((seconds * 1e6) as i64).expect("a time")
    }

    #[test]
    fn the_estimate_waits_until_it_means_something() {
        let mut bar = Bar::new(at(0.0));
        bar.count(None, None, Some(100), at(0.0));
        assert_eq!(bar.rate(), None);
        bar.set_done(5);
        bar.observe(at(0.5));
        assert_eq!(bar.rate(), None, "too early");
        bar.set_done(50);
        bar.observe(at(10.0));
        assert!(bar.rate().is_some_and(|rate| (4.0..6.0).contains(&rate)), "{:?}", bar.rate());
        let mut speed = Speed::new(at(0.0));
        speed.observe(0.3, at(2.0));
        assert_eq!(speed.seconds_until(1.0), None, "too early");
        speed.observe(0.5, at(10.0));
        assert!(speed.seconds_until(1.0).is_some_and(|left| (8.0..12.0).contains(&left)), "{speed:?}");
        speed.observe(1.0, at(20.0));
        assert_eq!(speed.seconds_until(1.0), None, "it is there");
    }

    #[test]
    fn a_clock_that_leaps_spoils_it_for_a_while_only() {
        const YEAR: f64 = 366.0 * 86400.0;
        for (begin, leap) in [(2.0 * YEAR, -YEAR), (0.0, YEAR)] {
            let mut speed = Speed::new(at(begin));
            let mut value = 0.0;
            for step in 1..=1000 {
                value += 0.0005;
                let leapt = if step > 500 { leap } else { 0.0 };
                speed.observe(value, at(begin + leapt + f64::from(step) * 0.2));
            }
            let left = speed.seconds_until(1.0).expect("a time");
            let truth = (1.0 - value) / 0.0025;
            assert!((left / truth - 1.0).abs() < 0.1, "{left} and not {truth}");
        }
    }

    #[test]
    fn what_takes_hours_says_so_soon() {
        let mut speed = Speed::new(at(0.0));
        for second in 1..=9 {
            speed.observe(f64::from(second), at(second.into()));
            assert_eq!(speed.seconds_until(36_000.0), None, "after {second} s");
        }
        speed.observe(10.0, at(10.0));
        assert!(
            speed.seconds_until(36_000.0).is_some_and(|left| (35_000.0..37_000.0).contains(&left)),
            "{speed:?}"
        );
    }

    #[test]
    fn an_unsteady_speed_tells_no_time() {
        let mut speed = Speed::new(at(0.0));
        let mut value = 0.0;
        for step in 1..=100 {
            value += 0.002;
            speed.observe(value, at(f64::from(step) * 0.2));
        }
        assert!(speed.seconds_until(1.0).is_some());
        for step in 1..=20 {
            speed.observe(value, at(20.0 + f64::from(step) * 0.2));
        }
        assert_eq!(speed.seconds_until(1.0), None, "it stands still of late: {speed:?}");
    }

    #[test]
    fn it_follows_a_speed_that_changed() {
        let mut speed = Speed::new(at(0.0));
        let (mut value, mut time) = (0.0, 0.0);
        for (steps, by) in [(100, 0.001), (300, 0.0005)] {
            for _ in 0..steps {
                (value, time) = (value + by, time + 0.2);
                speed.observe(value, at(time));
            }
        }
        let left = speed.seconds_until(1.0).expect("a time");
        let truth = (1.0 - value) / 0.0025;
        assert!((left / truth - 1.0).abs() < 0.1, "{left} and not {truth}");
    }
}

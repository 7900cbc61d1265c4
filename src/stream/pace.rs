//! When a change is shown: in a moment, or when the last showing is long enough ago.

use std::time::{Duration, Instant};

/// What is said within so much of the first change is shown with it. A step mostly says several
/// things, a count and a status say; shown at once, the first would keep the others waiting for
/// the whole interval.
const GATHER: Duration = Duration::from_millis(2);

/// Paces the flushes of one operation: the first changes of a burst are shown in a moment, the last
/// one never lost, and there are never more than the rate.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    gather: Duration,
    last: Option<Instant>,
    /// When the scheduled flush is to be.
    due: Option<Instant>,
}

impl Pace {
    /// At most `hertz` flushes a second; one a day at least.
    pub fn new(hertz: f64) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let interval = Duration::try_from_secs_f64(1.0 / hertz).unwrap_or(DAY).min(DAY);
        Self { interval, gather: GATHER.min(interval / 10), last: None, due: None }
    }

    /// Something changed at `now`. `Some` is when to flush; `None` says that a flush is scheduled
    /// already.
    pub fn changed(&mut self, now: Instant) -> Option<Instant> {
        if self.due.is_some() {
            return None;
        }
        let gathered = now + self.gather;
        self.due = Some(self.last.map_or(gathered, |last| gathered.max(last + self.interval)));
        self.due
    }

    /// It was flushed at `now`, for whatever reason. Timers wake a little late; the next interval
    /// counts from when the flush was due, or an operation that says something at just this rate
    /// would be shown later and later.
    pub fn flushed(&mut self, now: Instant) {
        let due = self.due.take().filter(|due| *due <= now && now - *due <= self.interval / 10);
        self.last = Some(due.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leading_and_trailing_edge() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(10.0);
        assert_eq!(pace.changed(at(0)), Some(at(2)), "with what is said in the same breath");
        assert_eq!(pace.changed(at(1)), None);
        pace.flushed(at(2));
        assert_eq!(pace.changed(at(30)), Some(at(102)));
        assert_eq!(pace.changed(at(40)), None);
        pace.flushed(at(102));
        assert_eq!(pace.changed(at(250)), Some(at(252)));
    }

    #[test]
    fn a_timer_that_is_late_does_not_lower_the_rate() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(10.0);
        pace.changed(at(0));
        pace.flushed(at(4));
        assert_eq!(pace.changed(at(100)), Some(at(102)));
        // Too late to be made up for: two flushes would come close to each other.
        pace.flushed(at(150));
        assert_eq!(pace.changed(at(200)), Some(at(250)));
    }

    #[test]
    fn any_rate_will_do() {
        let now = Instant::now();
        for hertz in [1e-300, f64::MIN_POSITIVE, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut pace = Pace::new(hertz);
            pace.flushed(now);
            pace.changed(now);
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_the_last_is_shown(gaps in prop::collection::vec(0u64..300, 1..60)) {
            let start = Instant::now();
            let (mut pace, mut now, mut timer) = (Pace::new(10.0), start, None);
            let mut flushes: Vec<Instant> = Vec::new();
            let mut shown_until = None;
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Some(at) = timer.filter(|at| *at <= now) {
                    pace.flushed(at);
                    flushes.push(at);
                    shown_until = Some(at);
                    timer = None;
                }
                match pace.changed(now) {
                    Some(at) => { prop_assert!(timer.is_none()); timer = Some(at); }
                    None => prop_assert!(timer.is_some()),
                }
            }
            prop_assert!(timer.is_some() || shown_until >= Some(now));
            for pair in flushes.windows(2) {
                prop_assert!(pair[1] - pair[0] >= Duration::from_millis(100));
            }
        }
    }
}

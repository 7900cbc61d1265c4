//! When a change is shown: at once, or when the last showing is long enough ago.

use std::time::{Duration, Instant};

/// Paces the flushes of one operation: the first change of a burst is shown at once, the last one
/// never lost, and there are never more than the rate.
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    last: Option<Instant>,
    scheduled: bool,
}

/// What to do about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Flush.
    Now,
    /// Flush at that time.
    At(Instant),
    /// A flush is scheduled already.
    Scheduled,
}

impl Pace {
    /// At most `hertz` flushes a second; one a day at least.
    pub fn new(hertz: f64) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let interval = Duration::try_from_secs_f64(1.0 / hertz).unwrap_or(DAY).min(DAY);
        Self { interval, last: None, scheduled: false }
    }

    /// Something changed at `now`.
    pub fn changed(&mut self, now: Instant) -> Due {
        if self.scheduled {
            return Due::Scheduled;
        }
        match self.last.map(|last| last + self.interval) {
            Some(next) if next > now => {
                self.scheduled = true;
                Due::At(next)
            }
            _ => Due::Now,
        }
    }

    /// It was flushed at `now`, for whatever reason.
    pub fn flushed(&mut self, now: Instant) {
        self.last = Some(now);
        self.scheduled = false;
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
        assert_eq!(pace.changed(at(0)), Due::Now);
        pace.flushed(at(0));
        assert_eq!(pace.changed(at(30)), Due::At(at(100)));
        assert_eq!(pace.changed(at(40)), Due::Scheduled);
        pace.flushed(at(100));
        assert_eq!(pace.changed(at(250)), Due::Now);
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
                    Due::Now => { pace.flushed(now); flushes.push(now); shown_until = Some(now); }
                    Due::At(at) => { prop_assert!(timer.is_none()); timer = Some(at); }
                    Due::Scheduled => prop_assert!(timer.is_some()),
                }
            }
            prop_assert!(timer.is_some() || shown_until >= Some(now));
            for pair in flushes.windows(2) {
                prop_assert!(pair[1] - pair[0] >= Duration::from_millis(100));
            }
        }
    }
}

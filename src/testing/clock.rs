//! A clock that a test puts forward.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::{Clock, SystemClock};

/// A [`Clock`] that stands still until a test puts it forward. Its clones are the same clock: one goes to
/// [`LiveOpsBuilder::clock`](crate::LiveOpsBuilder::clock), one stays with the test.
///
/// ```
/// use std::time::Duration;
/// use liveops::Clock as _;
/// use liveops::testing::ManualClock;
///
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(300));
/// assert_eq!(clock.now(), before + Duration::from_secs(300));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Timestamp>>);

impl ManualClock {
    /// A clock at that time.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(now)))
    }

    /// Puts it forward. Whoever waits for a time that has come now goes on.
    ///
    /// # Panics
    /// Where no such time can be written.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }

    /// Sets it, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }
}

impl Default for ManualClock {
    /// A clock at the present time.
    fn default() -> Self {
        Self::new(SystemClock.now())
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn leaps_are_meant(&self) -> bool {
        true
    }

    async fn sleep_until(&self, at: Timestamp) {
        // The sender is here, so there is always somebody to wait for.
        let _ = self.0.subscribe().wait_for(|now| *now >= at).await;
    }
}

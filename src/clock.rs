//! What time it is: an argument, so that tests need not wait.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Says what time it is: for what is stored and shown, for what expires and for what is removed by its age. How often pages are
/// flushed does not depend on it.
///
/// [`SystemClock`] unless [`LiveOpsBuilder::clock`](crate::LiveOpsBuilder::clock) says otherwise; in tests
/// [`ManualClock`](crate::testing::ManualClock).
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// Whether a leap of it is meant. One of the system's clock may be an error, or the sleep of the machine, so that retention
    /// follows it a day at a time.
    fn leaps_are_meant(&self) -> bool {
        false
    }

    /// Waits until it is `at`.
    async fn sleep_until(&self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.now()));
        tokio::time::sleep(left.unwrap_or_default()).await;
    }
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

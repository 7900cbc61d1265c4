//! What is said once in a while, however often there is reason to.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// So that who causes a warning again and again does not fill the log.
const PAUSE: Duration = Duration::from_secs(60);

/// When something was last said.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is to be said now.
    pub(super) fn is_due(&self) -> bool {
        let mut said = self.0.lock();
        let is_due = said.is_none_or(|at| at.elapsed() >= PAUSE);
        if is_due {
            *said = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_due_once_a_minute() {
        let seldom = Seldom::default();
        assert!(seldom.is_due() && !seldom.is_due());
        tokio::time::advance(PAUSE).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}

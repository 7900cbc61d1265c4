//! Following an operation, and those that it hands over to, from a terminal.

use std::cell::Cell;
use std::time::Duration;

use liveops::live::Snapshot;
use liveops::operation::Ending;
use liveops::{LiveOps, OperationId, State, Viewer};

use super::Failure;
use super::screen::Screen;

/// How often it is looked what became of it.
const LOOK: Duration = Duration::from_millis(200);

/// One who follows an operation.
pub(super) struct Follower<'a> {
    pub(super) live: &'a LiveOps,
    pub(super) viewer: &'a Viewer,
    /// Whether it is to be asked to stop.
    pub(super) stop: &'a Cell<bool>,
}

impl Follower<'_> {
    /// Shows what it does until it is over, and then the next one where it hands over. The state in
    /// which the last one ended.
    pub(super) async fn follow(&self, first: OperationId, screen: &mut Screen) -> Result<State, Failure> {
        let mut id = first;
        loop {
            let ending = self.follow_one(id, screen).await?;
            match ending.next {
                Some(next) => id = next,
                None => return Ok(ending.state),
            }
        }
    }

    async fn follow_one(&self, id: OperationId, screen: &mut Screen) -> Result<Ending, Failure> {
        let (mut attempt, mut next) = (0, 1);
        let mut failing = false;
        loop {
            if self.stop.get() {
                // As often as it is looked: the next one of a chain is to stop too.
                self.live.cancel(self.viewer, id).await?;
            }
            match self.live.view(self.viewer, id).await {
                Ok(Some(seen)) => {
                    failing = false;
                    if seen.projection.attempt() != attempt {
                        (attempt, next) = (seen.projection.attempt(), 1);
                    }
                    // Read after the page: what is over has all its lines by now.
                    next = self.show_log(id, attempt, next, screen).await?;
                    screen.show(&seen);
                    if let Some(ending) = ending(&seen) {
                        screen.end(&seen, &ending);
                        return Ok(ending);
                    }
                }
                Ok(None) => return Err(format!("operation {id} is not there any more").into()),
                // Passing, as a full disk is: the operation goes on meanwhile.
                Err(error) if !failing => {
                    tracing::warn!(operation = %id, %error, "it cannot be followed now");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Shows the lines from number `next` on; the number after the last one.
    async fn show_log(
        &self,
        id: OperationId,
        attempt: u32,
        mut next: u64,
        screen: &mut Screen,
    ) -> Result<u64, Failure> {
        loop {
            let lines = self.live.log(id, attempt, next).await?;
            let Some(last) = lines.last() else { return Ok(next) };
            next = last.seq + 1;
            screen.lines(&lines);
        }
    }
}

/// How it ended, where it has.
fn ending(seen: &Snapshot) -> Option<Ending> {
    let state = seen.projection.state();
    let ending = seen.projection.ending().map(|ending| (**ending).clone());
    state.is_final().then(|| ending.unwrap_or_else(|| Ending::plain(state)))
}

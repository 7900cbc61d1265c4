//! The page of an operation that does not run in this process: as it is stored.

use super::LiveOps;
use crate::operation::{Ending, Record, State};
use crate::progress::Update;
use crate::projection::Projection;
use crate::store::{StoreResult, tail};

impl LiveOps {
    /// The page of an operation that does not run in this process.
    pub(super) async fn stored_page(&self, record: &Record) -> StoreResult<Projection> {
        if record.state == State::Waiting {
            let mut page = self.blank_page(record, self.0.waiting_epoch);
            page.apply(Update::Before(self.0.store.before(record.id).await?), record.created);
            page.flush();
            return Ok(page);
        }
        let stored =
            self.0.store.projection(record.id).await?.filter(|page| page.attempt() == record.attempt);
        let mut page = match stored {
            Some(page) => page,
            // Cancelled before it ran, claimed a moment ago, or written by another version in another form.
            None => {
                let mut page = self.blank_page(record, record.epoch());
                if record.state.is_final() {
                    let stored = tail(&*self.0.store, record.id, record.attempt, self.0.log_tail).await?;
                    stored.into_iter().for_each(|line| page.recall(line));
                }
                page
            }
        };
        if record.state.is_final() && !page.state().is_final() {
            let ending = record.ending.clone().unwrap_or_else(|| Ending::plain(record.state));
            page.apply(Update::Ended(ending), record.finished.unwrap_or(record.created));
            page.flush();
        }
        Ok(if record.state == State::Cancelling { page.asked_to_stop() } else { page })
    }

    fn blank_page(&self, record: &Record, epoch: u64) -> Projection {
        let state = if record.started.is_some() { State::Running } else { State::Waiting };
        let since = record.started.unwrap_or(record.created);
        Projection::new(epoch, record.attempt, state, self.0.log_tail, since).repeated(record.repeats)
    }
}

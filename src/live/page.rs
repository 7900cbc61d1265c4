//! The page of an operation that does not run in this process: as it is stored.

use super::LiveOps;
use crate::operation::{Ending, Record, State};
use crate::progress::Update;
use crate::projection::Projection;
use crate::store::StoreResult;

/// So many lines of a log are read at once.
const AT_ONCE: u32 = 1000;

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
                    self.recall_log(record, &mut page).await?;
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

    /// Gives a page that could not be read the newest of the lines that are stored. The others are not read: there may
    /// be millions.
    async fn recall_log(&self, record: &Record, page: &mut Projection) -> StoreResult<()> {
        let end = self.0.store.log_end(record.id, record.attempt).await?;
        // One more than it keeps, so that it knows of lines that are gone.
        let mut from = end.saturating_sub(self.0.log_tail as u64).max(1);
        loop {
            let lines = self.0.store.log(record.id, record.attempt, from, AT_ONCE).await?;
            let Some(last) = lines.last() else { return Ok(()) };
            from = last.seq + 1;
            lines.into_iter().for_each(|line| page.recall(line));
        }
    }

    fn blank_page(&self, record: &Record, epoch: u64) -> Projection {
        let state = if record.started.is_some() { State::Running } else { State::Waiting };
        let since = record.started.unwrap_or(record.created);
        Projection::new(epoch, record.attempt, state, self.0.log_tail, since).repeated(record.repeats)
    }
}

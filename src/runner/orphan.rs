//! What dead processes left.

use std::sync::Arc;

use super::{Inner, epoch, interrupted};
use crate::operation::State;
use crate::progress::Update;
use crate::projection::Projection;
use crate::store::{Finish, Interruption, Lease, Orphan, StoreError, StoreResult};

impl Inner {
    /// Ends it as interrupted, or puts it back into the queue where it is repeatable. How many there were that
    /// ended.
    pub(super) async fn recover(self: &Arc<Self>) -> StoreResult<usize> {
        let orphans = self.store.orphans().await?;
        let mut marked = 0;
        for Orphan { record, projection, seen } in orphans {
            let now = self.clock.now();
            let lease = Lease { operation: record.id, claim: record.claim, attempt: record.attempt };
            match self.store.repeat(lease, &[], Interruption::Death, now).await {
                Ok(true) => {
                    tracing::info!(operation = %record.id, attempt = record.attempt, "its process died; it waits for its next attempt");
                    self.repeated();
                    continue;
                }
                Ok(false) => {}
                // Another process had it first.
                Err(StoreError::Fenced { .. }) => continue,
                Err(error) => return Err(error),
            }
            let ending = interrupted();
            let started = record.started.unwrap_or(now);
            let mut projection = projection
                .unwrap_or_else(|| Projection::new(0, record.attempt, State::Running, self.log_tail, started))
                .repeated(record.repeats)
                .reborn(epoch());
            // It ended when its process did: nobody worked on it while the server was down.
            let at = seen.map_or(now, |seen| seen.clamp(started, now.max(started))).max(projection.updated());
            projection.apply(Update::Ended(ending.clone()), at);
            projection.flush();
            let finish = Finish {
                projection,
                ending: ending.clone(),
                detail: Some("its process died".into()),
                next: None,
                at,
            };
            match self.store.finish(lease, &[], finish).await {
                Ok(()) => {
                    tracing::info!(operation = %record.id, "interrupted: its process died");
                    self.tell_ending(record.id, &record.kind, record.input, ending);
                    marked += 1;
                }
                // Another process marked it first.
                Err(StoreError::Fenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if marked > 0 {
            metrics::counter!("liveops_operations_interrupted_total").increment(marked as u64);
            self.changed.notify_one();
        }
        Ok(marked)
    }
}

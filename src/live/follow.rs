//! Operations that are watched here but do not run here are followed through the store: those that
//! wait, and those that another process runs.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::lists::Lists;
use super::{Inner, LiveOps};
use crate::operation::State;
use crate::store::StoreResult;
use crate::stream::Live;

/// What another process did is noticed at most this much later.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Follows until the [`LiveOps`] is gone.
pub(super) async fn follow(inner: Weak<Inner>, changed: Arc<Notify>, lists: Arc<Lists>) {
    loop {
        tokio::select! {
            () = changed.notified() => lists.changed(),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        let live_ops = LiveOps(inner);
        for live in live_ops.0.hub.followed() {
            if let Err(error) = live_ops.refresh(&live).await {
                tracing::warn!(operation = %live.subject().id, %error, "could not be followed");
            }
        }
    }
}

impl LiveOps {
    /// Shows a followed operation as it is in the store.
    async fn refresh(&self, live: &Arc<Live>) -> StoreResult<()> {
        let Some(record) = self.0.store.record(live.subject().id).await? else { return Ok(()) };
        let page = live.projection();
        if record.state == State::Waiting
            && page.state() == State::Waiting
            && page.attempt() == record.attempt
        {
            // The page goes on, so that its versions do; only the place in the queue changes.
            let before = self.0.store.before(record.id).await?;
            live.move_up(before, self.0.clock.now(), Instant::now());
        } else {
            live.show_stored(self.stored_page(&record).await?);
        }
        Ok(())
    }
}

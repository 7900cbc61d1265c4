//! What an operation does once its ending is committed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use tokio::time::timeout;

use super::{Inner, panic_text};
use crate::operation::{Ending, OperationId};

/// After so long a hook that waits for others is worth a word.
const LONG: Duration = Duration::from_secs(10);

/// A hook under way: whoever waits for all endings waits for it too.
struct Hook(Arc<Inner>);

impl Hook {
    fn begin(inner: &Arc<Inner>) -> Self {
        inner.hooks.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(inner))
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.0.hooks.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_waiters();
    }
}

impl Inner {
    /// Tells an operation how it ended. On a thread of its own, since it may block; as many at once as there are
    /// places for runs. Nothing that it does changes the ending.
    pub(super) fn tell_ending(self: &Arc<Self>, id: OperationId, kind: &str, input: Value, ending: Ending) {
        let Some(kind) = self.registry.get(kind).cloned() else { return };
        let hook = Hook::begin(self);
        let span = tracing::error_span!("on_finish", operation = %id, kind = kind.name);
        self.runtime.spawn(async move {
            let mut place = std::pin::pin!(Arc::clone(&hook.0.hook_places).acquire_owned());
            let place = match timeout(LONG, &mut place).await {
                Ok(place) => place,
                Err(_) => {
                    span.in_scope(|| tracing::warn!("waits: those of other operations take all places"));
                    place.await
                }
            };
            let Ok(place) = place else { return };
            let thread = std::thread::Builder::new().name(format!("end-{}", id.reference()));
            let spawned = thread.spawn(move || {
                let _within = span.entered();
                let call = AssertUnwindSafe(|| hook.0.runtime.block_on(kind.finish(input, ending)));
                match catch_unwind(call) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "failed"),
                    Err(panic) => tracing::error!(detail = panic_text(&*panic), "panicked"),
                }
                drop(place);
            });
            if let Err(error) = spawned {
                tracing::error!(operation = %id, %error, "no thread could be started for on_finish");
            }
        });
    }
}

//! Work in the background that a panic does not end: without it nothing would be claimed, followed or removed any more, and nobody's
//! stream would end, while the server looks as if it were well.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::runner::panic_text;

/// So long after a panic it begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Does the work until it returns; where it panics, it begins anew. No lock is poisoned by that: each guards what is whole at any
/// moment.
pub(crate) async fn keep_up<W: Future<Output = ()>>(what: &'static str, mut begin: impl FnMut() -> W) {
    loop {
        let mut work = pin!(begin());
        let done = poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
            polled.map_or_else(|panic| Poll::Ready(Err(panic)), |poll| poll.map(Ok))
        });
        match done.await {
            Ok(()) => return,
            Err(panic) => tracing::error!(what, panic = panic_text(&*panic), "panicked, and begins anew"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

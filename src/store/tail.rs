//! The end of a stored log.

use super::{Store, StoreResult};
use crate::operation::OperationId;
use crate::projection::Line;

/// So many lines of a log are read at once.
const AT_ONCE: u32 = 1000;

/// The newest lines of an attempt's log, the oldest first: those that a page keeps, and one more, so that it knows of
/// lines that are gone. The others are not read: there may be millions.
pub(crate) async fn tail(
    store: &dyn Store,
    id: OperationId,
    attempt: u32,
    keeps: usize,
) -> StoreResult<Vec<Line>> {
    let mut from = store.log_end(id, attempt).await?.saturating_sub(keeps as u64).max(1);
    let mut tail = Vec::new();
    loop {
        let lines = store.log(id, attempt, from, AT_ONCE).await?;
        let Some(last) = lines.last() else { return Ok(tail) };
        from = last.seq + 1;
        tail.extend(lines);
    }
}

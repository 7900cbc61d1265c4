//! The operations that hand over to each other.

use super::LiveOps;
use crate::operation::{OperationId, Record};
use crate::store::StoreResult;

/// So many are looked for in each direction.
const LINKS: usize = 10;

/// An operation among those that handed over to it, and those that it handed over to.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Those before it, the oldest first.
    pub before: Vec<Record>,
    /// Those after it.
    pub after: Vec<Record>,
    /// Whether there are more before them, or were: they are removed when they are too old.
    pub begins_earlier: bool,
    /// Whether there are more after them.
    pub goes_on: bool,
}

impl LiveOps {
    /// The operations before and after the one of this record, ten of each at most. Nothing where it is on its own.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn chain(&self, record: &Record) -> StoreResult<Chain> {
        let (mut before, begins_earlier) = self.links(record, |record| record.previous).await?;
        before.reverse();
        let next = |record: &Record| record.ending.as_ref().and_then(|ending| ending.next);
        let (after, goes_on) = self.links(record, next).await?;
        Ok(Chain { before, after, begins_earlier, goes_on })
    }

    /// Goes from one to the next, and says whether there would be more.
    async fn links(
        &self,
        from: &Record,
        next: impl Fn(&Record) -> Option<OperationId>,
    ) -> StoreResult<(Vec<Record>, bool)> {
        let mut links: Vec<Record> = Vec::new();
        while let Some(id) = next(links.last().unwrap_or(from)) {
            let found = if links.len() < LINKS { self.0.store.record(id).await? } else { None };
            match found.filter(|link| link.owner == from.owner) {
                Some(link) => links.push(link),
                None => return Ok((links, true)),
            }
        }
        Ok((links, false))
    }
}

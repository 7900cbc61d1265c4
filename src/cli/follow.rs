//! Following an operation, and those that it hands over to, from a terminal.

use std::sync::Arc;
use std::time::Duration;

use liveops::live::{Chain, Snapshot};
use liveops::operation::{Ending, Record};
use liveops::projection::Line;
use liveops::store::StoreResult;
use liveops::{LiveOps, OperationId, State, Viewer};
use serde_json::Value;

use super::Failure;
use super::screen::Look;
use super::terminal::Terminal;

/// How often it is looked what became of it.
const LOOK: Duration = Duration::from_millis(200);

/// One who follows operations. A store that fails is passing, as a full disk is: the operation goes on
/// meanwhile, and so does the following.
#[derive(Clone, Copy)]
pub(super) struct Follower<'a> {
    pub(super) live: &'a LiveOps,
    pub(super) viewer: &'a Viewer,
    pub(super) terminal: &'a Terminal,
}

/// How far one operation is shown.
struct Place {
    /// The operations that handed over to it; none before it was looked for them.
    chain: Option<Arc<Chain>>,
    attempt: u32,
    /// The number of the next line of its log.
    next: u64,
}

impl Follower<'_> {
    /// Shows what it does until it is over, and then the next one where it hands over. The state in
    /// which the last one ended.
    pub(super) async fn follow(self, first: OperationId) -> Result<State, Failure> {
        let mut id = first;
        loop {
            let mut place = Place { chain: None, attempt: 0, next: 1 };
            let ending = until_over(id, async || self.look(id, &mut place).await).await?;
            match ending.next {
                Some(next) => id = next,
                None => return Ok(ending.state),
            }
        }
    }

    /// Asks it to stop, and whatever it hands over to, until the last one is over. The state in which that
    /// ended.
    pub(super) async fn cancel(self, first: OperationId) -> Result<State, Failure> {
        let mut id = first;
        loop {
            let look = async || {
                self.live.cancel(self.viewer, id).await?;
                let seen = self.live.view(self.viewer, id).await?;
                Ok(seen.map(|seen| ending(&seen)))
            };
            let ending = until_over(id, look).await?;
            match ending.next {
                Some(next) => id = next,
                None => return Ok(ending.state),
            }
        }
    }

    /// Shows what is news; none when it is not there.
    async fn look(self, id: OperationId, place: &mut Place) -> StoreResult<Option<Option<Ending>>> {
        let Some(seen) = self.live.view(self.viewer, id).await? else { return Ok(None) };
        if place.attempt != seen.projection.attempt() {
            (place.attempt, place.next) = (seen.projection.attempt(), 1);
        }
        let chain = match &place.chain {
            Some(chain) => Arc::clone(chain),
            None => Arc::clone(place.chain.insert(Arc::new(self.live.chain(&seen.record).await?))),
        };
        let ending = ending(&seen);
        loop {
            let lines = self.lines(&seen, place.next, ending.is_some()).await?;
            let next = lines.last().map(|line| line.seq + 1);
            let is_whole = next.unwrap_or(place.next) > seen.projection.log().total();
            let is_last = is_whole || next.is_none();
            let ending = ending.clone().filter(|_| is_last);
            let chain = Arc::clone(&chain);
            let result = ending.as_ref().and_then(|ending| self.result(&seen, ending.result.as_ref()?));
            self.terminal.show(Look { seen: seen.clone(), chain, lines, is_whole, ending, result }).await;
            place.next = next.unwrap_or(place.next);
            if is_last {
                break;
            }
        }
        Ok(Some(ending))
    }

    /// The result by the template of its kind. One that fails hides nothing: what is in the result is shown
    /// without it.
    fn result(&self, seen: &Snapshot, result: &Value) -> Option<String> {
        let Record { id, kind, .. } = &seen.record;
        self.live.renderer().result_text(kind, result).unwrap_or_else(|error| {
            tracing::error!(operation = %id, %error, "the result is shown without its template");
            None
        })
    }

    /// Lines that were said before the look, from number `next` on: those that the page has in memory, else
    /// from the store. There they may come a little later, or never where it failed.
    async fn lines(&self, seen: &Snapshot, next: u64, is_over: bool) -> StoreResult<Vec<Arc<Line>>> {
        let log = seen.projection.log();
        let tail = || log.lines().filter(|line| line.seq >= next).cloned().collect();
        if next > log.total() || log.lines().next().is_some_and(|first| first.seq <= next) {
            return Ok(tail());
        }
        let stored = self.live.log(seen.record.id, seen.projection.attempt(), next).await?;
        if stored.is_empty() && is_over {
            return Ok(tail());
        }
        Ok(stored.into_iter().take_while(|line| line.seq <= log.total()).map(Arc::new).collect())
    }
}

/// Looks at an operation until it is over, whatever the store does meanwhile.
async fn until_over(
    id: OperationId,
    mut look: impl AsyncFnMut() -> StoreResult<Option<Option<Ending>>>,
) -> Result<Ending, Failure> {
    let mut is_failing = false;
    loop {
        match look().await {
            Ok(Some(Some(ending))) => return Ok(ending),
            Ok(Some(None)) => is_failing = false,
            Ok(None) => return Err(format!("operation {id} is not there any more").into()),
            Err(error) if !is_failing => {
                tracing::warn!(operation = %id, %error, "the database does not do what it should; trying on");
                is_failing = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How it ended, where it has.
fn ending(seen: &Snapshot) -> Option<Ending> {
    let state = seen.projection.state();
    let ending = seen.projection.ending().map(|ending| (**ending).clone());
    state.is_final().then(|| ending.unwrap_or_else(|| Ending::plain(state)))
}

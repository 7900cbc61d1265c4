//! The end of a run, committed before it is shown, and what it hands over to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::Inner;
use super::conclude::Conclusion;
use super::run::{Run, patience};
use crate::operation::{Ending, NewOperation, OperationId, State};
use crate::projection::{Line, Projection};
use crate::store::{Finish, Interruption, StoreError, StoreResult, tail};

/// How long a commit that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// An ending that is refused so many times is tried without the lines that go with it, too.
const TRIES: u32 = 10;

const NOT_SAVED: &str = "The server could not save what this did: its storage is full or broken. Tell whoever \
     runs the server, and try again later.";

impl Inner {
    /// Commits the ending and then shows it. While the store cannot take it, the page says so from
    /// memory and the commit is tried again. `place` is the run's own: the one that it hands over to
    /// runs in it, and begins before this one is gone, so that there is always somebody to wait for.
    pub(super) async fn end(
        self: &Arc<Self>,
        run: &Arc<Run>,
        conclusion: Conclusion,
        place: Option<OwnedSemaphorePermit>,
    ) {
        if !run.close().await {
            return;
        }
        let Conclusion { mut ending, detail, mut next } = conclusion;
        if let Some(detail) = &detail {
            tracing::error!(detail, "failed");
        }
        if let Some(next) = &mut next {
            next.claimed = self.foreground;
            if self.registry.get(&next.kind).is_none() {
                tracing::warn!(kind = next.kind, next = %next.id, "hands over to a kind that this process does not have");
            }
        }
        let (id, at) = (run.lease().operation, self.clock.now());
        let (lines, _) = run.take_unsaved();
        if run.lost_lines() {
            (ending, next) = (Ending::failed(NOT_SAVED), None);
        }
        let kind = &run.live().subject().kind;
        let repeats = ending.state == State::Interrupted && !run.cancel().is_requested();
        let repeats = repeats && self.registry.get(kind).is_some_and(|kind| kind.repeatable);
        if !(repeats && self.put_back(run, &lines, at).await) {
            let (state, next) = self.commit(run, Conclusion { ending, detail, next }, &lines, at).await;
            if let Some((next, place)) = next.filter(|next| next.claimed).zip(place) {
                self.begin_claimed(next.id, place).await;
            }
            if let Some(state) = state {
                metrics::counter!("liveops_operations_ended_total", "state" => state.as_str()).increment(1);
            }
        }
        metrics::gauge!("liveops_runs").decrement(1);
        self.hub.release(run.live());
        let mut runs = self.runs.lock();
        // Restarted meanwhile, it may run again.
        if runs.get(&id).is_some_and(|present| Arc::ptr_eq(present, run)) {
            runs.remove(&id);
        }
        drop(runs);
        self.ended.notify_waiters();
        self.queued.notify_one();
        self.changed.notify_one();
    }

    /// Stores an ending and shows it. The state that it ended in, where this run had a say in it, and what it hands
    /// over to.
    async fn commit(
        self: &Arc<Self>,
        run: &Arc<Run>,
        conclusion: Conclusion,
        lines: &[Line],
        at: Timestamp,
    ) -> (Option<State>, Option<NewOperation>) {
        let Conclusion { mut ending, detail, mut next } = conclusion;
        let id = run.lease().operation;
        let (mut tries, begin) = (0, Instant::now());
        loop {
            let finish = Finish {
                projection: run.ended_page(ending.clone(), at),
                ending: ending.clone(),
                detail: detail.clone(),
                next: next.clone(),
                at,
            };
            match self.finish(run, lines, finish, tries >= TRIES).await {
                Ok(projection) => {
                    run.live().show(projection);
                    tracing::info!(state = %ending.state, "ended");
                    self.tell_ending(id, &run.live().subject().kind, run.input().clone(), ending.clone());
                    break;
                }
                Err(StoreError::Fenced { .. }) => {
                    tracing::warn!("ended, but another claim has it; nothing was written");
                    if let Ok(Some(projection)) = self.store.projection(id).await {
                        run.live().show(projection);
                    }
                    return (None, None);
                }
                // It may pass, so that the ending stays what it is.
                Err(error) if tries == 0 && !run.lost_lines() && begin.elapsed() < patience(&error) => {
                    tracing::warn!(%error, "the ending could not be stored yet; trying on");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = self.stopping.cancelled() => break,
                    }
                }
                Err(error) => {
                    if tries == 0 {
                        tracing::error!(%error, "the ending could not be stored; trying on");
                        (ending, next) = (Ending::failed(NOT_SAVED), None);
                        run.live().show(run.ended_page(ending.clone(), at));
                    }
                    tries += 1;
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = self.stopping.cancelled() => break,
                    }
                }
            }
        }
        (Some(ending.state), next)
    }

    /// Stores an ending and the lines that are not stored yet; the page as it is stored. Where it is the lines that are
    /// refused, it may be `without` them: the page then is that of the lines that are stored.
    async fn finish(
        &self,
        run: &Run,
        lines: &[Line],
        finish: Finish,
        without: bool,
    ) -> StoreResult<Projection> {
        let lease = run.lease();
        let mut page = finish.projection.clone();
        // A result may be large: a copy is for those who may need it.
        let spare = (without && !lines.is_empty()).then(|| finish.clone());
        let Err(error) = self.store.finish(lease, lines, finish).await else { return Ok(page) };
        // These refuse everything, and pass.
        let passes =
            matches!(error, StoreError::Fenced { .. } | StoreError::Busy(_) | StoreError::Replaced(_));
        let Some(mut finish) = spare.filter(|_| !passes) else { return Err(error) };
        page.replace_log(tail(&*self.store, lease.operation, lease.attempt, page.log().limit()).await?);
        finish.projection = page.clone();
        self.store.finish(lease, &[], finish).await?;
        tracing::error!(lines = lines.len(), "the last lines of its log could not be stored, and are lost");
        Ok(page)
    }

    /// Puts what is interrupted here back into the queue; false when it is to end. Where the store cannot take it,
    /// nothing is done: once this process is dead, another one puts it back.
    async fn put_back(&self, run: &Run, lines: &[Line], at: Timestamp) -> bool {
        match self.store.repeat(run.lease(), lines, Interruption::Stop, at).await {
            Ok(true) => {
                tracing::info!("it waits for its next attempt");
                self.repeated();
            }
            Ok(false) => return false,
            Err(StoreError::Fenced { .. }) => tracing::warn!("another claim has it; nothing was written"),
            Err(error) => {
                tracing::error!(%error, "it could not be put back into the queue; another process will")
            }
        }
        // Its thread may live on for a while: it has nothing to do any more.
        run.cancel().request();
        true
    }

    /// An attempt was put back into the queue.
    pub(super) fn repeated(&self) {
        metrics::counter!("liveops_operations_repeated_total").increment(1);
        self.queued.notify_one();
        self.changed.notify_one();
    }

    /// Begins an operation that was created as this process's own. Nobody else would ever run it, so a
    /// store that cannot be read now is asked again.
    pub(super) async fn begin_claimed(self: &Arc<Self>, id: OperationId, place: OwnedSemaphorePermit) {
        let mut tries = 0;
        let record = loop {
            match self.store.record(id).await {
                Ok(Some(record)) => break record,
                Ok(None) => return,
                Err(error) if tries == 0 => {
                    tracing::error!(operation = %id, %error, "what is to run next could not be read; trying on");
                }
                Err(_) => {}
            }
            tries += 1;
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                // The process ends; another one marks it.
                () = self.stopping.cancelled() => return,
            }
        };
        self.begin(record, place);
        self.changed.notify_one();
    }
}

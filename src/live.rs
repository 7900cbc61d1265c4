//! [`LiveOps`]: store, hub, runner and renderer wired together, with what viewers may do.

mod builder;
mod chain;
mod download;
mod follow;
mod housekeeping;
mod lists;
mod page;
mod start;
mod streams;
mod subscribe;
mod upload;

pub use builder::{LiveOpsBuilder, StartError};
pub use chain::Chain;
pub(crate) use download::Download;
pub use lists::RowPage;
pub use start::NotStarted;
pub(crate) use start::Sent;
pub use streams::StreamPlace;
pub use subscribe::{OpenError, Opened, Reader};
pub(crate) use upload::Uploads;
pub use upload::{Receiving, uploads_in};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::access::{Channel, Grant, Keys, SecretKey, Token, Viewer};
use crate::clock::Clock;
use crate::operation::{Kind, OperationId, Record, Registry, State};
use crate::projection::{Line, Projection};
use crate::render::Renderer;
use crate::runner::Runner;
use crate::store::{CancelAnswer, Census, Filter, RecordPage, Store, StoreError, StoreResult};
use crate::stream::Hub;
use streams::OpenStreams;

/// Rows on one page of the list.
pub const PER_PAGE: u32 = 50;

/// Live operations in an application: starts and runs them, and opens their streams.
///
/// Made by [`LiveOps::builder`]; cheap to clone. Its runs end when [`LiveOps::shutdown`] is called
/// or the process ends.
#[derive(Clone)]
pub struct LiveOps(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    hub: Arc<Hub>,
    runner: Runner,
    registry: Registry,
    renderer: Renderer,
    secret: SecretKey,
    /// Older ones that are accepted still.
    fallbacks: Vec<SecretKey>,
    keys: Keys,
    token_ttl: Duration,
    log_tail: usize,
    uploads: Uploads,
    /// How long what is over is kept; for ever, without it.
    retention: Option<Duration>,
    max_upload_bytes: u64,
    /// How many of one user may wait; any number, without it.
    waiting_per_user: Option<u32>,
    /// The epoch of pages of operations that wait: their versions are this process's own.
    waiting_epoch: u64,
    changed: Arc<Notify>,
    streams: Arc<OpenStreams>,
    lists: Arc<lists::Lists>,
    follower: tokio::task::AbortHandle,
    list_keeper: tokio::task::AbortHandle,
    housekeeper: Option<tokio::task::AbortHandle>,
    /// Where runs live. Dropped without waiting: a run that hangs must not hold the process.
    runtime: parking_lot::Mutex<Option<tokio::runtime::Runtime>>,
}

impl std::fmt::Debug for LiveOps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveOps").field("kinds", &self.0.registry).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.abort();
        self.list_keeper.abort();
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.abort();
        }
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

/// What became of the wish to run an operation again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartAnswer {
    /// It waits for its next attempt.
    Queued,
    /// It waits or runs, so there is nothing to restart.
    NotOver,
    /// This process does not have its kind any more.
    NoKind,
    /// It is not there, not the viewer's, or of a kind that is not for them any more.
    NotFound,
}

/// An operation's record and its page as it is now.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The durable row.
    pub record: Record,
    /// What its page shows.
    pub projection: Projection,
}

impl LiveOps {
    /// Begins to build one.
    pub fn builder() -> LiveOpsBuilder {
        LiveOpsBuilder::default()
    }

    /// The viewer's operation as it is now; none when it is not theirs or not there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn view(&self, viewer: &Viewer, id: OperationId) -> StoreResult<Option<Snapshot>> {
        let Some(record) = self.owned(viewer, id).await? else { return Ok(None) };
        let projection = match self.running_page(id) {
            Some(page) if record.state == State::Cancelling => page.asked_to_stop(),
            Some(page) => page,
            None => self.stored_page(&record).await?,
        };
        Ok(Some(Snapshot { record, projection }))
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The page of an operation, where it runs in this process.
    pub(crate) fn running_page(&self, id: OperationId) -> Option<Projection> {
        self.0.hub.get(id).filter(|live| live.is_local()).map(|live| live.projection())
    }

    /// The viewer's record of an operation; none when it is not theirs or not there.
    pub(crate) async fn owned(&self, viewer: &Viewer, id: OperationId) -> StoreResult<Option<Record>> {
        self.0.store.owned(&viewer.id, id).await
    }

    /// A page of those of the viewer's operations that `filter` lets through, newest first; `page` counts from
    /// 1. Kinds that are not listed ([`Operation::LISTED`](crate::Operation::LISTED)) are left out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, viewer: &Viewer, filter: &Filter, page: u32) -> StoreResult<RecordPage> {
        let mut filter = filter.clone();
        filter.without.extend(self.unlisted());
        self.0.store.list(&viewer.id, &filter, page, PER_PAGE).await
    }

    /// Asks the viewer's operation to stop; false when it is not theirs or not there. One that is
    /// over stays as it is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn cancel(&self, viewer: &Viewer, id: OperationId) -> StoreResult<bool> {
        let Some(record) = self.owned(viewer, id).await? else { return Ok(false) };
        // A run of this process need not wait for a store that cannot be written now.
        let is_asked = self.0.runner.cancel(id);
        match self.0.store.cancel(id, self.0.clock.now()).await {
            // Begun meanwhile, say.
            Ok(CancelAnswer::Requested) => {
                if !self.0.runner.cancel(id) {
                    // Whoever watches it here need not wait for its own process.
                    self.0.changed.notify_one();
                }
            }
            Ok(CancelAnswer::Cancelled) => {
                self.0.changed.notify_one();
                self.0.runner.cancelled(record);
            }
            Ok(CancelAnswer::Nothing) => {}
            Err(error) if is_asked => {
                tracing::warn!(operation = %id, %error, "it was asked to stop, which could not be stored");
            }
            Err(error) => return Err(error),
        }
        self.0.lists.touch(&viewer.id, id);
        Ok(true)
    }

    /// Puts the viewer's finished operation into the queue again, as its next attempt.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn restart(&self, viewer: &Viewer, id: OperationId) -> StoreResult<RestartAnswer> {
        let Some(record) = self.owned(viewer, id).await? else { return Ok(RestartAnswer::NotFound) };
        let Some(kind) = self.0.registry.get(&record.kind) else { return Ok(RestartAnswer::NoKind) };
        if !viewer.passes(kind.group.as_deref()) {
            return Ok(RestartAnswer::NotFound);
        }
        if !self.0.store.restart(id, self.0.waiting_per_user, self.0.clock.now()).await? {
            return Ok(RestartAnswer::NotOver);
        }
        self.0.runner.queued();
        self.0.lists.touch(&viewer.id, id);
        Ok(RestartAnswer::Queued)
    }

    /// A token with which `user` may open the stream of `operation` for the next while. Whoever
    /// calls it vouches for the user: pages make it for the viewer whom they show the operation.
    pub fn subscription_token(&self, user: &str, operation: OperationId) -> Token {
        self.token(user, Channel::Operation(operation))
    }

    /// A token with which `user` may open the stream of their own list for the next while.
    pub fn list_token(&self, user: &str) -> Token {
        self.token(user, Channel::User(user.to_owned()))
    }

    fn token(&self, user: &str, channel: Channel) -> Token {
        let ttl = i64::try_from(self.0.token_ttl.as_secs()).unwrap_or(i64::MAX);
        self.0.keys.sign(&Grant {
            user: user.to_owned(),
            channels: vec![channel],
            expires: self.0.clock.now().as_second().saturating_add(ttl),
        })
    }

    /// Ends the streams that a session has open in this process: to be called at its sign-out, once
    /// the session itself is over.
    pub fn end_streams(&self, session: &str) {
        self.0.streams.end(session);
    }

    /// Ends the streams that a user has open in this process: to be called once they are removed,
    /// say, or may not see operations any more.
    pub fn end_streams_of_user(&self, user: &str) {
        self.0.streams.end_of_user(user);
    }

    /// How often streams were ended in this process so far. Where that is the same before a viewer is looked up and
    /// after their stream was opened, nobody ended their session here in between.
    pub(crate) fn stream_endings(&self) -> u64 {
        self.0.streams.endings()
    }

    /// The sessions that have streams open in this process.
    pub(crate) fn streaming_sessions(&self) -> Vec<String> {
        self.0.streams.sessions()
    }

    /// The stored lines of an attempt's log from number `from_seq` on, the first 2,000 of them; none
    /// at its end. It asks nobody whose the operation is: look it up by [`LiveOps::view`] first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn log(&self, id: OperationId, attempt: u32, from_seq: u64) -> StoreResult<Vec<Line>> {
        const LINES: u32 = 2000;
        self.0.store.log(id, attempt, from_seq, LINES).await
    }

    /// The same of the viewer's own operation. One that is removed meanwhile is an error, as a part of its
    /// log would look like the whole.
    pub(crate) async fn own_log(
        &self,
        viewer: &Viewer,
        id: OperationId,
        attempt: u32,
        from_seq: u64,
    ) -> StoreResult<Vec<Line>> {
        let lines = self.log(id, attempt, from_seq).await?;
        // Afterwards: it is nobody's as soon as the first of its lines is gone.
        match self.owned(viewer, id).await? {
            Some(_) => Ok(lines),
            None => Err(StoreError::Failed("the operation was removed while its log was read".into())),
        }
    }

    /// Waits until what an operation has logged so far is stored.
    pub(crate) async fn settle_log(&self, id: OperationId) {
        self.0.runner.settle_log(id).await;
    }

    /// How many operations there are in the store, of all processes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn census(&self) -> StoreResult<Census> {
        self.0.store.census().await
    }

    /// Whether the store answers now.
    pub(crate) async fn is_store_answering(&self) -> bool {
        self.0.store.list("", &Filter::default(), 1, 1).await.is_ok()
    }

    /// Whether the store can be written now; to find out, it is.
    pub(crate) async fn is_store_writable(&self) -> bool {
        self.0.store.probe(self.0.clock.now()).await.is_ok()
    }

    /// The path of an operation's page, to redirect to after a start.
    pub fn url(&self, id: OperationId) -> String {
        self.0.renderer.addresses().page(id)
    }

    /// The kinds that can be started here.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.0.registry.iter()
    }

    /// The kinds that the viewer may start.
    pub fn kinds_for(&self, viewer: &Viewer) -> impl Iterator<Item = &Kind> {
        self.kinds().filter(|kind| viewer.passes(kind.group.as_deref()))
    }

    /// The kind of that name, where the viewer may start it.
    pub fn kind_for(&self, viewer: &Viewer, name: &str) -> Option<&Kind> {
        self.kind(name).filter(|kind| viewer.passes(kind.group.as_deref()))
    }

    /// The kind of that name.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.0.registry.get(name)
    }

    /// The renderer of pages and regions.
    pub fn renderer(&self) -> &Renderer {
        &self.0.renderer
    }

    /// What says what time it is.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn secret(&self) -> &SecretKey {
        &self.0.secret
    }

    pub(crate) fn fallbacks(&self) -> &[SecretKey] {
        &self.0.fallbacks
    }

    /// Where uploads go.
    pub(crate) fn uploads(&self) -> &Uploads {
        &self.0.uploads
    }

    /// The largest body of a form.
    pub(crate) fn max_upload_bytes(&self) -> u64 {
        self.0.max_upload_bytes
    }

    /// Waits until nothing runs in this process, every ending is stored, and [`Operation::on_finish`](crate::Operation::on_finish)
    /// has returned.
    pub async fn all_ended(&self) {
        self.0.runner.all_ended().await;
    }

    /// Claims nothing more, gives what runs `grace` to end, and records the rest as interrupted, or puts it back into
    /// the queue where its kind is [repeatable](crate::Operation::REPEATABLE).
    pub async fn shutdown(&self, grace: Duration) {
        self.0.runner.stop(grace).await;
        // Whoever leaves writes nothing more: what was not removed is removed by the next process.
        if let Some(housekeeper) = &self.0.housekeeper {
            housekeeper.abort();
        }
        self.0.store.leave();
    }
}

//! Starting operations: for a viewer, by a kind's name, from a form, or at once in this process.

use serde_json::Value;
use tracing::Instrument as _;

use super::{LiveOps, Receiving};
use crate::access::Viewer;
use crate::operation::{
    FieldError, NewOperation, Operation, OperationId, Submission, TITLE, TooDeep, read_json, shallow,
};
use crate::progress::shortened;
use crate::store::{StoreError, StoreResult};

/// Why an operation was not started.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// This process has no such kind, or none that the viewer may start.
    #[error("there is no kind {0:?} to be started")]
    NoKind(String),
    /// The input does not fit the kind.
    #[error("the input does not fit the kind: {0}")]
    Input(#[from] serde_json::Error),
    /// The input nests too deep to be stored.
    #[error("the input cannot be kept: {0}")]
    Deep(#[from] TooDeep),
    /// Some of its fields are not right.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))]
    Fields(Vec<FieldError>),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a form sent beside the input.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Its key and input, where it had a key.
    pub(crate) submission: Option<Submission>,
    /// The uploaded files that the input reads.
    pub(crate) files: Vec<Receiving>,
    /// Whether this process runs it at once.
    pub(crate) claimed: bool,
}

impl LiveOps {
    /// Starts an operation for `viewer`; it is durable when this returns. Its type says that the input is
    /// right: the limits of the kind's fields are not looked at.
    ///
    /// # Errors
    /// [`NotStarted`] says why; nothing was started then.
    pub async fn start<O: Operation>(
        &self,
        viewer: &Viewer,
        operation: O,
    ) -> Result<OperationId, NotStarted> {
        self.submit(viewer, O::KIND, serde_json::to_value(operation)?, Sent::default()).await
    }

    /// Starts an operation of a kind by its name, with its input as JSON, which is read by the kind's fields
    /// ([`read_json`]), so that no file can come so. A kind that has none takes whatever fits its type, an
    /// [`Upload`](crate::operation::Upload) too: what a client sent is for kinds with fields.
    ///
    /// # Errors
    /// [`NotStarted`] says why; nothing was started then.
    pub async fn start_kind(
        &self,
        viewer: &Viewer,
        kind: &str,
        input: Value,
    ) -> Result<OperationId, NotStarted> {
        let kind = self.kind_for(viewer, kind).ok_or_else(|| NotStarted::NoKind(kind.to_owned()))?;
        let input = match &*kind.fields {
            [] => input,
            fields => read_json(fields, &input).map_err(NotStarted::Fields)?,
        };
        self.submit(viewer, &kind.name, input, Sent::default()).await
    }

    /// Runs an operation in this process at once, never through the queue, so that no other process
    /// takes it; it is durable when this returns. `files` are the uploads that its input names.
    ///
    /// # Errors
    /// [`NotStarted`] says why; nothing was started then.
    pub async fn run(
        &self,
        viewer: &Viewer,
        kind: &str,
        input: Value,
        files: Vec<Receiving>,
    ) -> Result<OperationId, NotStarted> {
        let sent = Sent { files, claimed: true, ..Sent::default() };
        let id = self.submit(viewer, kind, input, sent).await?;
        self.0.runner.run(id).await;
        Ok(id)
    }

    /// A file that is to become an upload here; `name` is what people call it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn receive(&self, name: &str) -> std::io::Result<Receiving> {
        self.0.uploads.receive(name).await
    }

    /// Starts what a form sent, unless the same submission did already.
    ///
    /// The work is a task of its own: whoever gives up waiting must not take the files of what is committed
    /// all the same.
    pub(crate) async fn submit(
        &self,
        viewer: &Viewer,
        kind: &str,
        input: Value,
        sent: Sent,
    ) -> Result<OperationId, NotStarted> {
        let kind = self.kind_for(viewer, kind).ok_or_else(|| NotStarted::NoKind(kind.to_owned()))?;
        let input = shallow(input)?;
        let new = NewOperation {
            id: OperationId::new(),
            kind: kind.name.clone(),
            owner: viewer.id.clone(),
            title: shortened(&kind.label(&input)?, TITLE).into_owned(),
            input,
            previous: None,
            submission: sent.submission,
            uploads: sent.files.iter().map(Receiving::stored_name).collect(),
            claimed: sent.claimed,
        };
        let created = tokio::spawn(self.clone().create(new, sent.files).in_current_span());
        Ok(created.await.map_err(|error| StoreError::Failed(error.into()))??)
    }

    async fn create(self, new: NewOperation, mut files: Vec<Receiving>) -> StoreResult<OperationId> {
        let (id, kind, user) = (new.id, new.kind.clone(), new.owner.clone());
        // The process may end while the store still writes.
        files.iter_mut().for_each(Receiving::leave);
        let created = self.0.store.create(new, self.0.waiting_per_user, self.0.clock.now()).await;
        if created.as_ref().ok() != Some(&id) {
            files.drain(..).for_each(Receiving::discard);
        }
        let created = created?;
        if created != id {
            tracing::info!(operation = %created, kind, user, "sent again, so not started again");
            return Ok(created);
        }
        files.into_iter().for_each(Receiving::release);
        tracing::info!(operation = %id, kind, user, "started");
        metrics::counter!("liveops_operations_started_total", "kind" => kind).increment(1);
        self.0.runner.queued();
        self.0.lists.touch(&user, id);
        Ok(id)
    }
}

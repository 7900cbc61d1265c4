//! What runs: the trait, its ending, its durable record, its form.

mod depth;
mod form;
mod outcome;
mod record;
mod registry;
mod submission;

pub(crate) use depth::shallow;
pub use depth::{DEPTH_LIMIT, TooDeep};
pub use form::{
    Bound, Choice, Field, FieldError, FieldKind, Pattern, Submitted, TextLimits, Upload, read_form, read_json,
};
pub(crate) use form::{TEXT_LIMIT, size};
pub use outcome::{Ending, Error, Next, Outcome, RESULT_LIMIT, Result, is_local_path};
pub(crate) use record::TITLE;
pub use record::{NewOperation, ParseIdError, Record, State};
pub use registry::{Kind, Registry, RegistryError};
pub use submission::Submission;

pub use record::OperationId;

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

use crate::progress::Progress;

/// A kind of long work: its input is the value itself, which is stored as JSON until it runs.
///
/// A run has a thread of its own, so it may block; see [`Progress`] for what it can say.
///
/// ```
/// use liveops::{Operation, Progress};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Hello { name: String }
///
/// impl Operation for Hello {
///     const KIND: &'static str = "hello";
///     const TITLE: &'static str = "Say hello";
///
///     async fn run(self, p: Progress) -> liveops::Result {
///         p.status(format!("Greeting {}", self.name));
///         p.result(serde_json::json!({ "greeted": self.name }))
///     }
/// }
/// ```
pub trait Operation: Serialize + DeserializeOwned + Send + 'static {
    /// The kind's name in addresses and records: `[a-z][a-z0-9_]*`.
    const KIND: &'static str;
    /// What a person reads in the catalogue.
    const TITLE: &'static str = Self::KIND;
    /// One or two sentences for the catalogue and above the form.
    const DESCRIPTION: &'static str = "";
    /// The group whose members may start it, and superusers; everybody, without one.
    const GROUP: Option<&'static str> = None;
    /// How many of this kind may run at once, in all processes of the store; the others wait, and what is behind
    /// them in the queue passes them. Any number, without it or with 0. What is run in the
    /// foreground ([`LiveOps::run`](crate::LiveOps::run)) is not held by it, but counts.
    const AT_ONCE: Option<u32> = None;
    /// Whether its operations are in their owners' lists. One that is not has its page all the same, and is in nobody's
    /// way: what runs every minute, say. It holds for what was started before, too, in every process that has the kind;
    /// one that does not have it knows nothing of this.
    const LISTED: bool = true;
    /// Whether it is safe to run it again from the start, without anybody looking first: then an attempt whose process
    /// died, or was shut down before it ended, goes back into the queue by itself as the next attempt, instead
    /// of ending as interrupted; after three deaths in a row at most ([`REPEATS`](crate::store::REPEATS)), since it may be what
    /// kills its process; after orderly stops, as at deployments, a hundred times ([`STOPS`](crate::store::STOPS)). Not so
    /// one that was asked to stop, nor what is run in the foreground ([`LiveOps::run`](crate::LiveOps::run)). An
    /// application that lives on after [`LiveOps::shutdown`](crate::LiveOps::shutdown) may still be busy with it when the next attempt begins elsewhere: it is asked to stop, and cannot write.
    const REPEATABLE: bool = false;

    /// The fields of the kind's form; the submitted values become the input. They are looked at when the
    /// kind is registered, and decide what [`LiveOps::start_kind`](crate::LiveOps::start_kind) and the
    /// command line take.
    fn fields() -> Vec<Field> {
        Vec::new()
    }

    /// What this one run is called on its page: a file's name, say.
    fn label(&self) -> String {
        Self::TITLE.to_owned()
    }

    /// Does the work. What it returns is how it ends; `Err` is an internal failure, of which the
    /// user reads a general sentence and the operator the detail. The future is made and driven on
    /// one thread, so it need not be `Send`.
    fn run(self, progress: Progress) -> impl Future<Output = Result>;

    /// Called before [`run`](Self::run) when it runs again, whoever wanted that, on the same thread: the place to clear away what
    /// the attempt before left. `attempt` is the number of the one that begins, 2 or more. An `Err`
    /// or a panic fails the attempt as one of `run` would.
    fn on_restart(&mut self, attempt: u32) -> impl Future<Output = Result<()>> {
        let _ = attempt;
        std::future::ready(Ok(()))
    }

    /// Called once the ending of an attempt is committed, whatever it is: also when it was cancelled while it waited,
    /// or its process died and this one marked it as interrupted. An attempt that is
    /// [repeated](Self::REPEATABLE) by itself has no ending, so nothing is told of it. It has a thread of its own, so
    /// it may block; as many run at once as operations do. An attempt that is begun meanwhile does not wait for it. Nothing waits for it but [`LiveOps::all_ended`](crate::LiveOps::all_ended) and,
    /// within its grace, [`LiveOps::shutdown`](crate::LiveOps::shutdown). An `Err` or a panic is logged and
    /// changes nothing.
    ///
    /// It is called at most once for each ending: not when the process dies right after the commit, nor where
    /// the process that marks what another one left does not have the kind.
    fn on_finish(self, ending: Ending) -> impl Future<Output = Result<()>> {
        let _ = ending;
        std::future::ready(Ok(()))
    }
}

//! A run on its thread, and what its return means.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use tokio::runtime::Handle;

use crate::operation::{Ending, Kind, NewOperation, OperationId, Outcome, Result, State};
use crate::progress::{Cancel, Progress};

/// What the user reads when a run fails inside; the detail goes to the record and the log.
const INTERNAL: &str = "Something went wrong inside, and this could not be finished.";

/// How a run is to be ended.
#[derive(Debug)]
pub(crate) struct Conclusion {
    pub(crate) ending: Ending,
    /// What went wrong inside, for operators.
    pub(crate) detail: Option<String>,
    pub(crate) next: Option<NewOperation>,
}

impl Conclusion {
    pub(super) fn plain(ending: Ending) -> Self {
        Self { ending, detail: None, next: None }
    }

    /// An internal failure: general words for the user.
    pub(super) fn failed(detail: String) -> Self {
        Self { ending: Ending::failed(INTERNAL), detail: Some(detail), next: None }
    }
}

/// What is run.
pub(crate) struct Task<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) id: OperationId,
    pub(crate) owner: &'a str,
    pub(crate) input: Value,
    pub(crate) attempt: u32,
}

/// Runs an operation on the present thread, whatever happens in it.
pub(crate) fn drive(task: Task<'_>, progress: Progress, cancel: &Cancel, runtime: &Handle) -> Conclusion {
    let Task { kind, id, owner, input, attempt } = task;
    // What it returned is the operation's own code as well: an error may panic as it is told or dropped.
    let run = || conclude(runtime.block_on(kind.run(input, attempt, progress)), cancel, id, owner);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(conclusion) => conclusion,
        Err(panic) => {
            let conclusion = Conclusion::failed(format!("panicked: {}", panic_text(&*panic)));
            // And so may what it panicked with.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(panic)));
            dropped.unwrap_or_else(std::mem::forget);
            conclusion
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with something that is no text")
}

/// Reads what `run` returned. An `Err` after the run was told to stop is a cancelling, whatever
/// wrapped it.
fn conclude(result: Result, cancel: &Cancel, id: OperationId, owner: &str) -> Conclusion {
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(_) if cancel.was_noticed() => return Conclusion::plain(Ending::plain(State::Cancelled)),
        Err(error) => return Conclusion::failed(error.to_string()),
    };
    let Outcome { error, result, redirect, next, invalid } = outcome;
    if let Some(invalid) = invalid {
        return Conclusion::failed(format!("its outcome is not valid: {invalid}"));
    }
    let state = if error.is_some() { State::Failed } else { State::Succeeded };
    // Something went wrong: a page that leads on, or another operation, would hide it.
    let next = next.filter(|_| state == State::Succeeded);
    let next = next.map(|next| next.into_new(OperationId::new(), id, owner.to_owned()));
    let ending = Ending {
        state,
        message: error,
        result,
        redirect: redirect.filter(|_| state == State::Succeeded),
        next: next.as_ref().map(|next| next.id),
    };
    Conclusion { ending, detail: None, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Sink, Update};
    use std::sync::Arc;

    struct Deaf;
    impl Sink for Deaf {
        fn update(&self, _: Update) {}
    }

    fn concluded(result: Result, cancel: &Cancel) -> Conclusion {
        conclude(result, cancel, OperationId::new(), "owner")
    }

    #[test]
    fn an_err_is_general_for_the_user_and_detailed_for_operators() {
        let conclusion = concluded(Err("the password is hunter2".into()), &Cancel::default());
        assert_eq!(conclusion.ending, Ending::failed(INTERNAL));
        assert_eq!(conclusion.detail.as_deref(), Some("the password is hunter2"));
    }

    #[test]
    fn an_err_after_the_handle_said_cancelled_is_cancelled() {
        let cancel = Cancel::default();
        let progress = Progress::new(Arc::new(Deaf), cancel.clone());
        cancel.request();
        let error = || std::io::Error::other("stopped");
        // Asked, but the run never looked: its own failure.
        assert_eq!(concluded(Err(error().into()), &cancel).ending.state, State::Failed);
        assert!(progress.check_cancelled().is_err());
        assert_eq!(concluded(Err(error().into()), &cancel).ending.state, State::Cancelled);
        // It finished all the same.
        assert_eq!(concluded(Ok(Outcome::default()), &cancel).ending.state, State::Succeeded);
    }

    #[test]
    fn an_error_leads_nowhere() {
        let conclusion = concluded(Outcome::error("no").redirect("/x").into(), &Cancel::default());
        assert_eq!((conclusion.ending.state, conclusion.ending.redirect), (State::Failed, None));
    }

    #[test]
    fn a_foreign_redirect_fails() {
        let conclusion = concluded(Outcome::default().redirect("https://evil").into(), &Cancel::default());
        assert_eq!(conclusion.ending.state, State::Failed);
    }
}

//! How a run ends: a value, so that it ends exactly once.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{NewOperation, Operation, OperationId, State, TITLE, shallow};
use crate::progress::{Text, shortened};

/// What [`Operation::run`] returns; as `Result<()>` what its hooks return.
pub type Result<T = Outcome> = std::result::Result<T, Error>;

/// An internal failure of a run. It takes any error by `?`; for that it is not itself
/// [`std::error::Error`].
pub struct Error(Box<dyn std::error::Error + Send + Sync>);

impl<T: Into<Box<dyn std::error::Error + Send + Sync>>> From<T> for Error {
    fn from(source: T) -> Self {
        Self(source.into())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Error {
    /// The error and its sources, for the record and the log, never for the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Largest result, as JSON in bytes: it is on a page, in the list and in each answer about the operation.
pub const RESULT_LIMIT: usize = 1024 * 1024;

/// The ending that a run chose: success, an error to show, or the handing over to another one.
/// `Outcome::default()` is plain success.
#[derive(Debug, Default)]
#[must_use = "an outcome ends nothing until `run` returns it"]
pub struct Outcome {
    pub(crate) error: Option<Text>,
    pub(crate) result: Option<Value>,
    pub(crate) redirect: Option<String>,
    pub(crate) next: Option<Next>,
    /// Why one of the above could not be made; the run then counts as failed.
    pub(crate) invalid: Option<Error>,
}

/// The operation that another one hands over to.
#[derive(Debug, Clone)]
pub struct Next {
    kind: &'static str,
    title: String,
    input: Value,
}

impl Outcome {
    /// Success with a result: any value that serialises to JSON.
    pub fn result(context: impl Serialize) -> Self {
        Self::default().and_result(context)
    }

    /// Failure with a message for the user.
    pub fn error(message: impl AsRef<str>) -> Self {
        Self { error: Some(Text::new(message.as_ref())), ..Self::default() }
    }

    /// Success that hands over to `operation`, which starts for the same owner.
    pub fn chain<O: Operation>(operation: &O) -> Self {
        let mut outcome = Self::default();
        match stored(operation) {
            Ok(input) => {
                outcome.next = Some(Next { kind: O::KIND, title: operation.label(), input });
            }
            Err(error) => outcome.invalid = Some(error),
        }
        outcome
    }

    /// Adds a result; with [`Outcome::error`] it is shown beside the message. One above [`RESULT_LIMIT`] is left out, and an
    /// error says so where there is no other.
    pub fn and_result(mut self, context: impl Serialize) -> Self {
        match stored(context) {
            Ok(value) if length(&value) > RESULT_LIMIT => {
                self.error.get_or_insert_with(|| {
                    Text::new(&format!(
                        "The work was done, but its result is too large to be kept and shown: at most {} MiB. Whoever \
                         wrote this operation can put it into a file, or show a part of it.",
                        RESULT_LIMIT / 1024 / 1024
                    ))
                });
            }
            Ok(value) => self.result = Some(value),
            Err(error) => self.invalid = Some(error),
        }
        self
    }

    /// Leads the page that saw the run to `path`, an absolute path of this site. Another kind of
    /// address makes the run fail.
    pub fn redirect(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        if is_local_path(&path) {
            self.redirect = Some(path);
        } else {
            self.invalid =
                Some(format!("redirect {path:?} is not a path of this site: begin it with one '/'").into());
        }
        self
    }
}

/// The length of a value as JSON, in bytes.
fn length(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting does not fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// A value as it is stored.
fn stored(value: impl Serialize) -> Result<Value> {
    Ok(shallow(serde_json::to_value(value)?)?)
}

impl From<Outcome> for Result {
    fn from(outcome: Outcome) -> Self {
        Ok(outcome)
    }
}

impl Next {
    pub(crate) fn into_new(self, id: OperationId, previous: OperationId, owner: String) -> NewOperation {
        NewOperation {
            id,
            kind: self.kind.to_owned(),
            owner,
            title: shortened(&self.title, TITLE).into_owned(),
            input: self.input,
            previous: Some(previous),
            submission: None,
            uploads: Vec::new(),
            claimed: false,
        }
    }
}

/// How an operation ended, as its page shows it and its record keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// One of the final states.
    pub state: State,
    /// What went wrong, in words for the user.
    pub message: Option<Text>,
    /// The result that the run gave.
    pub result: Option<Value>,
    /// Where the page leads on to.
    pub redirect: Option<String>,
    /// The operation that it handed over to.
    pub next: Option<OperationId>,
}

impl Ending {
    /// An ending in `state` with nothing else to say.
    pub fn plain(state: State) -> Self {
        Self { state, message: None, result: None, redirect: None, next: None }
    }

    /// A failure that shows `message`.
    pub fn failed(message: &str) -> Self {
        Self { message: Some(Text::new(message)), ..Self::plain(State::Failed) }
    }
}

/// Whether `path` is an absolute path within the site, for a redirect: `/…`, but not `//host`, nor
/// what browsers read as that (`/\host`, tabs and newlines removed).
pub fn is_local_path(path: &str) -> bool {
    path.starts_with('/')
        && !path[1..].starts_with(['/', '\\'])
        && !path.contains(|c: char| c.is_control() || c == '\\')
        && path.len() <= 2048
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_local() {
        for good in ["/", "/a", "/a//b", "/operations/new/x?y=%2F%2F#z"] {
            assert!(is_local_path(good), "{good}");
        }
        for bad in ["", "a", "//evil", "/\\evil", "/\t/evil", "https://evil", "/a\r\nb", "\\/x", "/a\\b"] {
            assert!(!is_local_path(bad), "{bad}");
        }
    }

    #[test]
    fn an_error_shows_its_sources_to_operators() {
        fn run() -> Result {
            std::fs::File::open("/nonexistent/file").map_err(|e| std::io::Error::other(Box::new(e)))?;
            Ok(Outcome::default())
        }
        let error = run().expect_err("the file does not exist");
        assert!(error.to_string().contains("No such file"), "{error}");
    }

    #[test]
    fn a_result_that_is_too_large_is_an_error_that_says_so() {
        let fits = "x".repeat(RESULT_LIMIT - 2);
        let outcome = Outcome::result(&fits);
        assert!(outcome.error.is_none() && outcome.result.is_some());
        let outcome = Outcome::result(fits.clone() + "x");
        let error = outcome.error.expect("words for the user").to_string();
        assert!(
            error.contains("too large") && error.contains("1 MiB") && outcome.result.is_none(),
            "{error}"
        );
        let outcome = Outcome::error("no such table").and_result(fits + "x");
        assert_eq!((outcome.error, outcome.result), (Some(Text::new("no such table")), None));
    }

    #[test]
    fn a_foreign_redirect_makes_the_outcome_invalid() {
        assert!(Outcome::default().redirect("//evil").invalid.is_some());
        assert!(Outcome::result(1).redirect("/fine").invalid.is_none());
    }
}

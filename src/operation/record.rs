//! The durable row of one run.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Ending, Submission};

/// An operation's UUID, written with hyphens (RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(Uuid);

/// The text is not a UUID with hyphens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an operation's id: expected a UUID such as 67e55044-10b1-426f-9247-bb680e5fe0c8")]
pub struct ParseIdError(String);

impl OperationId {
    /// A new random id.
    #[expect(clippy::new_without_default, reason = "a default would look like a fixed value")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// The first eight digits, for people.
    pub fn reference(self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(text) {
            Ok(uuid) if text.len() == uuid::fmt::Hyphenated::LENGTH => Ok(Self(uuid)),
            _ => Err(ParseIdError(text.chars().take(64).collect())),
        }
    }
}

/// Where an operation stands. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In the queue.
    Waiting,
    /// A worker has it.
    Running,
    /// Asked to stop, not stopped yet.
    Cancelling,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped because somebody asked for it.
    Cancelled,
    /// Its process died or was shut down.
    Interrupted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Running,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// Whether nothing more happens, short of a restart.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Interrupted)
    }

    /// The state's name in attributes, events and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state in a word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Running => "Running",
            Self::Cancelling => "Cancelling…",
            Self::Succeeded => "Done",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Interrupted => "Interrupted",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is stored when an operation is started.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// Its id.
    pub id: OperationId,
    /// Its kind's name.
    pub kind: String,
    /// The id of the user who starts it.
    pub owner: String,
    /// What the run is called on its page.
    pub title: String,
    /// The input as JSON.
    pub input: Value,
    /// The operation that handed over to it.
    pub previous: Option<OperationId>,
    /// The form that it was started by, where it had a key.
    pub submission: Option<Submission>,
    /// The names of the uploaded files that it reads: they are kept for as long as it is.
    pub uploads: Vec<String>,
    /// Whether the process that creates it runs it at once, so that it never stands in the queue.
    pub claimed: bool,
}

/// Longest title, in characters: it stands in lists.
pub(crate) const TITLE: usize = 200;

/// The durable row of one operation.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id.
    pub id: OperationId,
    /// Its kind's name.
    pub kind: String,
    /// The id of the user whose it is.
    pub owner: String,
    /// What the run is called on its page.
    pub title: String,
    /// The input as JSON.
    pub input: Value,
    /// The operation that handed over to it.
    pub previous: Option<OperationId>,
    /// Where it stands.
    pub state: State,
    /// From 1; one more with each restart.
    pub attempt: u32,
    /// How often in a row it was put back into the queue by itself, since somebody wanted it.
    pub repeats: u32,
    /// The number of the latest claim, which fences the writes of a run; 0 before the first.
    pub claim: u64,
    /// When it was started by its user.
    pub created: Timestamp,
    /// When the latest attempt began to run.
    pub started: Option<Timestamp>,
    /// When the latest attempt ended.
    pub finished: Option<Timestamp>,
    /// How the latest attempt ended.
    pub ending: Option<Ending>,
}

impl Record {
    /// The epoch of the page of its latest claim: another one with each claim, and the same in every
    /// process, so that whoever looks before the run has stored anything shows the run's own first
    /// version. 0 before the first claim.
    pub(crate) fn epoch(&self) -> u64 {
        let began = self.started.map_or(0, Timestamp::as_microsecond).unsigned_abs();
        (began << 8) ^ self.claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let text = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let id: OperationId = text.parse().expect("a UUID");
        assert_eq!(id.to_string(), text);
        assert_eq!(id.reference(), "67e55044");
        for bad in
            ["", "x", "67e5504410b1426f9247bb680e5fe0c8", "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8"]
        {
            assert!(bad.parse::<OperationId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn states_are_found_by_name() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
        assert_eq!(State::from_name("done"), None);
    }
}

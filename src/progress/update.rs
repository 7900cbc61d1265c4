//! One thing said, as data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Content, ElementId, Text};
use crate::operation::{Ending, State};

/// How much a text matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    #[default]
    Info,
    /// Went well.
    Success,
    /// Worth a look.
    Warning,
    /// Went wrong.
    Error,
}

impl Level {
    /// The level's name in the log and in templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Info, Self::Success, Self::Warning, Self::Error]
            .into_iter()
            .find(|level| level.as_str() == name)
    }
}

/// A stage that was announced: its name and its share of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    /// What it is called.
    pub name: Text,
    /// Its share, in any unit; more than 0.
    pub weight: f64,
}

impl StageSpec {
    /// A stage; a weight that is no positive number counts as 1.
    pub fn new(name: &str, weight: f64) -> Self {
        let weight = if weight.is_finite() && weight > 0.0 { weight } else { 1.0 };
        Self { name: Text::new(name), weight }
    }
}

/// One thing said by a run, or by whoever runs it. It is not read from JSON: that would be a second way in for HTML.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// What is being done.
    Status {
        /// How much it matters.
        level: Level,
        /// A few words.
        text: Text,
    },
    /// The bar of the present stage, 0 to 100.
    Percent(f64),
    /// A count begins: the bar of the present stage follows it.
    Count {
        /// What is counted for.
        label: Option<Text>,
        /// What one of them is called, in the plural.
        unit: Option<Text>,
        /// How many there will be, where that is known.
        total: Option<u64>,
    },
    /// So many are done.
    Done(u64),
    /// The stages ahead.
    Stages(Vec<StageSpec>),
    /// A stage begins; the bar starts anew.
    EnterStage(Text),
    /// That stage is over, where it is the present one.
    LeaveStage(Text),
    /// A line for the log.
    Log {
        /// How much it matters.
        level: Level,
        /// The line.
        text: Text,
    },
    /// So many more went well, and so many were left out.
    Tally {
        /// Went well.
        ok: u64,
        /// Left out on purpose.
        skipped: u64,
    },
    /// One failed: a line of the log that says which.
    Failed {
        /// Which one it is: `line 7`.
        row: Text,
        /// Why.
        reason: Text,
    },
    /// A region of the operation's own has this content now.
    Replace {
        /// The region.
        id: ElementId,
        /// All that stands in it.
        content: Arc<Content>,
    },
    /// A region of the operation's own has this at its end.
    Append {
        /// The region.
        id: ElementId,
        /// What comes to what stands there.
        content: Arc<Content>,
    },
    /// How many operations are before it in the queue.
    Before(u64),
    /// It moved on to another state that is not final.
    State(State),
    /// It is over.
    Ended(Ending),
}

/// Who hears updates: the hub, the terminal, or in tests the [`Recorder`](crate::testing::Recorder).
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use liveops::Progress;
/// use liveops::progress::{Cancel, Sink, Update};
///
/// #[derive(Default)]
/// struct Recorder(Mutex<Vec<Update>>);
///
/// impl Sink for Recorder {
///     fn update(&self, update: Update) {
///         self.0.lock().unwrap().push(update);
///     }
/// }
///
/// let recorder = Arc::new(Recorder::default());
/// let progress = Progress::new(recorder.clone(), Cancel::default());
/// progress.percent(40.0);
/// assert_eq!(*recorder.0.lock().unwrap(), [Update::Percent(40.0)]);
/// ```
pub trait Sink: Send + Sync {
    /// Takes one update. It is called from the run's own threads and should return at once; only
    /// a log that outruns the disk may hold its producer.
    fn update(&self, update: Update);
}

//! What a reader lacks, by the cursor that it comes with.

use std::sync::Arc;

use super::{Line, LogChange, OwnChange, Projection, Region};
use crate::operation::State;
use crate::stream::Cursor;

/// What a reader at some version lacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The state is news to it.
    pub state: bool,
    /// The regions to send whole, the log's lines among them where they cannot be appended.
    pub regions: Vec<Region>,
    /// The lines to append, where that is enough.
    pub append: Vec<Arc<Line>>,
    /// What is news in regions of the operation's own.
    pub own: Vec<OwnChange>,
    /// Where the reader stands afterwards.
    pub to: Cursor,
}

impl Projection {
    /// What a reader at `from` lacks; `None` when it lacks nothing that was published.
    pub fn since(&self, from: Cursor) -> Option<Delta> {
        let seen = from.version_within(self.epoch, self.attempt, self.version);
        let told = seen.is_some() && from.is_asked();
        // Who was told stays told, also by a process that does not know of it yet: to take it back would take a cursor that goes
        // back, and a cut in the middle of that would be lost.
        let asked = self.asked || (told && self.state == State::Running);
        if seen == Some(self.version) && told == asked {
            return None;
        }
        let newer = |changed: u64| seen.is_none_or(|seen| changed > seen);
        let log = self.log.since(seen, self.version);
        let regions = Region::ALL
            .into_iter()
            .filter(|region| match region {
                Region::LogLines => log == LogChange::Whole,
                Region::Status | Region::Progress | Region::Controls if told != asked => true,
                other => newer(self.changed[*other as usize]),
            })
            .collect();
        let append = if let LogChange::Append(lines) = log { lines } else { Vec::new() };
        Some(Delta {
            state: if told {
                !asked && self.state != State::Cancelling
            } else {
                asked || newer(self.state_changed)
            },
            regions,
            append,
            own: self.own.since(seen),
            to: self.cursor().asked(asked),
        })
    }

    /// The same cursor, or the start where it is of another life of the page: all such readers lack
    /// the same.
    pub(crate) fn known(&self, from: Cursor) -> Cursor {
        match from.version_within(self.epoch, self.attempt, self.version) {
            Some(_) => from,
            None => Cursor::START,
        }
    }

    /// Whether a reader at `from` starts from nothing.
    pub fn is_new_to(&self, from: Cursor) -> bool {
        from.version_within(self.epoch, self.attempt, self.version).is_none()
    }

    /// The page as a reader sees it whom this brings up to date.
    pub fn as_seen_by(&self, delta: &Delta) -> Self {
        let page = self.clone();
        if delta.to.is_asked() { page.asked_to_stop() } else { page }
    }

    /// Where a reader that has everything published stands.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.attempt, self.version).asked(self.asked)
    }
}

//! The tail of an operation's log.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::progress::{Level, Text};

/// One line of an operation's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number within the attempt, from 1.
    pub seq: u64,
    /// The version that publishes it.
    pub version: u64,
    /// When it was said.
    pub at: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// The line.
    pub text: Text,
    /// Where it tells of a row that failed, so many bytes of the text name the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<usize>,
}

impl Line {
    /// Between the name of a row and why it failed.
    const BETWEEN: &str = ": ";

    /// The row that failed and why, where the line tells of one.
    pub fn failure(&self) -> Option<(&str, &str)> {
        let (row, reason) = self.text.as_str().split_at_checked(self.failed?)?;
        Some((row, reason.strip_prefix(Self::BETWEEN)?))
    }
}

/// The newest lines of a log, and how many there are in all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogTail {
    limit: usize,
    total: u64,
    /// How many lines are published.
    published: u64,
    lines: VecDeque<Arc<Line>>,
    /// The version of the newest line that is no longer here; 0 while none is gone.
    dropped: u64,
}

/// What a reader of a log lacks.
#[derive(Debug, PartialEq)]
pub enum LogChange {
    /// Nothing.
    None,
    /// These lines.
    Append(Vec<Arc<Line>>),
    /// It is further behind than the tail: the tail as a whole.
    Whole,
}

/// What is to be seen of a log.
#[derive(Debug, Clone)]
pub struct Shown<'a> {
    /// How many lines it has.
    pub total: u64,
    /// How many of them are not among `lines`.
    pub hidden: u64,
    /// The newest ones, oldest first.
    pub lines: Vec<&'a Arc<Line>>,
}

impl LogTail {
    /// An empty log of which `limit` lines are kept.
    pub fn new(limit: usize) -> Self {
        Self { limit, total: 0, published: 0, lines: VecDeque::new(), dropped: 0 }
    }

    /// The same without lines; whoever saw any of them needs it as a whole.
    pub(super) fn emptied(&self, version: u64) -> Self {
        Self { dropped: version, ..Self::new(self.limit) }
    }

    pub(super) fn push(&mut self, level: Level, text: Text, at: Timestamp, version: u64) {
        self.add(Line { seq: self.total + 1, version, at, level, text, failed: None });
    }

    pub(super) fn push_failure(&mut self, row: &Text, reason: &Text, at: Timestamp, version: u64) {
        let text = Text::from_stored(format!("{row}{}{reason}", Line::BETWEEN));
        let failed = Some(row.as_str().len());
        self.add(Line { seq: self.total + 1, version, at, level: Level::Warning, text, failed });
    }

    pub(super) fn recall(&mut self, line: Line) {
        self.add(line);
        self.publish();
    }

    fn add(&mut self, line: Line) {
        self.total = line.seq;
        self.lines.push_back(Arc::new(line));
        while self.lines.len() > self.limit {
            if let Some(line) = self.lines.pop_front() {
                self.dropped = line.version;
            }
        }
    }

    pub(super) fn publish(&mut self) {
        self.published = self.total;
    }

    /// What a reader lacks that has seen version `seen`, when `published` is the newest.
    pub(super) fn since(&self, seen: Option<u64>, published: u64) -> LogChange {
        let Some(seen) = seen.filter(|seen| self.dropped <= *seen) else {
            return LogChange::Whole;
        };
        let lines: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.version > seen && line.version <= published)
            .cloned()
            .collect();
        if lines.is_empty() { LogChange::None } else { LogChange::Append(lines) }
    }

    /// How many lines the log has.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them the tail keeps at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The tail with the lines that are not yet published: what a page shows.
    pub fn newest(&self) -> Shown<'_> {
        self.shown(self.total)
    }

    /// The tail as far as it is published: what a frame shows.
    pub fn published(&self) -> Shown<'_> {
        self.shown(self.published)
    }

    /// Whether lines that are not yet published took the place of published ones.
    pub(super) fn is_short(&self) -> bool {
        (self.published().lines.len() as u64) < self.published.min(self.limit as u64)
    }

    fn shown(&self, total: u64) -> Shown<'_> {
        let lines: Vec<_> = self.lines.iter().filter(|line| line.seq <= total).collect();
        Shown { total, hidden: total - lines.len() as u64, lines }
    }

    /// The newest lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.lines.iter()
    }

    /// The newest line.
    pub fn last(&self) -> Option<&Arc<Line>> {
        self.lines.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_saw_lines_that_could_not_be_stored_gets_the_stored_ones_as_a_whole() {
        let mut log = LogTail::new(10);
        for text in ["stored", "refused"] {
            log.push(Level::Info, Text::from_stored(text.to_owned()), Timestamp::UNIX_EPOCH, 5);
        }
        let stored = Line { version: 6, ..(*log.lines[0]).clone() };
        let mut log = log.emptied(6);
        log.recall(stored);
        assert_eq!((log.total(), log.since(Some(5), 6)), (1, LogChange::Whole));
        assert_eq!(log.since(Some(6), 6), LogChange::None);
    }
}

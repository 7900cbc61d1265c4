//! How many went well, failed or were left out, and which failed.

use serde::{Deserialize, Serialize};

use crate::progress::{Text, shortened};

/// So many of those that failed are listed on the page; the log has all of them.
const LISTED: usize = 20;

/// Longest reason in the list, in characters.
const REASON: usize = 300;

/// One that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedRow {
    /// Which one.
    pub row: Text,
    /// Why, in so many words as a list has room for.
    pub reason: Text,
}

/// The counters of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    ok: u64,
    skipped: u64,
    failed: u64,
    first: Vec<FailedRow>,
}

impl Tally {
    pub(super) fn add(&mut self, ok: u64, skipped: u64) -> bool {
        self.ok = self.ok.saturating_add(ok);
        self.skipped = self.skipped.saturating_add(skipped);
        ok > 0 || skipped > 0
    }

    /// Counts one that failed; returns whether it is one of those that are listed.
    pub(super) fn fail(&mut self, row: Text, reason: &Text) -> bool {
        self.failed += 1;
        let is_listed = self.first.len() < LISTED;
        if is_listed {
            let reason = Text::new(&shortened(reason.as_str(), REASON));
            self.first.push(FailedRow { row, reason });
        }
        is_listed
    }

    /// How many went well.
    pub fn ok(&self) -> u64 {
        self.ok
    }

    /// How many were left out on purpose.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.ok == 0 && self.skipped == 0 && self.failed == 0
    }

    /// The first of those that failed.
    pub fn first_failed(&self) -> &[FailedRow] {
        &self.first
    }
}

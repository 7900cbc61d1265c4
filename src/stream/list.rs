//! A user's list as data: its rows, each with the version at which it last changed.
//!
//! It needs no history. A new reader gets the newest page of rows, every reader after that what
//! changed since; operations that are over and far down are forgotten once they were told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};

use super::Swap;
use crate::operation::{OperationId, State};
use crate::projection::Row;

/// Rows beyond the newest page that are kept when their operations are over, and removals that are
/// remembered, for readers who are slow.
const KEPT: usize = 200;

/// Where an operation stands in the list: a number that grows with each.
pub type Place = i64;

/// What tells that a row may have to be read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The state in the store.
    pub state: State,
    /// The attempt.
    pub attempt: u32,
    /// The place in the queue, while it waits.
    pub before: Option<u64>,
}

/// A row and its HTML, which is made once for all its readers.
#[derive(Debug)]
pub struct ShownRow {
    /// The row.
    pub row: Row,
    html: OnceLock<String>,
}

impl ShownRow {
    /// The row's HTML, made by `render` where nobody needed it before.
    pub fn html(&self, render: impl FnOnce(&Row) -> String) -> &str {
        self.html.get_or_init(|| render(&self.row))
    }
}

#[derive(Debug)]
struct Entry {
    shown: Arc<ShownRow>,
    place: Place,
    mark: Mark,
    /// The version at which it came in at the top; 0 when it was further down already.
    entered: u64,
    changed: u64,
}

/// A row as it was read.
#[derive(Debug, Clone)]
pub struct ReadRow {
    /// The row.
    pub row: Row,
    /// Where it stands.
    pub place: Place,
    /// What it was read by.
    pub mark: Mark,
}

/// What a look at the store found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The newest page of operations, newest first.
    pub newest: Vec<OperationId>,
    /// The rows that were read anew.
    pub rows: Vec<ReadRow>,
    /// Operations that are no longer there.
    pub removed: Vec<OperationId>,
}

/// One user's list.
#[derive(Debug)]
pub struct List {
    version: u64,
    /// Rows on a page.
    page: usize,
    newest: Vec<OperationId>,
    entries: HashMap<OperationId, Entry>,
    removed: VecDeque<(u64, OperationId)>,
}

/// One thing that a reader lacks.
#[derive(Debug, Clone)]
pub enum ListChange {
    /// A row: new at the top, or changed where it is.
    Row(Swap, Arc<ShownRow>),
    /// The row of an operation that is no longer there.
    Removed(OperationId),
}

/// What a reader lacks, in the order in which it is to be applied.
#[derive(Debug, Clone)]
pub struct ListDelta {
    /// The changes.
    pub changes: Vec<ListChange>,
    /// Where the reader stands afterwards.
    pub to: u64,
}

impl List {
    /// An empty list whose pages have so many rows.
    pub fn new(page: usize) -> Self {
        Self { version: 0, page, newest: Vec::new(), entries: HashMap::new(), removed: VecDeque::new() }
    }

    /// The version; 0 until it was first looked at.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the operation's row was last read by, where it is known here.
    pub fn mark(&self, id: OperationId) -> Option<Mark> {
        self.entries.get(&id).map(|entry| entry.mark)
    }

    /// The row of an operation as it is shown, with all that it was read by.
    pub fn read(&self, id: OperationId) -> Option<ReadRow> {
        let Entry { shown, place, mark, .. } = self.entries.get(&id)?;
        Some(ReadRow { row: shown.row.clone(), place: *place, mark: *mark })
    }

    /// The operations that are not over.
    pub fn active(&self) -> Vec<OperationId> {
        self.entries.iter().filter(|(_, entry)| !entry.mark.state.is_final()).map(|(id, _)| *id).collect()
    }

    /// The operations of the newest page, newest first.
    pub fn newest(&self) -> &[OperationId] {
        &self.newest
    }

    /// Takes over what was found. Returns whether that is news to readers.
    pub fn update(&mut self, look: Look) -> bool {
        let next = self.version + 1;
        let mut changed = self.version == 0;
        let oldest = self.newest.last().and_then(|id| self.entries.get(id)).map(|entry| entry.place);
        // What was below a full page before comes up from below when others are removed.
        let below = oldest.filter(|_| self.newest.len() >= self.page);
        let on_page: HashSet<_> = look.newest.iter().copied().collect();
        for ReadRow { row, place, mark } in look.rows {
            let id = row.id;
            match self.entries.get_mut(&id) {
                Some(entry) => {
                    entry.mark = mark;
                    if entry.shown.row != row {
                        entry.shown = Arc::new(ShownRow { row, html: OnceLock::new() });
                        entry.changed = next;
                        changed = true;
                    }
                }
                None => {
                    let is_new = on_page.contains(&id) && below.is_none_or(|below| place > below);
                    let shown = Arc::new(ShownRow { row, html: OnceLock::new() });
                    let entered = if is_new { next } else { 0 };
                    self.entries.insert(id, Entry { shown, place, mark, entered, changed: next });
                    changed = true;
                }
            }
        }
        for id in look.removed {
            if self.entries.remove(&id).is_some() {
                self.removed.push_back((next, id));
                changed = true;
            }
        }
        self.newest = look.newest;
        self.forget(&on_page);
        if changed {
            self.version = next;
        }
        changed
    }

    /// Forgets what is over, further down, and was told long ago.
    fn forget(&mut self, on_page: &HashSet<OperationId>) {
        let settled =
            self.entries.iter().filter(|(id, entry)| entry.mark.state.is_final() && !on_page.contains(id));
        let mut settled: Vec<_> = settled.map(|(id, entry)| (entry.changed, *id)).collect();
        if let Some(excess) = settled.len().checked_sub(KEPT + 1) {
            settled.sort_unstable();
            for (_, id) in &settled[..=excess] {
                self.entries.remove(id);
            }
        }
        while self.removed.len() > KEPT {
            self.removed.pop_front();
        }
    }

    /// What a reader lacks that has seen version `seen`, or nothing; `None` where that is nothing.
    pub fn since(&self, seen: Option<u64>) -> Option<ListDelta> {
        if self.version == 0 || seen == Some(self.version) {
            return None;
        }
        let Some(seen) = seen else { return Some(self.whole()) };
        let mut rows: Vec<_> = self.entries.values().filter(|entry| entry.changed > seen).collect();
        rows.sort_unstable_by_key(|entry| entry.place);
        let rows = rows.into_iter().map(|entry| {
            let swap = if entry.entered > seen { Swap::Prepend } else { Swap::Outer };
            ListChange::Row(swap, Arc::clone(&entry.shown))
        });
        let removed = self.removed.iter().filter(|(version, _)| *version > seen);
        let changes = rows.chain(removed.map(|(_, id)| ListChange::Removed(*id))).collect();
        Some(ListDelta { changes, to: self.version })
    }

    /// The newest page, oldest first.
    fn whole(&self) -> ListDelta {
        let rows = self.newest.iter().rev().filter_map(|id| self.entries.get(id));
        let changes = rows.map(|entry| ListChange::Row(Swap::Prepend, Arc::clone(&entry.shown))).collect();
        ListDelta { changes, to: self.version }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn read(id: OperationId, at: i64, state: State) -> ReadRow {
        let row = Row {
            id,
            title: "t".into(),
            kind_title: "k".into(),
            state,
            before: None,
            percent: None,
            summary: None,
            figures: Vec::new(),
            next: None,
            created: Timestamp::UNIX_EPOCH,
            since: None,
            took_seconds: None,
        };
        ReadRow { row, place: at, mark: Mark { state, attempt: 1, before: None } }
    }

    fn told(delta: Option<ListDelta>) -> Vec<(&'static str, OperationId)> {
        let changes = delta.map(|delta| delta.changes).unwrap_or_default();
        let told = changes.into_iter().map(|change| match change {
            ListChange::Row(Swap::Prepend, shown) => ("prepend", shown.row.id),
            ListChange::Row(_, shown) => ("outer", shown.row.id),
            ListChange::Removed(id) => ("removed", id),
        });
        told.collect()
    }

    fn ids<const N: usize>() -> [OperationId; N] {
        std::array::from_fn(|_| OperationId::new())
    }

    #[test]
    fn a_reader_starts_with_the_newest_page_and_gets_what_changes() {
        let [a, b, c] = ids();
        let mut list = List::new(2);
        assert!(list.since(None).is_none(), "nobody has looked yet");
        let rows = vec![read(a, 1, State::Running), read(b, 2, State::Running)];
        assert!(list.update(Look { newest: vec![b, a], rows, ..Look::default() }));
        assert_eq!(told(list.since(None)), [("prepend", a), ("prepend", b)]);
        assert!(!list.update(Look { newest: vec![b, a], ..Look::default() }), "nothing new");
        assert!(list.since(Some(1)).is_none());
        // A new one comes while one ends, which is then on the second page.
        let rows = vec![read(c, 3, State::Waiting), read(a, 1, State::Succeeded)];
        list.update(Look { newest: vec![c, b], rows, ..Look::default() });
        assert_eq!(told(list.since(Some(1))), [("outer", a), ("prepend", c)]);
        assert_eq!(told(list.since(None)), [("prepend", b), ("prepend", c)]);
        // A slow reader gets one row for all that happened to it, and it is still new to them.
        list.update(Look { newest: vec![c, b], rows: vec![read(c, 3, State::Running)], ..Look::default() });
        assert_eq!(told(list.since(Some(1))), [("outer", a), ("prepend", c)]);
        assert_eq!(told(list.since(Some(2))), [("outer", c)]);
    }

    #[test]
    fn what_comes_up_from_below_is_not_new() {
        let [a, b, c] = ids();
        let mut list = List::new(2);
        let rows = vec![read(b, 2, State::Succeeded), read(c, 3, State::Succeeded)];
        list.update(Look { newest: vec![c, b], rows, ..Look::default() });
        let rows = vec![read(a, 1, State::Succeeded)];
        list.update(Look { newest: vec![b, a], rows, removed: vec![c] });
        assert_eq!(told(list.since(Some(1))), [("outer", a), ("removed", c)]);
        assert_eq!(told(list.since(None)), [("prepend", a), ("prepend", b)]);
    }

    #[test]
    fn one_that_was_committed_late_is_new_all_the_same() {
        let [a, b, c, d] = ids();
        let mut list = List::new(2);
        let rows = vec![read(a, 1, State::Running), read(c, 3, State::Running)];
        list.update(Look { newest: vec![c, a], rows, ..Look::default() });
        list.update(Look { newest: vec![c, b], rows: vec![read(b, 2, State::Running)], ..Look::default() });
        assert_eq!(told(list.since(Some(1))), [("prepend", b)]);
        // Further down, restarted: nobody's page gets it at its top.
        list.update(Look { newest: vec![c, b], rows: vec![read(d, 0, State::Waiting)], ..Look::default() });
        assert_eq!(told(list.since(Some(2))), [("outer", d)]);
    }

    #[test]
    fn a_list_of_ever_so_many_keeps_few() {
        let mut list = List::new(2);
        for at in 0..2000 {
            let id = OperationId::new();
            list.update(Look {
                newest: vec![id],
                rows: vec![read(id, at, State::Succeeded)],
                ..Look::default()
            });
            let removed = if at % 2 == 0 { vec![id] } else { Vec::new() };
            list.update(Look { removed, ..Look::default() });
        }
        assert!(list.entries.len() <= KEPT + 2 && list.removed.len() <= KEPT, "{}", list.entries.len());
    }
}

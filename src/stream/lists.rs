//! The lists that are watched in this process, and their readers.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::list::{List, ListChange, ListDelta, Look};
use super::{Cursor, Fragment, Frame, FrameBuilder, Swap};
use crate::projection::Row;

/// The element that holds a list's rows.
pub const ROWS: &str = "operations-rows";

/// Most frames kept for sharing at one version.
const SHARED: usize = 16;

/// Turns a row into its element.
pub trait RowRenderer: Send + Sync {
    /// Renders a row, for all its readers: nothing in it belongs to one of them.
    fn row(&self, row: &Row) -> String;
}

/// The lists that somebody watches here, by their owners.
pub struct ListHub {
    renderer: Arc<dyn RowRenderer>,
    /// Rows on a page.
    page: usize,
    /// Guards who is watched; held for look-ups only.
    lists: Mutex<HashMap<String, Arc<UserList>>>,
}

impl std::fmt::Debug for ListHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListHub").field("lists", &self.lists.lock().len()).finish_non_exhaustive()
    }
}

impl ListHub {
    /// A hub of lists whose pages have so many rows.
    pub fn new(renderer: Arc<dyn RowRenderer>, page: usize) -> Self {
        Self { renderer, page, lists: Mutex::default() }
    }

    /// A reader of the owner's list.
    pub fn watch(&self, owner: &str) -> ListWatch {
        let mut lists = self.lists.lock();
        let list = lists.entry(owner.to_owned()).or_insert_with(|| {
            Arc::new(UserList {
                owner: owner.to_owned(),
                renderer: Arc::clone(&self.renderer),
                list: Mutex::new(List::new(self.page)),
                frames: Mutex::default(),
                shown: watch::Sender::new(()),
            })
        });
        // Subscribed under the lock: a list without readers would be dropped.
        ListWatch { shown: list.shown.subscribe(), list: Arc::clone(list), seen: None }
    }

    /// Whether somebody watches the owner's list.
    pub fn is_watched(&self, owner: &str) -> bool {
        self.lists.lock().contains_key(owner)
    }

    /// The lists that are watched. Those that nobody watches any more are forgotten.
    pub fn watched(&self) -> Vec<Arc<UserList>> {
        let mut lists = self.lists.lock();
        lists.retain(|_, list| list.shown.receiver_count() > 0);
        lists.values().cloned().collect()
    }
}

/// One user's list, shared by all its readers.
pub struct UserList {
    owner: String,
    renderer: Arc<dyn RowRenderer>,
    /// Guards the rows; held for as long as a look or a copy takes.
    list: Mutex<List>,
    /// Guards the frames; held while one is made, so that it is made once.
    frames: Mutex<Frames>,
    /// Wakes the readers when something changed.
    shown: watch::Sender<()>,
}

/// Frames that lead from some version to `to`.
#[derive(Default)]
struct Frames {
    to: u64,
    from: Vec<(Option<u64>, Frame)>,
}

impl std::fmt::Debug for UserList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserList").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl UserList {
    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Asks the list something.
    pub fn with<T>(&self, ask: impl FnOnce(&List) -> T) -> T {
        ask(&self.list.lock())
    }

    /// Takes over what was found, and shows it.
    pub fn update(&self, look: Look) {
        if self.list.lock().update(look) {
            self.shown.send_replace(());
        }
    }

    fn frame(&self, seen: Option<u64>) -> Option<(Frame, u64)> {
        let mut frames = self.frames.lock();
        let delta = self.list.lock().since(seen)?;
        let to = delta.to;
        if frames.to != to {
            *frames = Frames { to, from: Vec::new() };
        }
        if let Some((_, frame)) = frames.from.iter().find(|(from, _)| *from == seen) {
            return Some((frame.clone(), to));
        }
        let frame = self.encode(&delta);
        if frames.from.len() < SHARED {
            frames.from.push((seen, frame.clone()));
        }
        Some((frame, to))
    }

    fn encode(&self, delta: &ListDelta) -> Frame {
        let cursor = Cursor::new(0, 0, delta.to);
        if delta.changes.is_empty() {
            // An empty list says that it is there: a stream without a word looks swallowed.
            let bytes = Bytes::from_static(b"event: ping\ndata: {}\n\n");
            return Frame { bytes, cursor, state: false, last: false };
        }
        let mut frame = FrameBuilder::default();
        for change in &delta.changes {
            let (id, swap, html) = match change {
                ListChange::Row(swap, shown) => {
                    let id = match swap {
                        Swap::Prepend => ROWS.to_owned(),
                        _ => shown.row.element(),
                    };
                    (id, *swap, shown.html(|row| self.renderer.row(row)).to_owned())
                }
                ListChange::Removed(id) => (Row::element_of(*id), Swap::Outer, String::new()),
            };
            frame.fragment(&Fragment { id, swap, html });
        }
        frame.finish(cursor)
    }
}

/// One reader of a list: a version and a wake-up.
#[derive(Debug)]
pub struct ListWatch {
    list: Arc<UserList>,
    seen: Option<u64>,
    shown: watch::Receiver<()>,
}

impl ListWatch {
    /// Whether the list was looked at since somebody watches it.
    pub fn is_known(&self) -> bool {
        self.list.with(List::version) > 0
    }

    /// The next frame that the reader lacks: at first the newest page of rows, then what changes.
    /// A slow reader gets the present state, not what it missed. It never ends by itself.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            self.shown.mark_unchanged();
            if let Some((frame, to)) = self.list.frame(self.seen) {
                self.seen = Some(to);
                return Some(frame);
            }
            self.shown.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{OperationId, State};
    use crate::stream::list::{Mark, ReadRow};
    use jiff::Timestamp;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl RowRenderer for Counting {
        fn row(&self, row: &Row) -> String {
            self.0.fetch_add(1, Ordering::Relaxed);
            format!("<tr id=\"{}\"></tr>", row.element())
        }
    }

    #[tokio::test]
    async fn a_row_is_rendered_once_for_all_readers() {
        let renderer = Arc::new(Counting::default());
        let hub = ListHub::new(Arc::clone(&renderer) as _, 50);
        let mut watches: Vec<_> = (0..20).map(|_| hub.watch("ada")).collect();
        assert!(!watches[0].is_known());
        let [list] = hub.watched().try_into().expect("one list for all of them");
        let (id, created) = (OperationId::new(), Timestamp::UNIX_EPOCH);
        let row = Row {
            id,
            title: "t".into(),
            kind_title: "k".into(),
            state: State::Waiting,
            before: Some(0),
            percent: None,
            summary: None,
            figures: Vec::new(),
            next: None,
            created,
            since: None,
            took_seconds: None,
        };
        let mark = Mark { state: State::Waiting, attempt: 1, before: Some(0) };
        let rows = vec![ReadRow { row, place: 1, mark }];
        list.update(Look { newest: vec![id], rows, removed: Vec::new() });
        for watch in &mut watches {
            let frame = watch.next().await.expect("the newest page");
            let text = std::str::from_utf8(&frame.bytes).expect("UTF-8");
            assert!(text.contains("\"id\":\"operations-rows\",\"swap\":\"prepend\""), "{text}");
        }
        list.update(Look { removed: vec![id], ..Look::default() });
        for watch in &mut watches {
            let frame = watch.next().await.expect("its removal");
            let text = std::str::from_utf8(&frame.bytes).expect("UTF-8");
            assert!(
                text.contains(&format!("{{\"id\":\"op-{id}-row\",\"swap\":\"outer\",\"html\":\"\"}}")),
                "{text}"
            );
        }
        assert_eq!(renderer.0.load(Ordering::Relaxed), 1);
        drop(watches);
        assert!(hub.watched().is_empty() && !hub.is_watched("ada"));
    }
}

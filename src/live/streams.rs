//! The open streams by user and session: how many there may be, and what ends them together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Who has streams open in this process.
#[derive(Debug)]
pub(super) struct OpenStreams {
    /// Most streams of one user.
    per_user: usize,
    /// How often streams were ended.
    endings: AtomicU64,
    /// Guards who has how many.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_user: HashMap<String, usize>,
    /// Those that were ended are not among them, so that a session may open streams again: its
    /// user is back in the required group, say.
    by_session: HashMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    user: String,
    ended: CancellationToken,
    count: usize,
}

/// One open stream's place among those of its user and session; given back when it is dropped.
#[derive(Debug)]
pub struct StreamPlace {
    user: String,
    session: String,
    ended: CancellationToken,
    all: Arc<OpenStreams>,
}

impl OpenStreams {
    pub(super) fn new(per_user: usize) -> Self {
        Self { per_user, endings: AtomicU64::new(0), open: Mutex::default() }
    }

    /// How often streams were ended so far.
    pub(super) fn endings(&self) -> u64 {
        self.endings.load(Ordering::Acquire)
    }

    /// A place for one more stream; none where the user has all that one user may have.
    pub(super) fn enter(self: &Arc<Self>, user: &str, session: &str) -> Option<StreamPlace> {
        let mut open = self.open.lock();
        let of_user = open.by_user.entry(user.to_owned()).or_default();
        if *of_user >= self.per_user {
            return None;
        }
        *of_user += 1;
        let streams = open.by_session.entry(session.to_owned()).or_insert_with(|| Session {
            user: user.to_owned(),
            ended: CancellationToken::new(),
            count: 0,
        });
        streams.count += 1;
        let ended = streams.ended.clone();
        metrics::gauge!("liveops_streams_open").increment(1);
        metrics::counter!("liveops_streams_opened_total").increment(1);
        Some(StreamPlace { user: user.to_owned(), session: session.to_owned(), ended, all: Arc::clone(self) })
    }

    /// Ends the streams that a session opened so far.
    pub(super) fn end(&self, session: &str) {
        let mut open = self.open.lock();
        self.endings.fetch_add(1, Ordering::AcqRel);
        if let Some(streams) = open.by_session.remove(session) {
            streams.ended.cancel();
        }
    }

    /// Ends the streams that a user's sessions opened so far.
    pub(super) fn end_of_user(&self, user: &str) {
        let mut open = self.open.lock();
        self.endings.fetch_add(1, Ordering::AcqRel);
        for (_, streams) in open.by_session.extract_if(|_, streams| streams.user == user) {
            streams.ended.cancel();
        }
    }

    /// The sessions that have streams open.
    pub(super) fn sessions(&self) -> Vec<String> {
        self.open.lock().by_session.keys().cloned().collect()
    }
}

impl StreamPlace {
    /// Waits until the stream is to end.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        metrics::gauge!("liveops_streams_open").decrement(1);
        let mut open = self.all.open.lock();
        if let Some(of_user) = open.by_user.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                open.by_user.remove(&self.user);
            }
        }
        // What was ended is out already; what has its session's name now was opened later.
        if self.ended.is_cancelled() {
            return;
        }
        if let Some(streams) = open.by_session.get_mut(&self.session) {
            streams.count -= 1;
            if streams.count == 0 {
                open.by_session.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(per_user: usize) -> Arc<OpenStreams> {
        Arc::new(OpenStreams::new(per_user))
    }

    #[test]
    fn a_session_takes_its_own_streams_with_it() {
        let all = streams(9);
        let (mine, other) = (all.enter("ada", "mine"), all.enter("ada", "other"));
        let (mine, other) = (mine.expect("a place"), other.expect("a place"));
        all.end("mine");
        assert!(mine.ended.is_cancelled() && !other.ended.is_cancelled());
        assert_eq!(all.sessions(), ["other"]);
        // A session that may watch again does, whether or not its old streams are gone already.
        let again = all.enter("ada", "mine").expect("a place");
        drop(mine);
        assert!(!again.ended.is_cancelled());
        all.end("mine");
        assert!(again.ended.is_cancelled());
    }

    #[test]
    fn a_user_takes_all_sessions_along() {
        let all = streams(9);
        let places = [("ada", "a"), ("ada", "b"), ("eve", "c")]
            .map(|(user, session)| all.enter(user, session).expect("a place"));
        all.end_of_user("ada");
        assert_eq!(places.each_ref().map(|place| place.ended.is_cancelled()), [true, true, false]);
    }

    #[test]
    fn a_user_has_so_many_and_gets_places_back() {
        let all = streams(2);
        let first = all.enter("ada", "a").expect("a place");
        let _second = all.enter("ada", "b").expect("a place");
        assert!(all.enter("ada", "c").is_none() && all.enter("ada", "a").is_none());
        assert!(all.enter("eve", "c").is_some(), "another user");
        drop(first);
        assert!(all.enter("ada", "c").is_some());
    }

    #[test]
    fn nothing_is_kept_of_streams_that_are_closed() {
        let all = streams(2);
        let places = [("ada", "a"), ("ada", "a"), ("eve", "b"), ("eve", "c"), ("eva", "d")]
            .map(|(user, session)| all.enter(user, session).expect("a place"));
        all.end("b");
        all.end_of_user("eva");
        drop(places);
        let open = all.open.lock();
        assert!(open.by_session.is_empty() && open.by_user.is_empty(), "{open:?}");
    }
}

//! The open streams by user, session and address: how many there may be, and what ends them together.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::access::network;

/// Who has streams open in this process.
pub(super) struct OpenStreams {
    /// Most streams of one user.
    per_user: usize,
    /// Most streams of one client's network.
    per_address: usize,
    /// How often streams were ended.
    endings: AtomicU64,
    /// Guards who has how many.
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    by_user: HashMap<String, usize>,
    by_network: HashMap<IpAddr, usize>,
    /// By session and user, whom a host's session may change. Those that were ended are not among them, so that a session may
    /// open streams again: its user is back in the required group, say.
    by_session: HashMap<(String, String), Session>,
}

struct Session {
    ended: CancellationToken,
    count: usize,
}

/// One open stream's place among those of its user, session and address; given back when it is dropped. `Debug` does not show the
/// session, which may be a cookie's value.
pub struct StreamPlace {
    /// The session and its user.
    of: (String, String),
    network: Option<IpAddr>,
    ended: CancellationToken,
    all: Arc<OpenStreams>,
}

impl OpenStreams {
    pub(super) fn new(per_user: usize, per_address: usize) -> Self {
        Self { per_user, per_address, endings: AtomicU64::new(0), open: Mutex::default() }
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
        let of = (session.to_owned(), user.to_owned());
        let streams = open
            .by_session
            .entry(of.clone())
            .or_insert_with(|| Session { ended: CancellationToken::new(), count: 0 });
        streams.count += 1;
        let ended = streams.ended.clone();
        metrics::gauge!("liveops_streams_open").increment(1);
        metrics::counter!("liveops_streams_opened_total").increment(1);
        Some(StreamPlace { of, network: None, ended, all: Arc::clone(self) })
    }

    /// Ends the streams that a session opened so far.
    pub(super) fn end(&self, session: &str) {
        self.end_of(|(of, _)| of == session);
    }

    /// Ends the streams that a user's sessions opened so far.
    pub(super) fn end_of_user(&self, user: &str) {
        self.end_of(|(_, of)| of == user);
    }

    fn end_of(&self, concerned: impl Fn(&(String, String)) -> bool) {
        let mut open = self.open.lock();
        self.endings.fetch_add(1, Ordering::AcqRel);
        for (_, streams) in open.by_session.extract_if(|of, _| concerned(of)) {
            streams.ended.cancel();
        }
    }

    /// The sessions that have streams open.
    pub(super) fn sessions(&self) -> Vec<String> {
        self.open.lock().by_session.keys().map(|(session, _)| session.clone()).collect()
    }
}

impl StreamPlace {
    /// The place as one of those of the client's address, of which there may be so many too: for version 6, of its /64 network.
    /// Whoever does not know the address, or knows that of a proxy only, leaves this out.
    ///
    /// None where the address has all that one address may have; the place is given back then.
    pub fn from_address(mut self, address: IpAddr) -> Option<Self> {
        let network = network(address);
        {
            let mut open = self.all.open.lock();
            let count = open.by_network.get(&network).copied().unwrap_or_default();
            if count >= self.all.per_address {
                return None;
            }
            open.by_network.insert(network, count + 1);
        }
        if let Some(before) = self.network.replace(network) {
            give_back(&mut self.all.open.lock().by_network, &before);
        }
        Some(self)
    }

    /// Waits until the stream is to end.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        metrics::gauge!("liveops_streams_open").decrement(1);
        let mut open = self.all.open.lock();
        give_back(&mut open.by_user, &self.of.1);
        if let Some(network) = &self.network {
            give_back(&mut open.by_network, network);
        }
        // What was ended is out already; what has its session's name now was opened later.
        if self.ended.is_cancelled() {
            return;
        }
        if let Some(streams) = open.by_session.get_mut(&self.of) {
            streams.count -= 1;
            if streams.count == 0 {
                open.by_session.remove(&self.of);
            }
        }
    }
}

impl std::fmt::Debug for StreamPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamPlace").field("user", &self.of.1).finish_non_exhaustive()
    }
}

/// One place less; nothing is kept of whoever has none.
fn give_back<K: Hash + Eq>(places: &mut HashMap<K, usize>, of: &K) {
    let Some(count) = places.get_mut(of) else { return };
    *count -= 1;
    if *count == 0 {
        places.remove(of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(per_user: usize) -> Arc<OpenStreams> {
        Arc::new(OpenStreams::new(per_user, 3))
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
    fn a_session_that_two_users_had_is_ended_for_either() {
        let all = streams(9);
        let ada = all.enter("ada", "s").expect("a place");
        let eve = all.enter("eve", "s").expect("a place");
        all.end_of_user("eve");
        assert_eq!([&ada, &eve].map(|place| place.ended.is_cancelled()), [false, true]);
        all.end("s");
        assert!(ada.ended.is_cancelled());
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
    fn an_address_has_so_many_whoever_has_them_and_gets_places_back() {
        let all = streams(9);
        let from = |user: &str, address: &str| {
            let place = all.enter(user, user).expect("a place");
            place.from_address(address.parse().expect("an address"))
        };
        let mut places = vec![];
        for user in ["ada", "bob", "eve"] {
            places.push(from(user, "2001:db8:1:2::1").expect("a place"));
        }
        for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::"] {
            assert!(from("dan", address).is_none(), "{address}");
        }
        assert!(!all.sessions().contains(&"dan".to_owned()), "who was refused has no place of a user either");
        for other in ["2001:db8:1:3::1", "10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"] {
            places.push(from("dan", other).expect("another address"));
        }
        places.remove(0);
        from("dan", "2001:db8:1:2::2").expect("a place that was given back");
        // One that is named anew has one place all the same.
        let moved = from("dan", "10.0.0.9").expect("a place");
        drop(moved.from_address([10, 0, 0, 10].into()).expect("a place"));
        drop(places);
        assert!(all.open.lock().by_network.is_empty());
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
        assert!(open.by_session.is_empty() && open.by_user.is_empty() && open.by_network.is_empty());
    }
}

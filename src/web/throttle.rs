//! How often a name may be tried with wrong passwords.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::access::network;
use crate::store::Digest;

/// So many wrong tries, for one account from one address, within so long.
const TRIES: usize = 10;
const WINDOW: Duration = Duration::from_secs(600);
/// So many accounts and addresses are remembered; more of them, and some are forgotten.
const MOST: usize = 50_000;

/// An account as it is tried from one address. Who tries a name elsewhere is not kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Account {
    name: Digest,
    from: IpAddr,
}

impl Account {
    pub(super) fn new(name: &str, from: IpAddr) -> Self {
        Self { name: Digest::of(name), from: network(from) }
    }
}

/// The tries of late.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Account, VecDeque<Instant>>>);

impl Throttle {
    /// Counts a try, or says how long to wait before the next one. A try that was right is taken
    /// back by [`Throttle::forget`].
    pub(super) fn count(&self, account: Account, now: Instant) -> Result<(), Duration> {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
        let mut accounts = self.0.lock();
        if accounts.len() >= MOST && !accounts.contains_key(&account) {
            make_room(&mut accounts, now);
        }
        let tries = accounts.entry(account).or_default();
        while tries.front().is_some_and(is_old) {
            tries.pop_front();
        }
        match tries.front() {
            Some(first) if tries.len() >= TRIES => Err(WINDOW - now.saturating_duration_since(*first)),
            _ => {
                tries.push_back(now);
                Ok(())
            }
        }
    }

    /// The last try could not be checked, so it does not count.
    pub(super) fn take_back(&self, account: Account) {
        let mut accounts = self.0.lock();
        let Some(tries) = accounts.get_mut(&account) else { return };
        tries.pop_back();
        if tries.is_empty() {
            accounts.remove(&account);
        }
    }

    /// The password was right.
    pub(super) fn forget(&self, account: Account) {
        self.0.lock().remove(&account);
    }
}

/// Forgets what is too old to count, or else the half that was tried longest ago of those that are not kept out: who
/// fills the table with names does not let himself in again. Of those kept out only where there are no others.
fn make_room(accounts: &mut HashMap<Account, VecDeque<Instant>>, now: Instant) {
    let last = |tries: &VecDeque<Instant>| tries.back().copied();
    accounts.retain(|_, tries| last(tries).is_some_and(|at| now.saturating_duration_since(at) < WINDOW));
    if accounts.len() < MOST {
        return;
    }
    let is_open = |tries: &VecDeque<Instant>| tries.len() < TRIES;
    let any_open = accounts.values().any(is_open);
    let forgettable = |tries: &VecDeque<Instant>| !any_open || is_open(tries);
    let mut times: Vec<_> = accounts.values().filter(|tries| forgettable(tries)).filter_map(last).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    accounts.retain(|_, tries| !forgettable(tries) || last(tries).is_some_and(|at| at > median));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, from: &str) -> Account {
        Account::new(name, from.parse().expect("an address"))
    }

    #[test]
    fn ten_tries_in_ten_minutes() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let ada = account("ada", "10.0.0.1");
        for n in 0..10 {
            assert_eq!(throttle.count(ada, at(n)), Ok(()));
        }
        assert_eq!(throttle.count(ada, at(10)), Err(Duration::from_secs(590)));
        assert_eq!(throttle.count(ada, at(599)), Err(Duration::from_secs(1)));
        // Others are not kept out.
        assert_eq!(throttle.count(account("ada", "10.0.0.2"), at(10)), Ok(()));
        assert_eq!(throttle.count(account("eve", "10.0.0.1"), at(10)), Ok(()));
        assert_eq!(throttle.count(ada, at(600)), Ok(()), "the first try is old");
        assert!(throttle.count(ada, at(600)).is_err(), "the second is not");
        throttle.take_back(ada);
        assert_eq!(throttle.count(ada, at(600)), Ok(()), "one that came to nothing does not count");
        throttle.forget(ada);
        assert_eq!(throttle.count(ada, at(600)), Ok(()));
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        assert_eq!(account("a", "2001:db8:1:2::1"), account("a", "2001:db8:1:2:ffff::"));
        assert_ne!(account("a", "2001:db8:1:2::1"), account("a", "2001:db8:1:3::1"));
        assert_ne!(account("a", "10.0.0.1"), account("a", "10.0.0.2"));
    }

    #[test]
    fn random_names_do_not_fill_the_memory() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let ada = account("ada", "10.0.0.1");
        for n in 0..MOST * 2 {
            let now = now + Duration::from_micros(n as u64);
            throttle.count(account(&n.to_string(), "10.0.0.9"), now).expect("each is new");
            if n % 10_000 == 0 {
                let _ = throttle.count(ada, now);
            }
        }
        assert!(throttle.0.lock().len() <= MOST);
        let tried = throttle.0.lock().get(&ada).map_or(0, VecDeque::len);
        assert_eq!(tried, 10, "what is tried again and again is not forgotten");
    }

    #[test]
    fn who_is_kept_out_does_not_get_in_by_filling_the_table() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let boss = account("boss", "10.0.0.9");
        for _ in 0..10 {
            throttle.count(boss, now).expect("not yet");
        }
        for n in 0..MOST * 3 {
            let now = now + Duration::from_micros(n as u64);
            throttle.count(account(&n.to_string(), "10.0.0.9"), now).expect("each is new");
        }
        assert!(throttle.count(boss, now + Duration::from_secs(60)).is_err());
        assert!(throttle.0.lock().len() <= MOST);
    }

    #[test]
    fn a_table_of_those_kept_out_is_bounded_too() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for n in 0..MOST + 10 {
            for _ in 0..TRIES {
                let now = now + Duration::from_micros(n as u64);
                throttle.count(account(&n.to_string(), "10.0.0.9"), now).expect("each is new");
            }
        }
        assert!(throttle.0.lock().len() <= MOST);
    }
}

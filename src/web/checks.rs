//! Checks of passwords, on few threads of their own: each takes 19 MiB and some 20 ms, and anybody
//! may ask for one without being signed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::Refusal;
use crate::access::{Password, PasswordVerifier, network};

/// Most passwords that are checked at once.
const AT_ONCE: usize = 2;
/// Most that wait for that: more than these would wait for seconds.
const WAITING: usize = 200;
/// Most of these that one client's network has there, so that nobody keeps all others from signing in.
const SHARE: usize = 50;

/// One password to be checked.
struct Check {
    password: Password,
    hash: Option<String>,
    right: oneshot::Sender<bool>,
    _share: Share,
}

/// How many checks of each network wait or are under way.
type Shares = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One check as one of those of its network; given back when it is dropped.
struct Share {
    of: IpAddr,
    all: Shares,
}

impl Share {
    fn take(all: &Shares, client: IpAddr) -> Option<Self> {
        let of = network(client);
        let mut shares = all.lock();
        let taken = shares.get(&of).copied().unwrap_or_default();
        (taken < SHARE).then(|| {
            shares.insert(of, taken + 1);
            Self { of, all: Arc::clone(all) }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.all.lock();
        match shares.get_mut(&self.of) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => {
                shares.remove(&self.of);
            }
        }
    }
}

/// Who checks. The threads end when this is dropped.
#[derive(Clone)]
pub(super) struct PasswordChecks {
    queue: mpsc::SyncSender<Check>,
    shares: Shares,
}

impl PasswordChecks {
    pub(super) fn start() -> Self {
        let (queue, checks) = mpsc::sync_channel(WAITING);
        let checks = Arc::new(Mutex::new(checks));
        for _ in 0..AT_ONCE {
            let checks = Arc::clone(&checks);
            let thread = std::thread::Builder::new().name("liveops-password".to_owned());
            if let Err(error) = thread.spawn(move || work(&checks)) {
                tracing::error!(%error, "no thread for checking passwords could be started");
            }
        }
        Self { queue, shares: Shares::default() }
    }

    /// Whether the password that came from `client` is the one behind the hash.
    pub(super) async fn is_right(
        &self,
        client: IpAddr,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, Refusal> {
        let share = Share::take(&self.shares, client).ok_or(Refusal::Unavailable)?;
        let (right, answer) = oneshot::channel();
        let check = Check { password, hash, right, _share: share };
        self.queue.try_send(check).map_err(|_| Refusal::Unavailable)?;
        answer.await.map_err(|_| Refusal::Unavailable)
    }
}

fn work(checks: &Mutex<mpsc::Receiver<Check>>) {
    let mut verifier = PasswordVerifier::default();
    loop {
        // One waits in `recv`, the others for the lock.
        let next = checks.lock().recv();
        let Ok(Check { password, hash, right, _share }) = next else { return };
        // Whoever asked may have gone, and what is left in the queue is not worth the work then.
        if !right.is_closed() {
            let _ = right.send(verifier.verify(&password, hash.as_deref()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_has_its_share_and_gets_it_back() {
        let all = Shares::default();
        let take = |client: &str| Share::take(&all, client.parse().expect("an address"));
        let mut taken: Vec<_> = (0..SHARE).map(|_| take("2001:db8::1").expect("a share")).collect();
        assert!(take("2001:db8::2").is_none());
        let other = take("10.0.0.1").expect("somebody else's");
        taken.pop();
        taken.push(take("2001:db8::2").expect("what was given back"));
        drop((taken, other));
        assert!(all.lock().is_empty(), "nothing is kept of who asks for nothing");
    }
}

//! Checks of passwords, on few threads of their own: each takes 19 MiB and some 20 ms, and anybody
//! may ask for one without being signed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::Refusal;
use super::seldom::Seldom;
use crate::access::{Password, PasswordVerifier, network};

/// Most passwords that are checked at once.
const AT_ONCE: usize = 2;
/// Most that wait for that: more than these would wait for seconds.
const WAITING: usize = 200;
/// One client's network may have one there for each so many places that are free: 40 where it is alone, and fewer the more
/// others there are. So a few networks leave room for the next one.
const FREE_FOR_EACH: usize = 4;

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
        let free = WAITING.saturating_sub(shares.values().sum());
        let taken = shares.get(&of).copied().unwrap_or_default();
        (taken * FREE_FOR_EACH < free).then(|| {
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
    told: Arc<Seldom>,
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
        Self { queue, shares: Shares::default(), told: Arc::default() }
    }

    /// Whether the password that came from `client` is the one behind the hash.
    pub(super) async fn is_right(
        &self,
        client: IpAddr,
        password: Password,
        hash: Option<String>,
    ) -> Result<bool, Refusal> {
        let share = Share::take(&self.shares, client).ok_or_else(|| self.too_many(client))?;
        let (right, answer) = oneshot::channel();
        let check = Check { password, hash, right, _share: share };
        self.queue.try_send(check).map_err(|_| self.too_many(client))?;
        answer.await.map_err(|_| Refusal::Unavailable)
    }

    fn too_many(&self, client: IpAddr) -> Refusal {
        if self.told.is_due() {
            tracing::warn!(%client, "so many passwords are to be checked that some are refused");
        }
        Refusal::TooManySignIns
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

    #[tokio::test]
    async fn few_networks_do_not_keep_another_one_out() {
        let (queue, waiting) = mpsc::sync_channel(WAITING);
        let checks = PasswordChecks { queue, shares: Shares::default(), told: Arc::default() };
        let mut taken = Vec::new();
        for n in 0..100 {
            let client = format!("2001:db8::{n:x}").parse().expect("an address");
            let mut check = Box::pin(checks.is_right(client, Password::new("x"), None));
            tokio::select! {
                biased;
                answer = &mut check => assert!(matches!(answer, Err(Refusal::TooManySignIns)), "{answer:?}"),
                () = std::future::ready(()) => taken.push(check),
            }
        }
        assert!((30..100).contains(&taken.len()), "{} of one network", taken.len());
        // Nobody checked before, so no place was free again in between.
        std::thread::spawn(move || work(&Mutex::new(waiting)));
        for check in taken {
            assert!(check.await.is_ok());
        }
        // Whoever comes after six that ask for all has a place, however many they are.
        let all = Shares::default();
        let take = |client: &str| Share::take(&all, client.parse().expect("an address"));
        let mut held = Vec::new();
        for _ in 0..WAITING {
            held.extend((0..6).filter_map(|n| take(&format!("10.0.0.{n}"))));
        }
        assert!(held.len() < WAITING, "{}", held.len());
        let other = take("10.0.1.1").expect("room for somebody else");
        assert!(take("10.0.0.1").is_none());
        drop((held, other));
        assert!(all.lock().is_empty(), "nothing is kept of who asks for nothing");
    }
}

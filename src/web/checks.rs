//! Checks of passwords, on few threads of their own: each takes 19 MiB and some 20 ms, and anybody
//! may ask for one without being signed in.

use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::Refusal;
use crate::access::{Password, PasswordVerifier};

/// Most passwords that are checked at once.
const AT_ONCE: usize = 2;
/// Most that wait for that: more than these would wait for seconds.
const WAITING: usize = 200;

/// One password to be checked.
struct Check {
    password: Password,
    hash: Option<String>,
    right: oneshot::Sender<bool>,
}

/// Who checks. The threads end when this is dropped.
#[derive(Clone)]
pub(super) struct PasswordChecks(mpsc::SyncSender<Check>);

impl PasswordChecks {
    pub(super) fn start() -> Self {
        let (checks, queue) = mpsc::sync_channel(WAITING);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..AT_ONCE {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("liveops-password".to_owned());
            if let Err(error) = thread.spawn(move || work(&queue)) {
                tracing::error!(%error, "no thread for checking passwords could be started");
            }
        }
        Self(checks)
    }

    /// Whether the password is the one behind the hash.
    pub(super) async fn is_right(&self, password: Password, hash: Option<String>) -> Result<bool, Refusal> {
        let (right, answer) = oneshot::channel();
        self.0.try_send(Check { password, hash, right }).map_err(|_| Refusal::Unavailable)?;
        answer.await.map_err(|_| Refusal::Unavailable)
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Check>>) {
    let mut verifier = PasswordVerifier::default();
    loop {
        // One waits in `recv`, the others for the lock.
        let next = queue.lock().recv();
        let Ok(Check { password, hash, right }) = next else { return };
        // Whoever asked may have gone, and what is left in the queue is not worth the work then.
        if !right.is_closed() {
            let _ = right.send(verifier.verify(&password, hash.as_deref()));
        }
    }
}

//! The only place of a server of one worker.

use super::{Client, SLOW};

impl Client {
    /// Takes it, until this operation is cancelled: what is started meanwhile waits, so that nobody comes too late to follow it.
    pub(crate) async fn take_place(&self) -> String {
        let id = self.simulate(SLOW).await;
        self.reaches(&id, "running").await;
        id
    }
}

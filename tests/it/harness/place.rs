//! The only place of a server of one worker.

use super::{Client, Events, SLOW};

impl Client {
    /// Takes it, until this operation is cancelled: what is started meanwhile waits, so that nobody comes too late to follow it.
    pub(crate) async fn take_place(&self) -> String {
        let id = self.simulate(SLOW).await;
        self.reaches(&id, "running").await;
        id
    }

    /// Starts an operation that has to wait for it until there is a stream of it: however quick it is, nothing of it is missed.
    /// Its id, the token from its page, and the stream.
    pub(crate) async fn follow_whole(&self, start: impl Future<Output = String>) -> (String, String, Events) {
        let place = self.take_place().await;
        let id = start.await;
        let page = self.page(&id).await;
        assert_eq!(page.state, "waiting", "the server has one worker");
        let token = page.token.expect("it waits");
        let events = self.stream(&token, None).await;
        assert_eq!(self.command(&place, "cancel").await.status, 303);
        (id, token, events)
    }
}

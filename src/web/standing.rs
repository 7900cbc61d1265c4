//! Ends the open streams of those who may not watch any more, whichever process made it so.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use super::App;
use super::session::Sessions;
use crate::store::{Digest, StoreResult, User};

/// How often it is looked; the contract allows 1 s.
const LOOK: Duration = Duration::from_millis(300);

/// Looks again and again, until the site is gone.
pub(super) async fn watch(app: Weak<App>, sessions: Sessions) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = look(&app, &sessions).await {
            tracing::warn!(%error, "whose streams may go on could not be looked up");
        }
    }
}

/// A session that was ended, by signing out, with a new password or with its user, ends its streams;
/// so does the loss of the required group. Nothing else does, expiry least of all.
async fn look(app: &App, sessions: &Sessions) -> StoreResult<()> {
    let streaming = app.live.streaming_sessions();
    if streaming.is_empty() {
        return Ok(());
    }
    let digests = streaming.iter().map(|session| Digest::of(session)).collect();
    let left: HashMap<Digest, User> = sessions.accounts().sessions_left(digests).await?.into_iter().collect();
    for session in streaming {
        let user = left.get(&Digest::of(&session)).cloned();
        let goes_on =
            user.is_some_and(|user| Sessions::viewer(user, &session).passes(app.required_group.as_deref()));
        if !goes_on {
            app.live.end_streams(&session);
        }
    }
    Ok(())
}

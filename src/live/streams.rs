//! The open streams by session, so that they end with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Ended sessions that are remembered, for streams that were being opened at that moment.
const REMEMBERED: usize = 1024;

/// Who has streams open in this process.
#[derive(Debug, Default)]
pub(super) struct OpenStreams(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<String, Streams>,
    ended: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Streams {
    ended: CancellationToken,
    count: usize,
}

/// One open stream's place among those of its session; given back when it is dropped.
#[derive(Debug)]
pub struct StreamPlace {
    session: String,
    ended: CancellationToken,
    all: Arc<OpenStreams>,
}

impl OpenStreams {
    pub(super) fn enter(self: &Arc<Self>, session: &str) -> StreamPlace {
        let mut sessions = self.0.lock();
        let streams = sessions.open.entry(session.to_owned()).or_default();
        streams.count += 1;
        let ended = streams.ended.clone();
        if sessions.ended.iter().any(|ended| ended == session) {
            ended.cancel();
        }
        StreamPlace { session: session.to_owned(), ended, all: Arc::clone(self) }
    }

    pub(super) fn end(&self, session: &str) {
        let mut sessions = self.0.lock();
        if let Some(streams) = sessions.open.get(session) {
            streams.ended.cancel();
        }
        sessions.ended.push_back(session.to_owned());
        if sessions.ended.len() > REMEMBERED {
            sessions.ended.pop_front();
        }
    }
}

impl StreamPlace {
    /// Waits until the session is over.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut sessions = self.all.0.lock();
        if let Some(streams) = sessions.open.get_mut(&self.session) {
            streams.count -= 1;
            if streams.count == 0 {
                sessions.open.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_its_own_streams_with_it() {
        let all = Arc::new(OpenStreams::default());
        let (mine, other) = (all.enter("mine"), all.enter("other"));
        all.end("mine");
        assert!(mine.ended.is_cancelled() && !other.ended.is_cancelled());
        // One that was being opened meanwhile ends too.
        drop(mine);
        assert!(all.enter("mine").ended.is_cancelled());
    }

    #[test]
    fn nothing_is_kept_of_streams_that_are_closed() {
        let all = Arc::new(OpenStreams::default());
        let places = [all.enter("a"), all.enter("a"), all.enter("b")];
        drop(places);
        assert!(all.0.lock().open.is_empty());
    }
}

//! Opening a stream: the one place where a token is checked, once.

use super::{LiveOps, StreamPlace};
use crate::access::{Channel, Viewer};
use crate::store::StoreError;
use crate::stream::{Cursor, Frame, ListWatch, Subject, Watch};

/// A stream that may be read.
#[derive(Debug)]
pub enum Opened {
    /// The reader has seen the ending already.
    Over,
    /// What it lacks comes from here, until the session's place is lost.
    Stream(Reader, StreamPlace),
}

/// What a stream reads.
#[derive(Debug)]
pub enum Reader {
    /// One operation.
    Operation(Watch),
    /// One user's list.
    List(ListWatch),
}

impl Reader {
    /// The next frame; `None` after the ending.
    pub async fn next(&mut self) -> Option<Frame> {
        match self {
            Self::Operation(watch) => watch.next().await,
            Self::List(watch) => watch.next().await,
        }
    }
}

/// Why a stream was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The token is malformed, forged, expired, somebody else's or for something else. Which of
    /// these is told to nobody.
    #[error("the token does not open this stream")]
    Refused,
    /// The token is for several channels and none was named.
    #[error("the token is for several channels: name one with channel=…")]
    ChannelNeeded,
    /// The user has as many streams open as one user may have.
    #[error("too many streams are open: close another page first")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LiveOps {
    /// Opens the stream that `token` grants to `viewer`, from `cursor` on: signature, expiry, user,
    /// channel and the operation's present owner are checked here, and never again.
    ///
    /// The stream can be ended from now on: whoever ends the viewer's session a moment earlier does
    /// not find it. So ask once more, when this returned, whether the session still stands.
    ///
    /// # Errors
    /// [`OpenError`] says why not.
    pub async fn open(
        &self,
        viewer: &Viewer,
        token: &str,
        channel: Option<&str>,
        cursor: Cursor,
    ) -> Result<Opened, OpenError> {
        let grant = self.0.keys.verify(token, self.0.clock.now()).map_err(|_| OpenError::Refused)?;
        if grant.user != viewer.id {
            return Err(OpenError::Refused);
        }
        let channel = match (channel, grant.channels.as_slice()) {
            (Some(named), covered) => covered.iter().find(|channel| channel.to_string() == named),
            (None, [only]) => Some(only),
            (None, []) => None,
            (None, _) => return Err(OpenError::ChannelNeeded),
        };
        let id = match channel {
            Some(Channel::Operation(id)) => id,
            // Each list is its own user's, whatever a token says.
            Some(Channel::User(user)) if *user == viewer.id => {
                let place = self.0.streams.enter(&viewer.id, &viewer.session).ok_or(OpenError::TooMany)?;
                return Ok(Opened::Stream(Reader::List(self.0.lists.open(user).await?), place));
            }
            _ => return Err(OpenError::Refused),
        };
        let watch = match self.0.hub.watch(*id, cursor) {
            Some(watch) => watch,
            None => {
                let Some(record) = self.0.store.record(*id).await? else {
                    return Err(OpenError::Refused);
                };
                let page = self.stored_page(&record).await?;
                let subject = Subject { id: record.id, kind: record.kind, owner: record.owner };
                self.0.hub.follow(subject, page, cursor)
            }
        };
        if watch.subject().owner != viewer.id {
            return Err(OpenError::Refused);
        }
        if watch.is_over() {
            return Ok(Opened::Over);
        }
        let place = self.0.streams.enter(&viewer.id, &viewer.session).ok_or(OpenError::TooMany)?;
        Ok(Opened::Stream(Reader::Operation(watch), place))
    }
}

//! Who reads a page.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Live, Subject};
use crate::stream::{Cursor, Frame};

/// One reader: a cursor and a wake-up.
#[derive(Debug)]
pub struct Watch {
    live: Arc<Live>,
    cursor: Cursor,
    shown: watch::Receiver<()>,
    /// Nothing was sent yet.
    first: bool,
    over: bool,
}

impl Watch {
    pub(super) fn new(live: Arc<Live>, shown: watch::Receiver<()>, cursor: Cursor) -> Self {
        Self { live, cursor, shown, first: true, over: false }
    }

    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.live.subject
    }

    /// The same reader as one that has seen nothing yet.
    pub fn from_start(self) -> Self {
        Self { cursor: Cursor::START, ..self }
    }

    /// Most lines of the log that its page keeps.
    pub fn log_tail(&self) -> usize {
        self.live.page.lock().projection.log().limit()
    }

    /// Whether the reader has seen the ending already.
    pub fn is_over(&self) -> bool {
        let page = self.live.page.lock();
        page.projection.state().is_final() && page.projection.cursor() == self.cursor
    }

    /// The next frame that the reader lacks: at once where there is one, else when something is
    /// shown. A slow reader gets the present state, not what it missed. `None` after the ending.
    pub async fn next(&mut self) -> Option<Frame> {
        while !self.over {
            self.shown.mark_unchanged();
            if let Some(mut frame) = self.live.frame(self.cursor) {
                if std::mem::take(&mut self.first) && !frame.state {
                    // Each stream tells the state before its first fragment, also one that goes on
                    // from where the state is old news.
                    frame.bytes = [self.live.state_event(frame.cursor), frame.bytes].concat().into();
                }
                self.cursor = frame.cursor;
                self.over = frame.last;
                return Some(frame);
            }
            self.shown.changed().await.ok()?;
        }
        None
    }
}

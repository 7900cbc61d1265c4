//! A flush as the bytes of server-sent events (WHATWG HTML, section 9.2).

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Cursor, Fragment};
use crate::operation::{OperationId, State};

/// One flush, encoded once and shared by every stream that needs it.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The events.
    pub bytes: Bytes,
    /// Where a reader stands after them.
    pub cursor: Cursor,
    /// It tells the state.
    pub state: bool,
    /// Nothing follows: the stream closes.
    pub last: bool,
}

/// Encodes the events of one flush. JSON escapes line breaks, so an event's data is one line.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    events: Vec<(&'static str, String)>,
    state: bool,
    last: bool,
}

impl FrameBuilder {
    /// The operation moved to `state`.
    pub fn state(&mut self, operation: OperationId, state: State) {
        self.push("state", &json!({ "operation": operation, "state": state }));
        self.state = true;
    }

    /// A region changed.
    pub fn fragment(&mut self, fragment: &Fragment) {
        self.push("fragment", &json!(fragment));
    }

    /// The operation handed over to `next`, whose page is at `url`.
    pub fn chain(&mut self, operation: OperationId, next: OperationId, url: &str) {
        self.push("chain", &json!({ "operation": operation, "next": next, "url": url }));
    }

    /// The operation is over; nothing follows.
    pub fn end(&mut self, operation: OperationId, state: State, url: &str, redirect: Option<&str>) {
        self.push(
            "end",
            &json!({ "operation": operation, "state": state, "url": url, "redirect": redirect }),
        );
        self.last = true;
    }

    /// The frame. Only its last event carries the cursor, so that a cut within it loses nothing.
    pub fn finish(self, cursor: Cursor) -> Frame {
        let (state, last) = (self.state, self.last);
        Frame { bytes: self.encode(Some(cursor)), cursor, state, last }
    }

    /// The events without a cursor: what may come before a frame.
    pub fn preface(self) -> Bytes {
        self.encode(None)
    }

    fn encode(&self, cursor: Option<Cursor>) -> Bytes {
        let mut text = String::with_capacity(self.events.iter().map(|(_, data)| data.len() + 64).sum());
        let newest = self.events.len().saturating_sub(1);
        for (index, (event, data)) in self.events.iter().enumerate() {
            let _ = writeln!(text, "event: {event}");
            if let Some(cursor) = cursor.filter(|_| index == newest) {
                let _ = writeln!(text, "id: {cursor}");
            }
            let _ = write!(text, "data: {data}\n\n");
        }
        text.into()
    }

    fn push(&mut self, event: &'static str, data: &Value) {
        self.events.push((event, data.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Swap;

    #[test]
    fn the_exact_bytes() {
        let id: OperationId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("a UUID");
        let mut frame = FrameBuilder::default();
        frame.state(id, State::Succeeded);
        frame.fragment(&Fragment { id: "x".into(), swap: Swap::Outer, html: "<b>\r\n\"é\u{2028}".into() });
        frame.end(id, State::Succeeded, "/operations/1", None);
        let frame = frame.finish(Cursor::new(255, 1, 9));
        assert!(frame.last);
        let expected = "event: state\n\
             data: {\"operation\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\"state\":\"succeeded\"}\n\n\
             event: fragment\n\
             data: {\"id\":\"x\",\"swap\":\"outer\",\"html\":\"<b>\\r\\n\\\"é\u{2028}\"}\n\n\
             event: end\n\
             id: ff-1-9\n\
             data: {\"operation\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\"state\":\"succeeded\",\"url\":\"/operations/1\",\"redirect\":null}\n\n";
        assert_eq!(std::str::from_utf8(&frame.bytes), Ok(expected));
    }
}

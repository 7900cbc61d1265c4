//! A reader of server-sent events that is stricter than browsers are: it takes what our streams promise, and no more.

use std::time::Instant;

use serde_json::Value;

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its type: `state`, `fragment`, `chain`, `end` or `ping`.
    pub name: String,
    /// The cursor, which the last event of a flush carries.
    pub id: Option<String>,
    /// Its data.
    pub data: Value,
    /// When it was read.
    pub at: Instant,
}

impl Event {
    /// The id of a fragment's element.
    pub fn element(&self) -> &str {
        self.text("id")
    }

    /// A fragment's HTML.
    pub fn html(&self) -> &str {
        self.text("html")
    }

    /// A text of its data; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.data[key].as_str().unwrap_or_default()
    }
}

/// Takes a stream's bytes as they come, and gives its events.
///
/// ```
/// use liveops::testing::EventReader;
///
/// let mut reader = EventReader::default();
/// reader.receive(b"retry: 1000\n\nevent: ping\nda");
/// assert!(reader.next_event().is_none());
/// reader.receive(b"ta: {}\n\n");
/// assert_eq!(reader.next_event().map(|event| event.name).as_deref(), Some("ping"));
/// assert_eq!(reader.retries(), [1000]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct EventReader {
    bytes: Vec<u8>,
    retries: Vec<u64>,
}

impl EventReader {
    /// Takes what came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The connection broke: half an event is lost.
    pub fn cut(&mut self) {
        self.bytes.clear();
    }

    /// The values of `retry:` so far.
    pub fn retries(&self) -> &[u64] {
        &self.retries
    }

    /// The next event that is here whole.
    ///
    /// # Panics
    /// When it is not one as the protocol has them.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let block = std::str::from_utf8(&block).expect("a stream is UTF-8");
            if let Some(event) = self.parse(block) {
                return Some(event);
            }
        }
    }

    fn parse(&mut self, block: &str) -> Option<Event> {
        let (mut name, mut id, mut data) = (None, None, None);
        for line in block.trim_end_matches('\n').split('\n').filter(|line| !line.starts_with(':')) {
            assert!(!line.contains('\r'), "a bare CR ends a line too: {line:?}");
            let Some((field, value)) = line.split_once(": ") else { panic!("{line:?} is no field") };
            match field {
                "event" => assert_eq!(name.replace(value.to_owned()), None, "two types: {block:?}"),
                "id" => assert_eq!(id.replace(value.to_owned()), None, "two ids: {block:?}"),
                "data" => assert_eq!(data.replace(value.to_owned()), None, "two data lines: {block:?}"),
                "retry" => self.retries.push(value.parse().expect("retry is in milliseconds")),
                other => panic!("{other:?} is no field of a stream: {block:?}"),
            }
        }
        let data = data?;
        let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error} in {data:?}"));
        Some(Event { name: name.expect("an event has a type"), id, data, at: Instant::now() })
    }
}

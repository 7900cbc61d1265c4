//! A reader of server-sent events that is stricter than browsers are.

use std::time::Instant;

use serde_json::Value;

use super::soon;

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Its type.
    pub(crate) name: String,
    /// Its cursor, where it carries one.
    pub(crate) id: Option<String>,
    /// Its data.
    pub(crate) data: Value,
    /// When it arrived.
    pub(crate) at: Instant,
}

/// An open stream.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// The body's bytes so far.
    pub(crate) raw: Vec<u8>,
    /// The values of `retry:` so far.
    pub(crate) retries: Vec<u64>,
}

impl Event {
    /// A fragment's element.
    pub(crate) fn element(&self) -> &str {
        self.text("id")
    }

    /// A fragment's HTML.
    pub(crate) fn html(&self) -> &str {
        self.text("html")
    }

    /// A text of its data; empty where there is none.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.data[key].as_str().unwrap_or_default()
    }
}

impl Events {
    /// The events of an answer.
    pub(crate) fn new(response: reqwest::Response) -> Self {
        let kind = response.headers()["content-type"].to_str().expect("ASCII");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self { response, buffer: Vec::new(), raw: Vec::new(), retries: Vec::new() }
    }

    /// The answer's headers.
    pub(crate) fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// The next event, pings too; none when the server closed the stream or is gone.
    pub(crate) async fn any(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = self.parse(std::str::from_utf8(&block).expect("UTF-8")) {
                    return Some(event);
                }
                continue;
            }
            let chunk = soon("the next event", self.response.chunk()).await.ok().flatten()?;
            self.raw.extend_from_slice(&chunk);
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next event that says something.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.any().await {
                Some(event) if event.name == "ping" => {}
                event => return event,
            }
        }
    }

    /// Everything up to the close.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Everything up to the first event that `wanted` accepts, that one included.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            let found = wanted(&event);
            events.push(event);
            if found {
                return events;
            }
        }
        panic!("the stream closed before what was waited for; last: {:?}", events.last());
    }

    /// Everything of the first flush.
    pub(crate) async fn first_flush(&mut self) -> Vec<Event> {
        self.until(|event| event.id.is_some()).await
    }

    fn parse(&mut self, block: &str) -> Option<Event> {
        let (mut name, mut id, mut data) = (None, None, None);
        for line in block.trim_end_matches('\n').split('\n').filter(|line| !line.starts_with(':')) {
            assert!(!line.contains('\r'), "a bare CR ends a line too: {line:?}");
            let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?} is no field"));
            match field {
                "event" => assert_eq!(name.replace(value.to_owned()), None, "two types: {block:?}"),
                "id" => assert_eq!(id.replace(value.to_owned()), None, "two ids: {block:?}"),
                "data" => assert_eq!(data.replace(value.to_owned()), None, "two data lines: {block:?}"),
                "retry" => self.retries.push(value.parse().expect("milliseconds")),
                other => panic!("{other:?} is no field of ours: {block:?}"),
            }
        }
        let data = data?;
        let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error} in {data:?}"));
        Some(Event { name: name.expect("an event has a type"), id, data, at: Instant::now() })
    }
}

//! The events of an answer, over TCP.

pub(crate) use liveops::testing::Event;

use std::time::Instant;

use liveops::testing::EventReader;

use super::soon;

/// An open stream.
pub(crate) struct Events {
    response: reqwest::Response,
    reader: EventReader,
    /// When its answer began.
    pub(crate) opened: Instant,
    /// The body's bytes so far.
    pub(crate) raw: Vec<u8>,
}

impl Events {
    /// The events of an answer.
    pub(crate) fn new(response: reqwest::Response) -> Self {
        let kind = response.headers()["content-type"].to_str().expect("ASCII");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self { response, reader: EventReader::default(), opened: Instant::now(), raw: Vec::new() }
    }

    /// The answer's headers.
    pub(crate) fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// The next event, pings too; none when the server closed the stream or is gone.
    pub(crate) async fn any(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.reader.next_event() {
                return Some(event);
            }
            let chunk = soon("the next event", self.response.chunk()).await.ok().flatten()?;
            self.raw.extend_from_slice(&chunk);
            self.reader.receive(&chunk);
        }
    }

    /// The values of `retry:` so far.
    pub(crate) fn retries(&self) -> &[u64] {
        self.reader.retries()
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
}

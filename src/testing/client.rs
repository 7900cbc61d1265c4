//! A page and its stream without a server and without a browser.

use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::Response;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tower::ServiceExt as _;

use super::{Element, Ended, Event, EventReader, PATIENCE, Page};
use crate::access::Viewer;
use crate::live::LiveOps;
use crate::operation::{OperationId, State};
use crate::web::{self, Identify, IdentifyError, WebOptions};

/// Largest page that is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// Somebody who has an operation's page open: it fetches the page, opens its stream, and changes the page by what
/// comes, as the script does. Everything goes through the application's router in this process; no port is opened.
///
/// ```
/// use liveops::operation::State;
/// use liveops::store::Sqlite;
/// use liveops::testing::StreamClient;
/// use liveops::{LiveOps, Operation, Progress, SecretKey, Viewer};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Import { rows: Vec<String> }
///
/// impl Operation for Import {
///     const KIND: &'static str = "import";
///
///     async fn run(self, p: Progress) -> liveops::Result {
///         p.status("Importing rows");
///         for row in p.track(self.rows).unit("rows") {
///             p.log(row?);
///         }
///         p.result("All are in.")
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let live = LiveOps::builder()
///     .store(Sqlite::open(folder.path().join("test.db"))?)
///     .secret_key(SecretKey::new(&[7; 32])?)
///     .operation::<Import>()
///     .start()
///     .await?;
/// let (id, session) = ("42".to_owned(), "s".to_owned());
/// let ada = Viewer { id, name: "Ada".to_owned(), groups: vec![], superuser: false, session };
/// let id = live.start(&ada, Import { rows: vec!["one".into(), "<two>".into()] }).await?;
///
/// let mut client = StreamClient::open(&live, &ada, id).await;
/// client.until("status", |text| text.contains("Importing")).await;
/// assert_eq!(client.end().await.state, State::Succeeded);
/// assert_eq!(client.page().log(), ["one", "<two>"]);
/// assert!(client.page().text("result").contains("All are in."));
/// # Ok(()) }
/// ```
pub struct StreamClient {
    app: Router,
    headers: HeaderMap,
    page: Page,
    reader: EventReader,
    /// The open stream.
    body: Option<BodyDataStream>,
    cursor: Option<String>,
    /// The last events, for whoever waits in vain.
    heard: Vec<String>,
    patience: Duration,
}

/// A host where everybody is the same viewer.
struct Always(Viewer);

#[async_trait]
impl Identify for Always {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(Some(self.0.clone()))
    }
}

impl std::fmt::Debug for StreamClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamClient")
            .field("page", &self.page)
            .field("cursor", &self.cursor)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

impl StreamClient {
    /// Opens the viewer's operation on liveops' own page. The application around it has no part in this; see
    /// [`StreamClient::visit`].
    ///
    /// # Panics
    /// When it is not the viewer's, say, and so there is no page.
    pub async fn open(live: &LiveOps, viewer: &Viewer, id: OperationId) -> Self {
        let router = web::router(live.clone(), Always(viewer.clone()), &WebOptions::default());
        let mount = live.renderer().addresses().at("");
        let app = if mount.is_empty() { router } else { Router::new().nest(&mount, router) };
        Self::visit(&app, &live.renderer().addresses().operation(id), &[]).await
    }

    /// Opens a page of the application that has a live container, with these headers in every request: the cookie of a
    /// session, say. `app` is the whole of the application, so that its own sessions say who the viewer is.
    ///
    /// # Panics
    /// When there is no such page, or it has no live container, or its stream is refused.
    pub async fn visit(app: &Router, page: &str, headers: &[(&str, &str)]) -> Self {
        let header = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("the name of a header");
            (name, HeaderValue::from_str(value).expect("the value of a header"))
        };
        Self::load(app.clone(), page, headers.iter().map(header).collect(), PATIENCE).await
    }

    /// How long each wait may take; a minute by default.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The page as it is now: what came until the last wait was over.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Where it stands in its stream, once a whole flush came.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The next event, which is on the page then; none where the stream is closed.
    ///
    /// # Panics
    /// When nothing comes in time.
    pub async fn next_event(&mut self) -> Option<Event> {
        let until = Instant::now() + self.patience;
        self.event_by(until, &|_| "the next event".to_owned()).await
    }

    /// Reads on until the text of a region is as `wanted`.
    ///
    /// # Panics
    /// When that does not happen in time, or before the stream ends: with what there was.
    pub async fn until(&mut self, region: &str, wanted: impl Fn(&str) -> bool) {
        let what = |page: &Page| match page.region(region) {
            Some(there) => format!("the region {region:?} to be as wanted: it is {:?}", there.text()),
            None => format!("the region {region:?}: there are {}", page.region_names().join(", ")),
        };
        self.wait(|page| page.region(region).is_some_and(|region| wanted(&region.text())), what).await;
    }

    /// Reads on until the operation is in that state. One that passes quickly may never be shown.
    ///
    /// # Panics
    /// As [`StreamClient::until`].
    pub async fn state(&mut self, state: State) {
        let what = |page: &Page| format!("the state {state:?}: it is {:?}", page.state());
        self.wait(|page| page.state() == Some(state), what).await;
    }

    /// Reads on to the end, and says how it ended.
    ///
    /// # Panics
    /// As [`StreamClient::until`].
    pub async fn end(&mut self) -> Ended {
        self.wait(|page| page.ended().is_some(), |page| format!("the end: it is {:?}", page.state())).await;
        self.page.ended().expect("it was waited for")
    }

    /// Closes the stream: as if the network were gone.
    pub fn disconnect(&mut self) {
        self.body = None;
        self.reader.cut();
    }

    /// Opens the stream anew from where it was. The answer's status is 200, or 204 where there is nothing more to come; what
    /// is refused is 403.
    pub async fn reconnect(&mut self) -> StatusCode {
        self.disconnect();
        self.connect().await.0
    }

    /// The page of the operation that this one handed over to.
    ///
    /// # Panics
    /// When it did not, or not yet.
    pub async fn next_page(&self) -> Self {
        let next = self.page.ended().and_then(|ended| ended.next);
        let next = next.expect("the operation handed over to another one");
        Self::load(self.app.clone(), &next, self.headers.clone(), self.patience).await
    }

    async fn load(app: Router, page: &str, headers: HeaderMap, patience: Duration) -> Self {
        let (status, html) = read(ask(&app, page, &headers, None).await).await;
        assert_eq!(
            status,
            StatusCode::OK,
            "{page} was answered by {status}: {:.300}",
            Element::parse(&html).text()
        );
        let page = Page::parse(&html);
        let (reader, heard) = (EventReader::default(), Vec::new());
        let mut client = Self { app, headers, page, reader, body: None, cursor: None, heard, patience };
        if client.page.ended().is_none() {
            let (status, text) = client.connect().await;
            assert!(status.is_success(), "the stream was answered by {status}: {text}");
        }
        client
    }

    /// Opens the stream that the page names; what is no stream is answered with its text.
    async fn connect(&mut self) -> (StatusCode, String) {
        let read_attribute =
            |name: &str| self.page.attribute(&format!("data-liveop-{name}")).unwrap_or_default();
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", &read_attribute("token"))
            .append_pair("channel", &read_attribute("channel"))
            .finish();
        let address = format!("{}?{query}", read_attribute("stream"));
        let response = ask(&self.app, &address, &self.headers, self.cursor.as_deref()).await;
        if response.status() != StatusCode::OK {
            return read(response).await;
        }
        self.body = Some(response.into_body().into_data_stream());
        (StatusCode::OK, String::new())
    }

    async fn wait(&mut self, reached: impl Fn(&Page) -> bool, what: impl Fn(&Page) -> String) {
        let until = Instant::now() + self.patience;
        while !reached(&self.page) {
            // What a flush brings belongs together, and its last event carries the cursor.
            loop {
                match self.event_by(until, &what).await {
                    Some(event) if event.id.is_none() => {}
                    Some(_) => break,
                    None if reached(&self.page) => return,
                    None => panic!(
                        "the stream closed before {}; last events: {:#?}",
                        what(&self.page),
                        self.heard
                    ),
                }
            }
        }
    }

    async fn event_by(&mut self, until: Instant, what: &impl Fn(&Page) -> String) -> Option<Event> {
        loop {
            if let Some(event) = self.reader.next_event() {
                self.take(&event);
                return Some(event);
            }
            let body = self.body.as_mut()?;
            let Ok(chunk) = tokio::time::timeout_at(until, body.next()).await else {
                let Self { patience, page, heard, .. } = &*self;
                panic!("waited {patience:?} in vain for {}; last events: {heard:#?}", what(page))
            };
            match chunk {
                Some(Ok(bytes)) => self.reader.receive(&bytes),
                _ => self.body = None,
            }
        }
    }

    fn take(&mut self, event: &Event) {
        self.page.apply(event);
        if let Some(cursor) = &event.id {
            self.cursor = Some(cursor.clone());
        }
        if self.heard.len() == 10 {
            self.heard.remove(0);
        }
        let data: String = event.data.to_string().chars().take(300).collect();
        self.heard.push(format!("{} {data}", event.name));
    }
}

async fn ask(app: &Router, address: &str, headers: &HeaderMap, cursor: Option<&str>) -> Response {
    let mut request = Request::get(address);
    if let Some(cursor) = cursor {
        request = request.header("last-event-id", cursor);
    }
    let mut request = request.body(Body::empty()).expect("the address of a page");
    request.headers_mut().extend(headers.clone());
    match app.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn read(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = to_bytes(response.into_body(), LARGEST).await.expect("the answer is read to its end");
    (status, String::from_utf8_lossy(&body).into_owned())
}

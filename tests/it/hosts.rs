//! Streams in the words of htmx and of Datastar, over TCP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use liveops::LiveOps;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::{Ask, Client, Event, Server, attribute, soon};

#[expect(dead_code, reason = "its `main` listens at a port of its own choice")]
#[path = "../../examples/hosts/main.rs"]
mod example;

pub(crate) use example::Library;

/// The example with pages of a library, at a free port. It ends when this is dropped.
pub(crate) struct Host {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// What it has of liveops.
    pub(crate) live: LiveOps,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    _folder: TempDir,
}

impl Host {
    /// Opens it, with tokens that last for so long.
    pub(crate) async fn open(library: Library, scripts: &[PathBuf], token_ttl: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let setup = example::Setup {
            library,
            scripts,
            database: &folder.path().join("host.db"),
            token_ttl,
            stop: CancellationToken::new(),
        };
        let (app, live) = example::app(setup).await.expect("it starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, live, server, _folder: folder }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const HOSTILE: &str =
    "</div><img src=x onerror=alert(1)>\" hx-get=\"/x\" data-init=\"x\" \u{2028}<tr hx-swap-oob=true>";

/// One event in whatever words: its name, its cursor, its data.
type Told = (String, Option<String>, String);

/// Reads a stream to its end.
async fn read(client: &Client, token: &str, more: &str) -> Vec<Told> {
    let stream = client.open(Ask::get(&format!("/stream?token={token}{more}"))).await;
    assert_eq!(stream.status(), 200);
    let text = soon("the stream's end", stream.text()).await.expect("it ends");
    let mut events = Vec::new();
    for block in text.split_terminator("\n\n") {
        let of = |field: &'static str| block.lines().filter_map(move |line| line.strip_prefix(field));
        let Some(name) = of("event: ").next() else { continue };
        let data = of("data: ").collect::<Vec<_>>().join("\n");
        events.push((name.to_owned(), of("id: ").next().map(str::to_owned), data));
    }
    events
}

/// The fragments of a stream in our own words.
fn fragments(events: &[Told]) -> Vec<Value> {
    let fragments = events.iter().filter(|(name, ..)| name == "fragment");
    fragments.map(|(.., data)| serde_json::from_str(data).expect("JSON")).collect()
}

/// One that failed, so that there is something in all of its regions, and a token of when it waited: for a server of one worker.
async fn failed(client: &Client) -> (String, String) {
    let place = client.take_place().await;
    let fields =
        [("steps", "40"), ("delay_ms", "20"), ("log_every", "1"), ("message", HOSTILE), ("outcome", "error")];
    let id = client.simulate(&fields).await;
    let token = client.page(&id).await.token.expect("it waits");
    client.command(&place, "cancel").await;
    client.finished(&id).await;
    (id, token)
}

#[tokio::test]
async fn the_words_are_others_and_what_is_said_is_the_same() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    // It is over, so that each stream is one flush of the same regions.
    let (_, token) = failed(&client).await;
    let ours = read(&client, &token, "").await;
    let whole = fragments(&ours);
    assert!(whole.len() >= 8 && ours.iter().any(|(.., data)| data.contains("&lt;img src=x")), "{ours:?}");

    let htmx = read(&client, &token, "&as=htmx").await;
    let names =
        |events: &[Told]| events.iter().map(|(name, id, _)| (name.clone(), id.clone())).collect::<Vec<_>>();
    assert_eq!(names(&htmx), names(&ours));
    let swaps: Vec<_> = htmx.iter().filter(|(name, ..)| name == "fragment").collect();
    for (fragment, (.., data)) in whole.iter().zip(&swaps) {
        let swap = format!(" hx-swap-oob=\"outerHTML:#{}\"", fragment["id"].as_str().expect("text"));
        assert_eq!(data.matches(&swap).count(), 1, "{data}");
        assert_eq!(data.replacen(&swap, "", 1), fragment["html"], "nothing else was changed");
    }
    let (end, cursor, _) = htmx.last().expect("an end");
    assert_eq!(end, "end");
    // EventSource comes back with the cursor, and has to stay away then.
    let again = Ask::get(&format!("/stream?token={token}&as=htmx"));
    let again = again.header("last-event-id", cursor.as_deref().expect("a cursor"));
    assert_eq!(client.open(again).await.status(), 204);

    let datastar = read(&client, &token, "&as=datastar&datastar=%7B%7D").await;
    assert!(datastar.iter().all(|(name, ..)| name.starts_with("datastar-patch-")), "{datastar:?}");
    let patches: Vec<_> = datastar.iter().filter(|(name, ..)| name.ends_with("elements")).collect();
    assert_eq!(patches.len(), whole.len());
    for (fragment, (.., data)) in whole.iter().zip(&patches) {
        let lines: Option<Vec<_>> = data.lines().map(|line| line.strip_prefix("elements ")).collect();
        assert_eq!(lines.expect("HTML and nothing else").join("\n"), fragment["html"]);
    }
    let (_, cursor, data) = datastar.last().expect("an end");
    assert!(cursor.is_some() && data.contains("{\"_liveop\":{\"end\":{"), "{data}");
}

/// Neither library replaces what it has when it is sent again, so nothing is.
#[tokio::test]
async fn whoever_comes_back_gets_everything_anew() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "100000"), ("delay_ms", "10"), ("log_every", "1")]).await;
    let token = client.page(&id).await.token.expect("it runs");
    let mut events = client.stream(&token, None).await;
    let is_line = |event: &Event| event.element().ends_with("-log-lines") && event.text("swap") == "append";
    let until = soon("a line", events.until(is_line)).await;
    let cursor = until.iter().rev().find_map(|event| event.id.clone()).expect("a cursor");
    let mut stream = client
        .open(Ask::get(&format!("/stream?token={token}&as=htmx")).header("last-event-id", &cursor))
        .await;
    let mut text = String::new();
    while !text.contains("beforeend:") {
        let piece = soon("a line by append", stream.chunk()).await.expect("read").expect("it goes on");
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    for region in ["stages", "log-lines", "controls"] {
        let whole = format!("hx-swap-oob=\"outerHTML:#op-{id}-{region}\"");
        let at = text.find(&whole).unwrap_or_else(|| panic!("{region} in {text}"));
        assert!(at < text.find("beforeend:").expect("seen"), "{text}");
    }
    client.command(&id, "cancel").await;
}

#[tokio::test]
async fn they_are_opened_like_all_others() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let (_, token) = failed(&client).await;
    for unknown in ["", "HTMX", "html"] {
        let answer = client.get(&format!("/stream?token={token}&as={unknown}")).await;
        let line = "as= is htmx or datastar, or left out\n".to_owned();
        assert_eq!((answer.status, answer.text()), (400, line), "{unknown}");
    }
    let list = client.get("/operations").await.text();
    let of_list = attribute(&list, "<section", "data-liveop-token").expect("a token");
    for name in ["htmx", "datastar"] {
        let answer = client.get(&format!("/stream?token={of_list}&as={name}")).await;
        assert_eq!((answer.status, answer.text()), (400, "as= is for streams of operations\n".to_owned()));
        let forged = client.get(&format!("/stream?token={token}x&as={name}")).await;
        assert_eq!((forged.status, forged.text()), (403, client.get("/stream?token=x").await.text()));
        let stranger = Client::new(server.address);
        assert_eq!(stranger.get(&format!("/stream?token={token}&as={name}")).await.status, 401);
    }
}

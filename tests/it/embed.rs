//! The example of an application that embeds the library, over TCP.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, Ask, Client, attribute, hidden_inputs, soon, until};

#[expect(dead_code, reason = "its `main` listens at a port of its own choice")]
#[path = "../../examples/embed/main.rs"]
mod example;

/// The example, at a free port. It ends when this is dropped.
pub(crate) struct Shop {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// Shuts it down.
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    _folder: TempDir,
}

impl Shop {
    /// Opens it.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stop = CancellationToken::new();
        let app = example::app(&folder.path().join("shop.db"), stop.clone()).await;
        let (app, _) = app.expect("it starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stopping = stop.clone().cancelled_owned();
        let server =
            tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopping).await });
        Self { address, stop, server, _folder: folder }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Somebody who is signed in, with the token of their forms.
async fn signed_in(shop: &Shop) -> (Client, String) {
    let client = Client::new(shop.address);
    client.send(Ask::post("/sign-in").form(&[("name", "ada"), ("password", "lovelace")])).await.location();
    let home = client.get("/").await.text();
    let fields = hidden_inputs(&home, "action=\"/imports\"").expect("the form");
    (client, fields[0].1.clone())
}

async fn import(client: &Client, csrf: &str, count: usize) -> Answer {
    let customers = (1..=count).map(|n| format!("Customer {n}\n")).collect::<String>();
    client.send(Ask::post("/imports").form(&[("csrf", csrf), ("customers", &customers)])).await
}

/// Opens the stream of a page.
async fn follow(client: &Client, page: &str) -> reqwest::Response {
    let [path, token] = ["stream", "token"]
        .map(|name| attribute(page, "<section", &format!("data-liveop-{name}")).expect("a live container"));
    assert!(path.starts_with("/live/"), "{path}");
    client.open(Ask::get(&format!("{path}?token={token}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_live_in_the_applications_own_page_until_its_sign_out() {
    let shop = Shop::open().await;
    let (client, csrf) = signed_in(&shop).await;
    assert_eq!(import(&client, "wrong", 1).await.status, 403);
    // It takes a second: where the machine stood still for so long, its page was too late, and another one is looked at.
    let page = until("the page of an import that runs", async || {
        let page = client.get(import(&client, &csrf, 50).await.location()).await;
        page.text().contains("data-liveop-token").then_some(page)
    })
    .await;
    assert!(page.header("content-security-policy").contains("trusted-types liveops"));
    let stream = follow(&client, &page.text()).await.text().await.expect("its end");
    assert!(stream.contains("\"state\":\"succeeded\"") && stream.contains("Customer 50"), "{stream}");
    // It goes on for longer than the test waits.
    let page = client.get(import(&client, &csrf, 5000).await.location()).await.text();
    let stream = follow(&client, &page).await;
    assert_eq!(stream.status(), 200);
    client.send(Ask::post("/sign-out").form(&[("csrf", &csrf)])).await.location();
    soon("the stream's end", stream.text()).await.expect("the stream ended");
    assert_eq!(follow(&client, &page).await.status(), 401);
}

/// What leads to an operation leads to the application's own page of it.
#[tokio::test(flavor = "multi_thread")]
async fn links_and_redirects_lead_to_the_applications_own_page() {
    let shop = Shop::open().await;
    let (client, csrf) = signed_in(&shop).await;
    let page = import(&client, &csrf, 5000).await.location().to_owned();
    let id = page.strip_prefix("/imports/").expect("the application's own page");
    let html = client.get(&page).await.text();
    // With a slash at its end too, and from our pages there is a way back.
    for path in ["/live", "/live/"] {
        assert_eq!(client.get(path).await.location(), "/live/operations", "{path}");
    }
    let list = client.get("/live/operations").await.text();
    assert!(list.contains("<a class=\"site-brand\" href=\"/\"><bdi>The shop</bdi></a>"), "{list}");
    assert!(list.contains(&format!("<a href=\"{page}\"")), "{list}");
    // The script's page has to have a container and a token whatever the application answers.
    let ours = attribute(&html, "<section", "data-liveop-page").expect("a live container");
    assert_eq!(ours, format!("/live/operations/{id}"));
    let stream = follow(&client, &html).await;
    let cancel = format!("{ours}/cancel");
    let refused = client.send(Ask::post(&cancel)).await;
    let back = attribute(&refused.text(), "<a class=\"liveop-button liveop-primary\"", "href");
    assert_eq!((refused.status, back.as_deref()), (403, Some(&*page)), "{}", refused.text());
    let fields = hidden_inputs(&html, &format!("action=\"{cancel}\"")).expect("its form");
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(client.send(Ask::post(&cancel).form(&fields)).await.location(), page);
    let stream = soon("the end", stream.text()).await.expect("the stream ended");
    assert!(stream.contains(&format!("\"state\":\"cancelled\",\"url\":\"{page}\"")), "{stream}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_what_is_watched() {
    let mut shop = Shop::open().await;
    let (client, csrf) = signed_in(&shop).await;
    let page = client.get(import(&client, &csrf, 5000).await.location()).await.text();
    let stream = follow(&client, &page).await;
    shop.stop.cancel();
    soon("the stream's end", stream.text()).await.expect("the stream ended");
    soon("the server's end", &mut shop.server).await.expect("no panic").expect("it served");
}

//! Uploads in an application of its own: they are found at the addresses where it is mounted, and go with a chain.

use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, header};
use liveops::operation::{OperationId, Upload};
use liveops::store::Sqlite;
use liveops::testing::StreamClient;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Reads two files, and hands one of them over.
#[derive(Serialize, Deserialize)]
struct Merge {
    left: Upload,
    right_hand: Option<Upload>,
}

impl Operation for Merge {
    const KIND: &'static str = "merge";

    async fn run(mut self, p: Progress) -> liveops::Result {
        match self.right_hand.take() {
            Some(left) => p.chain_to(&Self { left, right_hand: None }),
            None => Ok(Outcome::default()),
        }
    }
}

fn viewer(id: &str) -> Viewer {
    let (id, name) = (id.to_owned(), id.to_owned());
    Viewer { id, name, groups: Vec::new(), superuser: false, session: String::new() }
}

/// Takes whoever the header names.
struct Named;

#[async_trait]
impl Identify for Named {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(parts.headers.get("x-name").and_then(|name| name.to_str().ok()).map(viewer))
    }
}

/// The status, the type and the body.
async fn get(app: &Router, who: &str, path: &str) -> (u16, String, String) {
    let request = Request::get(path).header("x-name", who).body(Body::empty()).expect("a request");
    let answer = tower::ServiceExt::oneshot(app.clone(), request).await.expect("an answer");
    let status = answer.status().as_u16();
    let kind =
        answer.headers().get(header::CONTENT_TYPE).expect("a type").to_str().expect("ASCII").to_owned();
    let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
    (status, kind, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_found_where_the_application_mounts_them_and_go_with_a_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = LiveOps::builder()
        .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .uploads(folder.path().join("uploads"))
        .operation::<Merge>()
        .mount("/live")
        .page_at("/merges/{id}")
        .start()
        .await
        .expect("it starts");
    let app = Router::new().nest("/live", web::router(live.clone(), Named, &WebOptions::default()));
    let (mut files, mut uploads) = (Vec::new(), Vec::new());
    for (name, content) in [("a&b.csv", "left"), ("", "right")] {
        let mut file = live.receive(name).await.expect("a file");
        file.write(content.as_bytes()).await.expect("it is written");
        uploads.push(file.complete().await.expect("it is durable"));
        files.push(file);
    }
    let input = json!({ "left": uploads[0], "right_hand": uploads[1] });
    let ada = viewer("ada");
    let first = live.run(&ada, "merge", input, files).await.expect("it is started");
    StreamClient::open(&live, &ada, first).await.end().await;
    let record = live.view(&ada, first).await.expect("the store").expect("hers").record;
    let next = record.ending.and_then(|ending| ending.next).expect("it handed over");
    StreamClient::open(&live, &ada, next).await.end().await;

    let at = |id: OperationId, field: &str| format!("/live/operations/{id}/uploads/{field}");
    let page =
        async |id| live.page(&ada, id).await.expect("the store").expect("hers").operation().expect("HTML");
    let html = page(first).await;
    for link in [
        format!("<a href=\"{}\" download><bdi>a&amp;b.csv</bdi></a> (4 bytes),", at(first, "left")),
        format!("<a href=\"{}\" download><bdi>uploaded file</bdi></a> (5 bytes)", at(first, "right_hand")),
    ] {
        assert!(html.contains(&link), "{link} in {html}");
    }
    let html = page(next).await;
    assert!(html.contains(&at(next, "left")) && !html.contains(&at(next, "right_hand")), "{html}");
    for (id, field, content) in
        [(first, "left", "left"), (first, "right_hand", "right"), (next, "left", "right")]
    {
        let (status, kind, body) = get(&app, "ada", &at(id, field)).await;
        assert_eq!(
            (status, kind.as_str(), body.as_str()),
            (200, "application/octet-stream", content),
            "{field}"
        );
    }
    for (who, path) in [("bob", at(first, "left")), ("ada", at(next, "right_hand"))] {
        let (status, kind, _) = get(&app, who, &path).await;
        assert_eq!((status, kind.as_str()), (404, "text/html; charset=utf-8"), "{path} for {who}");
    }
    live.shutdown(Duration::ZERO).await;
}

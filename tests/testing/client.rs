//! The stream client: the page that a browser would have, in the test's own process.

use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use liveops::operation::{OperationId, Outcome, State};
use liveops::progress::Html;
use liveops::store::Sqlite;
use liveops::testing::{ManualClock, Recorder, StreamClient};
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Operation, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};

/// Does what its name says, once the one of that name in the folder is there.
#[derive(Serialize, Deserialize)]
struct Act {
    name: String,
    gate: std::path::PathBuf,
}

impl Act {
    /// Waits for the test.
    async fn pass(&self, p: &Progress, gate: &str) -> liveops::Result<()> {
        while !self.gate.join(gate).exists() {
            p.check_cancelled()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Operation for Act {
    const KIND: &'static str = "act";

    async fn run(self, p: Progress) -> liveops::Result {
        p.status("Begun <here>");
        p.log("one");
        p.html("chart", Html::trusted("<i>first</i>"))?;
        self.pass(&p, "go").await?;
        p.append("chart", Html::trusted("<i>second</i>"))?;
        for n in 0..300 {
            p.log(format!("line {n}"));
        }
        p.status("Almost");
        self.pass(&p, "end").await?;
        match self.name.as_str() {
            "chain" => p.chain_to(&Self { name: "plain".into(), ..self }),
            _ => Outcome::result("<b>all</b>").redirect("/done").into(),
        }
    }
}

struct Home {
    live: LiveOps,
    clock: ManualClock,
    folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::default();
        let live = LiveOps::builder()
            .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .uploads(folder.path().join("uploads"))
            .mount("/live")
            .operation::<Act>()
            .clock(clock.clone())
            .start()
            .await
            .expect("it starts");
        Self { live, clock, folder }
    }

    async fn start(&self, name: &str) -> OperationId {
        let act = Act { name: name.into(), gate: self.folder.path().to_owned() };
        self.live.start(&ada(), act).await.expect("started")
    }

    async fn open(&self, id: OperationId) -> StreamClient {
        StreamClient::open(&self.live, &ada(), id).await
    }

    fn let_pass(&self, gate: &str) {
        std::fs::write(self.folder.path().join(gate), "").expect("a gate");
    }

    /// An application with sessions of its own.
    fn app(&self) -> Router {
        Router::new().nest("/live", web::router(self.live.clone(), Cookies, &WebOptions::default()))
    }
}

/// The cookie is the session.
struct Cookies;

#[async_trait::async_trait]
impl Identify for Cookies {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        let is_ada = parts.headers.get(header::COOKIE).is_some_and(|cookie| cookie == "session=ada");
        Ok(is_ada.then(ada))
    }
}

fn ada() -> Viewer {
    Viewer {
        id: "1".into(),
        name: "Ada".into(),
        groups: Vec::new(),
        superuser: false,
        session: "of ada".into(),
    }
}

#[tokio::test]
async fn the_page_follows_the_operation_to_its_end() {
    let home = Home::new().await;
    let mut client = home.open(home.start("plain").await).await;
    client.until("status", |text| text.contains("Begun <here>")).await;
    client.until("chart", |text| text == "first").await;
    assert_eq!((client.page().state(), client.page().log()), (Some(State::Running), vec!["one".to_owned()]));
    home.let_pass("go");
    client.until("status", |text| text.contains("Almost")).await;
    assert!(client.cursor().is_some());
    assert_eq!(client.page().text("chart"), "first second");
    // The tail of the log, as the script trims it.
    assert_eq!(client.page().line_numbers(), (102..=301).collect::<Vec<_>>());
    assert_eq!(client.page().log().last().map(String::as_str), Some("line 299"));
    home.let_pass("end");
    let ended = client.end().await;
    assert_eq!((ended.state, ended.redirect.as_deref(), ended.next), (State::Succeeded, Some("/done"), None));
    // Who saw the end sees the result that came with it.
    assert!(client.page().text("result").contains("<b>all</b>"), "{client:?}");
    assert!(client.next_event().await.is_none(), "the stream is closed");
    assert_eq!(client.page().repeated_lines(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_that_of_a_reload() {
    let home = Home::new().await;
    let id = home.start("plain").await;
    let mut client = home.open(id).await;
    client.until("status", |text| text.contains("Begun")).await;
    home.let_pass("go");
    home.let_pass("end");
    let ended = client.end().await;
    let mut reloaded = home.open(id).await;
    assert_eq!(reloaded.end().await, ended);
    for region in ["stages", "status", "progress", "log-more", "log-lines", "result", "extra", "chart"] {
        assert!(client.page().region(region).is_some(), "{region}");
        assert_eq!(client.page().region(region), reloaded.page().region(region));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_from_its_cursor() {
    let home = Home::new().await;
    let mut client = home.open(home.start("plain").await).await;
    client.until("status", |text| text.contains("Begun")).await;
    client.disconnect();
    assert!(client.next_event().await.is_none());
    home.let_pass("go");
    assert_eq!(client.reconnect().await, StatusCode::OK);
    client.until("status", |text| text.contains("Almost")).await;
    assert_eq!(client.page().line_numbers().len(), 200);
    // A page that is older than its token opens no stream any more.
    home.clock.advance(Duration::from_secs(301));
    assert_eq!(client.reconnect().await, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_end_gets_nothing_more() {
    let home = Home::new().await;
    let mut client = home.open(home.start("plain").await).await;
    home.let_pass("go");
    home.let_pass("end");
    client.end().await;
    assert!(client.cursor().is_some());
    assert_eq!(client.reconnect().await, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_leads_to_the_next_page() {
    let home = Home::new().await;
    let mut client = home.open(home.start("chain").await).await;
    home.let_pass("go");
    home.let_pass("end");
    assert!(client.end().await.next.is_some_and(|next| next.starts_with("/live/operations/")));
    let mut next = client.next_page().await;
    assert_eq!(next.end().await.redirect.as_deref(), Some("/done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_own_sessions_say_who_looks() {
    let home = Home::new().await;
    let (app, id) = (home.app(), home.start("plain").await);
    let cookie = [("cookie", "session=ada")];
    let mut client = StreamClient::visit(&app, &home.live.url(id), &cookie).await;
    client.until("status", |text| text.contains("Begun")).await;
    assert!(home.live.cancel(&ada(), id).await.expect("the store"));
    client.state(State::Cancelled).await;
    // With all that came in the same flush.
    assert!(client.page().text("status").contains("Cancelled"), "{client:?}");
    assert_eq!(client.end().await.state, State::Cancelled);
    let stranger = tokio::spawn(async move {
        StreamClient::visit(&app, &format!("/live/operations/{id}"), &[("cookie", "session=eve")]).await;
    });
    assert!(stranger.await.is_err_and(|error| error.is_panic()), "no page, no client");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_followed_too() {
    let home = Home::new().await;
    let mut client = StreamClient::visit(&home.app(), "/live/operations", &[("cookie", "session=ada")]).await;
    assert_eq!(client.page().text("rows"), "");
    let id = home.start("plain").await;
    client.until("rows", |text| text.contains("Begun <here>")).await;
    assert!(client.page().document().find(&format!("op-{id}-row")).is_some());
    home.let_pass("go");
    home.let_pass("end");
    client.until("rows", |text| text.contains("Done")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "Begun <here>")]
async fn who_waits_in_vain_is_told_what_there_was() {
    let home = Home::new().await;
    let mut client = home.open(home.start("plain").await).await;
    client.until("status", |text| text.contains("Begun")).await;
    client = client.patience(Duration::from_millis(200));
    client.until("status", |text| text.contains("Almost")).await;
}

#[test]
fn a_recording_has_the_page_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let act = Act { name: "plain".into(), gate: folder.path().to_owned() };
    let seen = Recorder::new().cancel_after(3).run(act);
    assert_eq!(seen.state(), State::Cancelled);
    let page = seen.page();
    assert_eq!((page.state(), page.log()), (Some(State::Cancelled), vec!["one".to_owned()]));
    assert!(page.text("status").contains("Begun <here>") && page.text("extra") == "first", "{page:?}");
}

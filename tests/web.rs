//! The router without a server: kinds that are for a group, and streams that end while they open.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, header};
use jiff::Timestamp;
use liveops::live::NotStarted;
use liveops::operation::{Field, OperationId, State};
use liveops::store::{Accounts, Digest, Filter, Sqlite, User};
use liveops::testing::StreamClient;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Operation, Outcome, Progress, SecretKey, Viewer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

/// For everybody; runs until it is cancelled.
#[derive(Serialize, Deserialize)]
struct Open {}

impl Operation for Open {
    const KIND: &'static str = "open";

    async fn run(self, p: Progress) -> liveops::Result {
        let cancelled = p.cancelled().await;
        Err(cancelled.into())
    }
}

/// For operators only; over at once.
#[derive(Serialize, Deserialize)]
struct Closed {}

impl Operation for Closed {
    const KIND: &'static str = "closed";
    const GROUP: Option<&'static str> = Some("operators");

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

/// For a group of its own; its label panics for one of its inputs.
#[derive(Serialize, Deserialize)]
struct Unlabelled {
    name: String,
}

impl Operation for Unlabelled {
    const KIND: &'static str = "unlabelled";
    const GROUP: Option<&'static str> = Some("unlabelled");

    fn fields() -> Vec<Field> {
        vec![Field::text("name", "Name")]
    }

    fn label(&self) -> String {
        assert!(self.name != "bad", "a detail that is nobody’s business");
        self.name.clone()
    }

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

struct Home {
    live: LiveOps,
    accounts: Arc<Sqlite>,
    _folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
        let live = LiveOps::builder()
            .store(store.clone())
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .operation::<Open>()
            .operation::<Closed>()
            .operation::<Coded>()
            .operation::<Unlabelled>()
            .start()
            .await
            .expect("it starts");
        Self { live, accounts: Arc::new(store), _folder: folder }
    }

    /// A user with a session that is called like them.
    async fn user(&self, name: &str, groups: &[&str], superuser: bool) -> Viewer {
        let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
        let (id, session) = (format!("id-{name}"), name.to_owned());
        let user = User { id, name: name.to_owned(), groups: groups.clone(), superuser, password_hash: None };
        let (now, hour) = (Timestamp::now(), Duration::from_secs(3600));
        self.accounts.add_user(user.clone(), now).await.expect("added");
        let opened = self.accounts.open_session(Digest::of(&session), &user, now + hour, now).await;
        assert!(opened.expect("the store"));
        Viewer { id: user.id, name: user.name, groups, superuser, session }
    }
}

/// An answer to somebody, read whole: a stream must not be asked for by it.
async fn ask(site: &Router, who: &str, method: &str, path: &str, form: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::COOKIE, format!("liveops_session={who}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .expect("a request");
    let response = site.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

/// The CSRF token of a page.
fn csrf(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"liveops-csrf\" content=\"").expect("a token");
    rest.split('"').next().unwrap_or("").to_owned()
}

async fn finished(live: &LiveOps, viewer: &Viewer, id: OperationId) {
    StreamClient::open(live, viewer, id).await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_for_a_group_is_there_for_members_and_superusers_only() {
    let home = Home::new().await;
    let site = web::site(home.live.clone(), home.accounts.clone(), &WebOptions::default());
    let member = home.user("member", &["x", "operators"], false).await;
    home.user("root", &[], true).await;
    let outsider = home.user("outsider", &["Operators"], false).await;
    for (who, may) in [("member", true), ("root", true), ("outsider", false)] {
        let (_, catalogue) = ask(&site, who, "GET", "/", "").await;
        assert!(catalogue.contains("/operations/new/open"), "{who}");
        assert_eq!(catalogue.contains("/operations/new/closed"), may, "{who}");
        assert_eq!(catalogue.contains("for <bdi>operators</bdi>"), may, "{who} is told why");
        assert!(!catalogue.contains("site-last"), "{who} started nothing yet, whatever others did");
        let (status, form) = ask(&site, who, "GET", "/operations/new/closed", "").await;
        assert_eq!(status, if may { StatusCode::OK } else { StatusCode::NOT_FOUND }, "{who}");
        let token = format!("csrf_token={}", csrf(&catalogue));
        let (status, _) = ask(&site, who, "POST", "/operations/new/closed", &token).await;
        assert_eq!(status, if may { StatusCode::SEE_OTHER } else { StatusCode::NOT_FOUND }, "{who}");
        if !may {
            // As if it were not there at all.
            let (_, unknown) = ask(&site, who, "GET", "/operations/new/unknown", "").await;
            assert_eq!(form, unknown);
        }
    }
    let refused = home.live.start(&outsider, Closed {}).await;
    assert!(matches!(refused, Err(NotStarted::NoKind(_))), "{refused:?}");
    assert!(home.live.list(&outsider, &Filter::default(), 1).await.expect("the store").records.is_empty());
    home.live.start(&member, Closed {}).await.expect("started");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_the_group_sees_what_they_did_but_does_not_run_it_again() {
    let home = Home::new().await;
    let site = web::site(home.live.clone(), home.accounts.clone(), &WebOptions::default());
    let ada = home.user("ada", &["operators"], false).await;
    let id = home.live.start(&ada, Closed {}).await.expect("started");
    finished(&home.live, &ada, id).await;
    home.accounts.set_groups("ada", Vec::new()).await.expect("the store");
    let page = format!("/operations/{id}");
    let (status, html) = ask(&site, "ada", "GET", &page, "").await;
    assert_eq!(status, StatusCode::OK);
    let token = format!("csrf_token={}", csrf(&html));
    let (status, _) = ask(&site, "ada", "POST", &format!("{page}/restart"), &token).await;
    assert!(status.is_client_error(), "{status}");
    let record = home.live.view(&ada, id).await.expect("the store").expect("it is there").record;
    assert_eq!((record.attempt, record.state), (1, State::Succeeded));
}

/// A host's sessions. The one session ends right after it was looked up for the first time, as
/// somebody's does who signs out in another tab.
struct EndsMeanwhile {
    live: LiveOps,
    viewer: Mutex<Option<Viewer>>,
}

#[async_trait]
impl Identify for EndsMeanwhile {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        let viewer = self.viewer.lock().take();
        if let Some(viewer) = &viewer {
            self.live.end_streams(&viewer.session);
            self.live.end_streams_of_user(&viewer.id);
        }
        Ok(viewer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_session_ends_while_it_is_opened_does_not_open() {
    let home = Home::new().await;
    let ada = home.user("ada", &[], false).await;
    let id = home.live.start(&ada, Open {}).await.expect("started");
    let token = home.live.subscription_token(&ada.id, id);
    let identify = EndsMeanwhile { live: home.live.clone(), viewer: Mutex::new(Some(ada)) };
    let router = web::router(home.live.clone(), identify, &WebOptions::default());
    let path = format!("/stream?token={}", token.as_str());
    let answer = tokio::time::timeout(Duration::from_secs(30), ask(&router, "ada", "GET", &path, "")).await;
    assert_eq!(answer.expect("no stream").0, StatusCode::UNAUTHORIZED);
}

/// A host's sessions that panic for one of its users.
struct Panics(Viewer);

#[async_trait]
impl Identify for Panics {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        let cookie = parts.headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
        assert!(cookie != Some("liveops_session=bad"), "a detail that is nobody’s business");
        Ok(Some(self.0.clone()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_answered_and_the_next_request_too() {
    let home = Home::new().await;
    let ada = home.user("ada", &[], false).await;
    let router = web::router(home.live.clone(), Panics(ada), &WebOptions::default());
    let (status, page) = ask(&router, "bad", "GET", "/operations", "").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.contains("Something went wrong") && !page.contains("business"), "{page}");
    assert_eq!(ask(&router, "ada", "GET", "/operations", "").await.0, StatusCode::OK);
}

/// In the binary, with the request's id for whoever is asked for help.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_answered_with_a_reference() {
    let home = Home::new().await;
    home.user("ada", &["unlabelled"], false).await;
    let site = web::site(home.live.clone(), home.accounts.clone(), &WebOptions::default());
    let (_, page) = ask(&site, "ada", "GET", "/operations", "").await;
    let form = format!("csrf_token={}&name=bad", csrf(&page));
    let (status, answer) = ask(&site, "ada", "POST", "/operations/new/unlabelled", &form).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let reference = answer.split_once("reference <code>").and_then(|(_, rest)| rest.split_once('<'));
    assert_eq!(reference.map(|(reference, _)| reference.len()), Some(36), "{answer}");
    assert!(!answer.contains("business") && !answer.contains("label("), "{answer}");
    let (status, list) = ask(&site, "ada", "GET", "/operations", "").await;
    assert!(status == StatusCode::OK && !list.contains("<tr id=\"op-"), "nothing was started: {list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_a_host_link_to_nothing_that_only_the_binary_has() {
    let home = Home::new().await;
    let ada = home.user("ada", &[], false).await;
    let router = web::router(home.live.clone(), Panics(ada), &WebOptions::default());
    for path in ["/operations", "/operations/new/open", "/nothing"] {
        let (_, page) = ask(&router, "ada", "GET", path, "").await;
        assert!(!page.contains("logout") && !page.contains("href=\"/\""), "{path}: {page}");
    }
    let site = web::site(home.live.clone(), home.accounts.clone(), &WebOptions::default());
    let (_, page) = ask(&site, "ada", "GET", "/operations", "").await;
    assert!(page.contains("logout") && page.contains("href=\"/\""), "{page}");
}

/// As an application embeds it: under a path of its own, beside its own routes.
#[tokio::test(flavor = "multi_thread")]
async fn nested_in_a_host_everything_is_below_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
    let live = LiveOps::builder()
        .store(store)
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .uploads(folder.path().join("uploads"))
        .mount("/live")
        .operation::<Open>()
        .start()
        .await
        .expect("it starts");
    let ada = Viewer {
        id: "ada".into(),
        name: "ada".into(),
        groups: Vec::new(),
        superuser: false,
        session: "s".into(),
    };
    let router = web::router(live.clone(), Panics(ada.clone()), &WebOptions::default());
    let host = Router::new().route("/", axum::routing::get(|| async { "the host's own" }));
    let host =
        host.fallback(|| async { (StatusCode::NOT_FOUND, "the host's own") }).nest_service("/live", router);
    assert_eq!(ask(&host, "ada", "GET", "/", "").await.1, "the host's own");
    assert_eq!(ask(&host, "ada", "GET", "/nothing", "").await.1, "the host's own");
    for path in ["/live", "/live/"] {
        assert_eq!(ask(&host, "ada", "GET", path, "").await.0, StatusCode::SEE_OTHER, "{path}");
    }
    let (status, page) = ask(&host, "ada", "GET", "/live/nothing", "").await;
    assert!(status == StatusCode::NOT_FOUND && page.contains("There is nothing here"), "{page}");
    let (status, page) = ask(&host, "ada", "GET", "/live/operations/new/open", "").await;
    assert_eq!(status, StatusCode::OK);
    let asset = page.split("href=\"").find(|text| text.starts_with("/live/assets/")).expect("a stylesheet");
    let asset = asset.split('"').next().unwrap_or("");
    assert_eq!(ask(&host, "ada", "GET", asset, "").await.0, StatusCode::OK);
    let form = format!("csrf_token={}", csrf(&page));
    assert_eq!(ask(&host, "ada", "POST", "/live/operations/new/open", &form).await.0, StatusCode::SEE_OTHER);
    let id = live.list(&ada, &Filter::default(), 1).await.expect("the store").records[0].id;
    let (status, page) = ask(&host, "ada", "GET", &live.url(id), "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("data-liveop-stream=\"/live/stream\""), "{page}");
    assert_eq!(ask(&host, "ada", "GET", "/live/stream?token=x", "").await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(&host, "ada", "POST", "/live/stream", "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    let cancel = format!("{}/cancel", live.url(id));
    assert_eq!(ask(&host, "ada", "POST", &cancel, &form).await.0, StatusCode::SEE_OTHER);
    finished(&live, &ada, id).await;
}

/// Has no form, since nothing can be typed in, and cannot do without an input.
#[derive(Serialize, Deserialize)]
struct Coded {
    number: u32,
}

impl Operation for Coded {
    const KIND: &'static str = "coded";

    async fn run(self, p: Progress) -> liveops::Result {
        p.result(self.number)
    }
}

/// A host where nobody is signed in.
struct Nobody;

#[async_trait]
impl Identify for Nobody {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(None)
    }

    fn sign_in(&self, next: &str) -> Option<String> {
        Some(format!("/sign-in?{next}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_only_code_can_start_has_no_form() {
    let home = Home::new().await;
    let ada = home.user("ada", &[], false).await;
    let site = web::site(home.live.clone(), home.accounts.clone(), &WebOptions::default());
    let id = home.live.start(&ada, Coded { number: 7 }).await.expect("started");
    finished(&home.live, &ada, id).await;
    let (_, catalogue) = ask(&site, "ada", "GET", "/", "").await;
    assert!(catalogue.contains("/operations/new/open") && !catalogue.contains("coded"), "{catalogue}");
    assert_eq!(ask(&site, "ada", "GET", "/operations/new/coded", "").await.0, StatusCode::NOT_FOUND);
    let (_, page) = ask(&site, "ada", "GET", &home.live.url(id), "").await;
    assert!(page.contains("/restart") && !page.contains("new/coded"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_to_sign_in_comes_back_below_the_mount() {
    let home = Home::new().await;
    let router = web::router(home.live.clone(), Nobody, &WebOptions::default());
    let host = Router::new().nest("/live", router);
    for (method, path, next) in [
        ("GET", "/live/operations?page=2", "/live/operations?page=2"),
        ("POST", "/live/operations/7/cancel", "/live/operations/7"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let answer = host.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.headers()[header::LOCATION], format!("/sign-in?{next}"));
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_in_the_foreground_asks_for_the_group_too() {
    let home = Home::new().await;
    let outsider = home.user("outsider", &[], false).await;
    let ran = home.live.run(&outsider, "closed", serde_json::json!({}), Vec::new()).await;
    assert!(matches!(ran, Err(NotStarted::NoKind(_))), "{ran:?}");
}

/// A host's page shows an operation by the host's own templates, or with whatever else writes its HTML.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_stands_in_a_page_of_the_host() {
    let home = Home::new().await;
    let (ada, bob) = (home.user("ada", &[], false).await, home.user("bob", &[], false).await);
    let id = home.live.start(&ada, Open {}).await.expect("started");
    assert!(home.live.page(&bob, id).await.expect("the store").is_none(), "nobody else's");
    let page = home.live.page(&ada, id).await.expect("the store").expect("it is there");
    let mut templates = minijinja::Environment::new();
    home.live.add_to(&mut templates);
    let source = "<head>{{ live_head(op) }}</head><main>{{ live_operation(op) }}</main>";
    templates.add_template("page.html", source).expect("it parses");
    let template = templates.get_template("page.html").expect("it is there");
    let html = template.render(minijinja::context! { op => &page }).expect("it renders");
    let plain = (page.head().expect("a head"), page.operation().expect("a container"));
    assert_eq!(html, format!("<head>{}</head><main>{}</main>", plain.0, plain.1));
    assert!(html.contains("http-equiv=\"refresh\"") && html.contains("data-liveop-token=\""), "{html}");
    assert!(
        html.contains("/assets/page.") && !html.contains("/assets/site."),
        "not what is for the pages around it: {html}"
    );
    // Its token and its addresses are those of the router.
    let router = web::router(home.live.clone(), Panics(ada.clone()), &WebOptions::default());
    let script = html.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script");
    assert_eq!(ask(&router, "ada", "GET", script, "").await.0, StatusCode::OK);
    let form = format!("csrf_token={}", csrf(&html));
    let cancel = format!("{}/cancel", home.live.url(id));
    assert_eq!(ask(&router, "ada", "POST", &cancel, &form).await.0, StatusCode::SEE_OTHER);
    finished(&home.live, &ada, id).await;
    let token = html.split("data-liveop-token=\"").nth(1).and_then(|rest| rest.split('"').next());
    let stream = format!("/stream?token={}", token.expect("a token"));
    let (status, events) = ask(&router, "ada", "GET", &stream, "").await;
    assert!(status == StatusCode::OK && events.contains("event: end"), "{status}: {events}");
    let over = home.live.page(&ada, id).await.expect("the store").expect("it is there");
    assert!(!over.head().expect("a head").contains("refresh"));
    assert!(!over.operation().expect("a container").contains("data-liveop-token"));
}

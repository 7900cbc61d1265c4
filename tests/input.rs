//! What an operation was started with: shown on its page, and filled in again by “Start another”.

use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, header};
use liveops::operation::{Field, OperationId, Upload};
use liveops::store::Sqlite;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, LiveOpsBuilder, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

/// Has a field of each sort, and an input that no form asks for.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Order {
    name: String,
    notes: String,
    copies: Option<i64>,
    ratio: Option<f64>,
    size: Option<String>,
    agree: bool,
    since: Option<String>,
    file: Option<Upload>,
    #[serde(default)]
    internal: String,
}

impl Operation for Order {
    const KIND: &'static str = "order";

    fn fields() -> Vec<Field> {
        vec![
            Field::text("name", "Name <1>").max_length(40),
            Field::textarea("notes", "Notes").default("none"),
            Field::number("copies", "Copies").range(1, 9).default("3"),
            Field::decimal("ratio", "Ratio"),
            Field::choice("size", "Size", [("s", "Small"), ("l", "Large & wide")]).required().default("s"),
            Field::checkbox("agree", "Agree").default("on"),
            Field::date("since", "Since"),
            Field::file("file", "File"),
        ]
    }

    fn label(&self) -> String {
        self.name.clone()
    }

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

/// Another one with a form, and a field of the same name.
#[derive(Default, Serialize, Deserialize)]
struct Note {
    name: String,
}

impl Operation for Note {
    const KIND: &'static str = "note";

    fn fields() -> Vec<Field> {
        vec![Field::text("name", "Name")]
    }

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

/// What only code starts.
#[derive(Serialize, Deserialize)]
struct Coded {
    secret: String,
}

impl Operation for Coded {
    const KIND: &'static str = "coded";

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

/// Somebody is whoever a header says.
struct ByHeader;

#[async_trait]
impl Identify for ByHeader {
    async fn identify(&self, parts: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(parts.headers.get("x-user").and_then(|name| name.to_str().ok()).map(viewer))
    }
}

fn viewer(name: &str) -> Viewer {
    let [id, name, session] = [name; 3].map(str::to_owned);
    Viewer { id, name, groups: Vec::new(), superuser: false, session }
}

struct Home {
    live: LiveOps,
    site: Router,
}

impl Home {
    async fn new(folder: &tempfile::TempDir, kinds: impl FnOnce(LiveOpsBuilder) -> LiveOpsBuilder) -> Self {
        let builder = LiveOps::builder()
            .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .uploads(folder.path().join("uploads"))
            .mount("/live")
            .page_at("/orders/{id}");
        let live = kinds(builder).start().await.expect("it starts");
        let site =
            Router::new().nest_service("/live", web::router(live.clone(), ByHeader, &WebOptions::default()));
        Self { live, site }
    }

    async fn with_all(folder: &tempfile::TempDir) -> Self {
        Self::new(folder, |builder| builder.operation::<Order>().operation::<Note>().operation::<Coded>())
            .await
    }

    async fn get(&self, path: &str) -> String {
        let (status, page) = self.ask("ada", path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        page
    }

    /// A form's post where it has text, else a page.
    async fn ask(&self, who: &str, path: &str, form: &str) -> (StatusCode, String) {
        let request = Request::builder()
            .method(if form.is_empty() { "GET" } else { "POST" })
            .uri(path)
            .header("x-user", who)
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(Body::from(form.to_owned()));
        let answer = self.site.clone().oneshot(request.expect("a request")).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    async fn start<O: Operation>(&self, who: &str, input: O) -> OperationId {
        let id = self.live.start(&viewer(who), input).await.expect("started");
        let over = async {
            loop {
                let page = self.live.view(&viewer(who), id).await.expect("the store").expect("it is there");
                if page.record.state.is_final() && page.projection.state().is_final() {
                    return id;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), over).await.expect("it ends")
    }

    async fn page(&self, id: OperationId) -> String {
        self.get(&format!("/live/operations/{id}")).await
    }

    /// The form, filled in from that operation, but for the key that is new each time.
    async fn form(&self, query: &str) -> String {
        let page = self.get(&format!("/live/operations/new/order{query}")).await;
        let (before, rest) = page.split_once("name=\"submission\" value=\"").expect("a key");
        format!("{before}{}", rest.split_once('"').expect("its end").1)
    }
}

/// The labels and values that a page shows, as HTML; none where it has no place for them.
fn shown(page: &str) -> Option<Vec<(String, String)>> {
    let (_, rest) = page.split_once("<details class=\"liveop-input\">")?;
    let (list, _) = rest.split_once("</details>").expect("its end");
    let pairs = list.split("<dt><bdi>").skip(1).map(|pair| {
        let (label, rest) = pair.split_once("</bdi></dt><dd><bdi>").expect("a value");
        (label.to_owned(), rest.split_once("</bdi></dd>").expect("its end").0.to_owned())
    });
    Some(pairs.collect())
}

/// The tag that has this id.
fn tag<'a>(page: &'a str, id: &str) -> &'a str {
    let at = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    let begin = page[..at].rfind('<').expect("a tag");
    &page[begin..begin + page[begin..].find('>').expect("its end")]
}

const HOSTILE: &str = "\"><script>alert(1)</script>\u{1b}[2J";
const ESCAPED: &str = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}[2J";

fn order() -> Order {
    Order {
        name: HOSTILE.into(),
        notes: "one\n</textarea>two".into(),
        copies: Some(7),
        ratio: Some(0.25),
        size: Some("l".into()),
        since: Some("2026-02-28".into()),
        internal: "nobody's business".into(),
        ..Order::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_what_its_fields_were_filled_in_with_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::with_all(&folder).await;
    let id = home.start("ada", order()).await;
    let page = home.page(id).await;
    let expected = [
        ("Name &lt;1&gt;", ESCAPED),
        ("Notes", "one\n&lt;/textarea&gt;two"),
        ("Copies", "7"),
        ("Ratio", "0.25"),
        ("Size", "Large &amp; wide"),
        ("Agree", "No"),
        ("Since", "2026-02-28"),
    ];
    let expected = expected.map(|(label, value)| (label.to_owned(), value.to_owned()));
    assert_eq!(shown(&page).as_deref(), Some(&expected[..]));
    assert!(!page.contains("business"), "{page}");
    // The application's own page has the same.
    let own = home.live.page(&viewer("ada"), id).await.expect("the store").expect("it is there");
    assert_eq!(shown(&own.operation().expect("HTML")), shown(&page));

    // A long one is cut, and what was left empty is left out.
    let long = Order { notes: "é".repeat(60_000), agree: true, ..Order::default() };
    let id = home.start("ada", long).await;
    let page = home.page(id).await;
    let pairs = shown(&page).expect("there is something");
    let notes = format!("{}…", "é".repeat(300));
    assert_eq!(pairs, [("Notes", &*notes), ("Agree", "Yes")].map(|(l, v)| (l.to_owned(), v.to_owned())));
    assert!(!page.contains(&"é".repeat(301)), "nowhere more of it");

    let id = home.start("ada", Note::default()).await;
    assert_eq!(shown(&home.page(id).await), None, "all is empty");
    let id = home.start("ada", Coded { secret: "swordfish".into() }).await;
    let page = home.page(id).await;
    assert!(shown(&page).is_none() && !page.contains("swordfish") && !page.contains("?from="), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_kind_that_is_not_here_nothing_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::with_all(&folder).await;
    let id = home.start("ada", order()).await;
    assert!(shown(&home.page(id).await).is_some());
    home.live.shutdown(Duration::from_secs(5)).await;
    drop(home);
    let home = Home::new(&folder, |builder| builder.operation::<Note>()).await;
    let page = home.page(id).await;
    assert!(shown(&page).is_none() && !page.contains("?from="), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_one_is_filled_in_with_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::with_all(&folder).await;
    let mut file = home.live.receive("a.csv").await.expect("a file");
    file.write(b"a,b\n").await.expect("it is written");
    let upload = file.complete().await.expect("it is durable");
    let id = home.start("ada", Order { file: Some(upload), ..order() }).await;
    let from = format!("/live/operations/new/order?from={id}");
    let page = home.page(id).await;
    assert!(page.contains(&format!("href=\"{from}\">Start another</a>")), "{page}");
    let form = home.form(&format!("?from={id}")).await;
    for (name, part) in [
        ("name", &*format!("value=\"{ESCAPED}\"")),
        ("copies", "value=\"7\""),
        ("ratio", "value=\"0.25\""),
        ("since", "value=\"2026-02-28\""),
    ] {
        let tag = tag(&form, &format!("field-{name}"));
        assert!(tag.contains(part), "{part} in {tag}");
    }
    assert!(form.contains(">\none\n&lt;/textarea&gt;two</textarea>"), "{form}");
    assert!(form.contains("<option value=\"l\" selected>"), "{form}");
    assert!(!tag(&form, "field-agree").contains("checked"), "it was not ticked");
    assert!(!form.contains("a.csv") && !form.contains("business") && !form.contains("<script>"), "{form}");
    let said = format!(
        "Filled in from <a href=\"/orders/{id}\"><bdi>{ESCAPED}</bdi></a>; a file has to be chosen again</p>"
    );
    assert!(form.contains(&said), "{form}");
    // It is posted as any form, and refused as any: with what was typed.
    let (_, rest) = form.split_once("name=\"csrf_token\" value=\"").expect("a token");
    let token = rest.split('"').next().unwrap_or("");
    let part = |name: &str, value: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = [("csrf_token", token), ("name", "typed"), ("copies", "10")].map(|(n, v)| part(n, v)).concat();
    let (status, again) = home.ask("ada", &from, &(body + "--x--\r\n")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{again}");
    assert!(tag(&again, "field-name").contains("value=\"typed\""), "{again}");
    assert!(tag(&again, "field-copies").contains("value=\"10\""), "{again}");
    assert!(!again.contains("Filled in from"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_form_any_more_is_left_to_its_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::with_all(&folder).await;
    let long = "x".repeat(41);
    let id = home
        .start("ada", Order { name: long.clone(), size: Some("m".into()), copies: None, ..Order::default() })
        .await;
    let form = home.form(&format!("?from={id}")).await;
    assert!(tag(&form, "field-name").contains(&long), "what is too long is for the check to refuse");
    assert!(
        form.contains("<option value=\"\"></option>") && !form.contains("selected"),
        "nothing is chosen for them"
    );
    assert!(tag(&form, "field-copies").contains("value=\"\""), "it was left empty");
    assert!(form.contains(">\n</textarea>"), "empty, and not its default");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_what_is_not_theirs_or_not_of_the_kind_nothing_is_filled_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::with_all(&folder).await;
    let plain = home.form("").await;
    assert!(!plain.contains("Filled in"), "{plain}");
    let theirs = home.start("bob", order()).await;
    let other = home.start("ada", Note { name: "a note".into() }).await;
    let (_, page) = home.ask("bob", &format!("/live/operations/new/order?from={theirs}"), "").await;
    assert!(page.contains("Filled in"), "it is theirs: {page}");
    for from in [
        &*theirs.to_string(),
        &*other.to_string(),
        "67e55044-10b1-426f-9247-bb680e5fe0c8",
        "67e5504410b1426f9247bb680e5fe0c8",
        "",
        "%00",
        "%FF",
        "..%2f",
        "'--",
        &"9".repeat(3000),
    ] {
        assert_eq!(home.form(&format!("?from={from}")).await, plain, "{from}");
    }
}

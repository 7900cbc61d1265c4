//! Hostile text said everywhere an operation can say something, and read everywhere it is shown: each page, list, stream,
//! log and download is that of harmless text, with another text in it.

use std::collections::BTreeSet;
use std::fs;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{Request, header};
use liveops::operation::{Field, OperationId, State};
use liveops::progress::{Content, LINE_LIMIT, Level, TEXT_LIMIT};
use liveops::store::Sqlite;
use liveops::testing::StreamClient;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// What every page says of plain text.
const PLAIN: &str = "plain";
/// What a template that ran `7919*7919` would say.
const RAN: &str = "62710561";
/// A fixed title, which is no input.
const TITLE: &str = "<script>alert('kind')</script>\u{1b}[31m\" onclick=\"x";

/// Of texts that are very long, in bytes.
const LENGTH: usize = 1024 * 1024;

const TEXTS: [&str; 31] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=\"alert(1)",
    "x onclick=alert(1) y=",
    "</bdi></p></section></main></body><iframe srcdoc=x>",
    "</title></textarea></style></noscript><svg onload=alert(1)>",
    "<!-- --!> ]]> <![CDATA[ <?php",
    "<template><base href=//evil.example>",
    "&lt;b&gt; &amp;amp; &#60;i> &#x3c;i>",
    "{{ 7919*7919 }} {% set x = 7919*7919 %}{{ x }} ${7919*7919} #{7919*7919} {# #}",
    "{% raw %}{% include 'base.html' %}{% for",
    "\r\n\r\ndata: {}\n\nevent: end\ndata: {}\n\n",
    "a\rb\r\rid: 7-1-99\r\rretry: 1\r\r",
    "one\u{2028}two\u{2029}three\u{85}four\u{b}five\u{c}six",
    "a\0b",
    "\u{1b}[31mred\u{1b}[2J\u{1b}[1A",
    "\u{1b}]0;title\u{7}\u{1b}]8;;http://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
    "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}P1$r0m\u{1b}\\\u{9b}2J\u{9d}0;x\u{9c}\u{8}\u{7f}",
    "\u{202e}gpj.exe\u{2066}isolated\u{2069}\u{202c}",
    "\u{feff}\u{200b}\u{200d}\u{2060}unseen\u{ad}\u{e0041}",
    "\u{fffe}\u{ffff}\u{10ffff}\u{d7ff}\u{e000}\u{fffd}",
    "javascript:alert(1)",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\u{ff1d}1+1",
    "\"\",=1+1,\"x",
];

/// Said by a run when it may end.
static MAY_END: Semaphore = Semaphore::const_new(0);

#[derive(Clone, Serialize, Deserialize)]
struct Say {
    text: String,
    ending: String,
    #[serde(default)]
    count: i64,
}

impl Operation for Say {
    const KIND: &'static str = "say";
    const TITLE: &'static str = TITLE;
    const DESCRIPTION: &'static str = TITLE;

    fn fields() -> Vec<Field> {
        vec![
            Field::text("text", TITLE).help(TITLE),
            Field::choice("ending", TITLE, ["result", "error", TITLE]).default("result"),
            Field::number("count", "Count").default("0"),
        ]
    }

    fn label(&self) -> String {
        self.text.clone()
    }

    async fn run(self, p: Progress) -> liveops::Result {
        let text = self.text.as_str();
        p.stages([text, "other"]);
        let _stage = p.stage(text);
        p.status_at(Level::Warning, text);
        p.log_at(Level::Error, text);
        for item in p.track(1..=3).label(text).unit(text) {
            p.ok(item?);
        }
        p.failed(text, text);
        // A region takes no more than 256 KiB.
        let short: String = text.chars().take(1000).collect();
        p.swap("own", Content::template("own", json!({ "text": short }))?)?;
        MAY_END.acquire().await?.forget();
        let deep = json!({ &short: { &short: [[{ &short: &short }]] } });
        // All of a result takes no more than 1 MiB.
        let long: String = text.chars().take(LENGTH / 16).collect();
        let result = json!({ &long: &long, "list": [&short, 1], "deep": deep });
        match self.ending.as_str() {
            "error" => Outcome::error(text).and_result(result).into(),
            "chain" => p.chain_to(&Self { ending: "result".into(), ..self.clone() }),
            _ => p.result(result),
        }
    }
}

fn viewer(name: &str) -> Viewer {
    let name = name.to_owned();
    Viewer { id: "id".into(), name, groups: Vec::new(), superuser: false, session: "session".into() }
}

/// A host where everybody is the same, whatever they are called.
struct Everybody(String);

#[async_trait]
impl Identify for Everybody {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(Some(viewer(&self.0)))
    }
}

struct Home {
    live: LiveOps,
    _folder: tempfile::TempDir,
}

/// What is answered at an address, as text.
async fn ask(app: &Router, request: Request<Body>) -> (u16, String) {
    let answer = tower::ServiceExt::oneshot(app.clone(), request).await.expect("an answer");
    (answer.status().as_u16(), read(answer.into_body()).await)
}

async fn read(body: Body) -> String {
    String::from_utf8(to_bytes(body, 1 << 28).await.expect("a body").to_vec()).expect("UTF-8")
}

async fn get(app: &Router, path: &str) -> (u16, String) {
    ask(app, Request::get(path).body(Body::empty()).expect("a request")).await
}

/// Each tag with the names of its attributes: what text must never change. Read by the rules of the HTML standard for tags
/// (section 13.2.5), so that it is no opinion of ours.
fn tags(html: &str) -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    let mut rest = html;
    while let Some((_, tag)) = rest.split_once('<') {
        rest = tag;
        if !tag.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
            continue;
        }
        let (mut quote, mut names) = (None, String::new());
        let mut end = tag.len();
        for (at, c) in tag.char_indices() {
            match (quote, c) {
                (Some(open), _) if open == c => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(c),
                (None, '>') => {
                    end = at;
                    break;
                }
                (None, _) => names.push(c),
            }
        }
        assert_ne!(end, tag.len(), "a tag without an end: {tag:.200}");
        tags.insert(names);
        rest = &tag[end..];
    }
    tags
}

/// How a text is to be read: what controls something is made visible.
fn shown(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

fn unescaped(html: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")];
    pairs.iter().fold(html.to_owned(), |text, (entity, c)| text.replace(entity, c))
}

fn assert_harmless(html: &str, plain: &BTreeSet<String>, what: &str) {
    let control = html.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
    assert_eq!(control, None, "{what} in {html:.5000}");
    let strange: Vec<_> = tags(html).difference(plain).cloned().collect();
    assert!(strange.is_empty(), "{what} made {strange:.500?}");
    assert!(!html.contains(RAN), "a template ran {what}");
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("templates");
        fs::create_dir(&own).expect("a folder");
        fs::write(own.join("say_own.html"), "<p class=\"own\" title=\"{{ text }}\">{{ text }}</p>")
            .expect("it is written");
        let live = LiveOps::builder()
            .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .templates(own)
            .operation::<Say>()
            .start()
            .await
            .expect("it starts");
        Self { live, _folder: folder }
    }

    fn app(&self, name: &str) -> Router {
        web::router(self.live.clone(), Everybody(name.to_owned()), &WebOptions::default())
    }

    /// Says it to its end. Every HTML that came, and the ids of the operations.
    async fn say(&self, text: &str, ending: &str) -> (Vec<String>, Vec<OperationId>) {
        let app = self.app(if text.len() < 1000 { text } else { PLAIN });
        let say = Say { text: text.to_owned(), ending: ending.to_owned(), count: 0 };
        let id = self.live.start(&viewer(text), say).await.expect("started");
        let mut client = StreamClient::open(&self.live, &viewer("id"), id).await;
        client.until("own", |html| !html.is_empty()).await;
        let mut html =
            vec![get(&app, &format!("/operations/{id}")).await.1, get(&app, "/operations").await.1];
        let token = self.live.subscription_token("id", id);
        let stream = Request::get(format!("/stream?token={}", token.as_str())).body(Body::empty());
        let stream =
            tower::ServiceExt::oneshot(app.clone(), stream.expect("a request")).await.expect("a stream");
        MAY_END.add_permits(1);
        let mut ids = vec![id];
        let ended = client.end().await;
        if let Some(next) = self.next(id).await {
            MAY_END.add_permits(1);
            StreamClient::open(&self.live, &viewer("id"), next).await.end().await;
            ids.push(next);
        }
        assert_eq!(
            ended.state,
            if ending == "error" { State::Failed } else { State::Succeeded },
            "{text:.100}"
        );
        html.extend(fragments(&read(stream.into_body()).await, text));
        for id in &ids {
            html.push(get(&app, &format!("/operations/{id}")).await.1);
        }
        html.push(get(&app, "/operations").await.1);
        (html, ids)
    }

    async fn next(&self, id: OperationId) -> Option<OperationId> {
        let view = self.live.view(&viewer("id"), id).await.expect("the store").expect("it is there");
        view.record.ending.and_then(|ending| ending.next)
    }
}

/// The HTML in a stream, every byte of which has to be of an event of ours.
fn fragments(stream: &str, what: &str) -> Vec<String> {
    let control = stream.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{what:.100} in a stream");
    let mut html = Vec::new();
    let mut ends = 0;
    for event in stream.split("\n\n").filter(|event| !event.is_empty()) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        for line in event.lines() {
            let known = ["event: ", "data: ", "id: ", "retry: "].iter().any(|name| line.starts_with(name));
            assert!(known, "{what:.100} made the line {line:.200}");
        }
        let data: Value =
            field("data: ").map_or(Value::Null, |data| serde_json::from_str(data).expect("JSON"));
        ends += usize::from(field("event: ") == Some("end"));
        html.extend(data["html"].as_str().map(str::to_owned));
    }
    assert_eq!(ends, 1, "{what:.100}");
    html
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_pages_lists_and_streams_are_those_of_plain_text() {
    let home = Home::new().await;
    let mut plain = BTreeSet::new();
    for ending in ["result", "error", "chain"] {
        plain.extend(home.say(PLAIN, ending).await.0.iter().flat_map(|html| tags(html)));
    }
    for text in TEXTS {
        // Few enough for one page of the list.
        let home = Home::new().await;
        for ending in ["result", "error", "chain"] {
            let (html, ids) = home.say(text, ending).await;
            for html in &html {
                assert_harmless(html, &plain, &format!("{text:?}"));
            }
            let page = unescaped(&html[html.len() - 2]);
            assert!(page.contains(&format!("<bdi>{}</bdi>", shown(text))), "{text:?} in {page}");
            for id in ids {
                assert_downloads(&home.app(PLAIN), id, text).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn very_much_text_is_text_too() {
    for (text, plain) in [("<b>", "bbb"), ("a\u{301}\u{302}\u{303}", "abcd"), ("\u{1b}[2J\r", "abcde")] {
        let home = Home::new().await;
        // As long, so that it is cut in the same places.
        let (text, plain) = (text.repeat(LENGTH / text.len()), plain.repeat(LENGTH / plain.len()));
        let plain = home.say(&plain, "result").await.0.iter().flat_map(|html| tags(html)).collect();
        let (html, ids) = home.say(&text, "result").await;
        for html in &html {
            assert_harmless(html, &plain, &format!("{text:.20?}"));
        }
        assert_downloads(&home.app(PLAIN), ids[0], &text).await;
    }
}

/// Each line of the log is one line, and each row of the table one row that a spreadsheet does not run.
async fn assert_downloads(app: &Router, id: OperationId, text: &str) {
    let (_, log) = get(app, &format!("/operations/{id}/log")).await;
    let (_, full) = get(app, &format!("/operations/{id}/log?format=full")).await;
    let said: Vec<_> = log.split_terminator('\n').collect();
    let (failed, lines) = said.split_last().expect("two lines");
    assert_eq!(lines.concat(), shown(text), "{text:.100?}");
    assert!(lines.iter().all(|line| line.len() <= LINE_LIMIT));
    assert!(failed.len() <= TEXT_LIMIT + 1000, "{} bytes", failed.len());
    assert_eq!(full.split_terminator('\n').count(), said.len(), "{text:.100?}");
    let first = full.split_terminator('\n').next().expect("a line");
    assert!(first.starts_with("20") && first.contains("Z error   "), "{first:.200}");
    let (_, file) = get(app, &format!("/operations/{id}/failed.csv")).await;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("CSV")).collect();
    assert_eq!(rows.len(), 2, "{text:.100?} in {file:.300}");
    assert_eq!(&rows[0], vec!["row", "reason"]);
    assert_eq!(rows[1].len(), 2, "{text:.100?}");
    if text.len() < 200 {
        // A row's name is one without tabs.
        for (cell, said) in rows[1].iter().zip([shown(text).replace('\t', " "), shown(text)]) {
            assert_eq!(cell.strip_prefix(if cell == said { "" } else { "'" }), Some(said.as_str()));
        }
    }
    for cell in &rows[1] {
        let is_formula = cell
            .starts_with(['=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
        assert!(!is_formula, "{cell:.100?}");
        assert!(!cell.contains(|c: char| c.is_control() && c != '\t'), "{cell:.100?}");
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_typed_forms_and_errors_are_those_of_plain_text() {
    let home = Home::new().await;
    let group = |name: &str| {
        let options = WebOptions { required_group: Some(name.to_owned()), ..WebOptions::default() };
        web::router(home.live.clone(), Everybody(PLAIN.to_owned()), &options)
    };
    let pages = async |text: &str| {
        let app = home.app(text);
        let mut html = Vec::new();
        for (path, status) in [
            ("/operations/new/say".to_owned(), 200),
            (format!("/operations?state={0}&kind={0}&page={0}&{0}={0}", encoded(text)), 200),
            (format!("/{}", encoded(text)), 404),
            (format!("/operations/{}", encoded(text)), 404),
            (format!("/operations/new/{}", encoded(text)), 404),
            (format!("/operations/{}/log?attempt={}", OperationId::new(), encoded(text)), 404),
        ] {
            let (answered, page) = get(&app, &path).await;
            assert_eq!(answered, status, "{path}");
            html.push(page);
        }
        let csrf =
            html[0].split("name=\"csrf_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let csrf = csrf.expect("a token").to_owned();
        let typed = encoded(text);
        for (form, status) in [
            (format!("csrf_token={csrf}&count=x&text={typed}&ending={typed}"), 422),
            (format!("csrf_token={csrf}&count={typed}&submission={typed}&text={typed}"), 422),
            (format!("csrf_token={csrf}&text=%00"), 422),
            (format!("csrf_token={typed}&text={typed}"), 403),
            (format!("csrf_token={csrf}&{typed}={typed}&text=%ED%A0%80"), 400),
            (format!("csrf_token={csrf}&text=%FF{typed}"), 400),
        ] {
            let request = Request::post("/operations/new/say")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(form))
                .expect("a request");
            let (answered, page) = ask(&app, request).await;
            assert_eq!(answered, status, "{text:?}");
            html.push(page);
        }
        let (status, outside) = get(&group(text), "/operations").await;
        assert_eq!(status, 403, "{text:?}");
        html.push(outside);
        html
    };
    let plain: BTreeSet<_> = pages(PLAIN).await.iter().flat_map(|html| tags(html)).collect();
    assert!(!plain.iter().any(|tag| tag == "script"), "the kind's own title is text too: {plain:?}");
    for text in TEXTS {
        let html = pages(text).await;
        for html in &html {
            assert_harmless(html, &plain, &format!("{text:?}"));
        }
        // What was typed is there to be corrected, but for what HTML cannot hold.
        let typed = unescaped(&html[6]);
        assert!(typed.contains(&format!("name=\"text\" value=\"{}\"", shown(text))), "{text:?} in {typed}");
    }
}

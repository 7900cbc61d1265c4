//! What an operation puts on its page itself, and the rows that failed: on the page, in the stream, after the end.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use jiff::Timestamp;
use liveops::live::RestartAnswer;
use liveops::operation::{Ending, OperationId, State};
use liveops::progress::{
    Cancel, Cancelled, Content, ContentError, ElementId, Html, Level, REGION_LIMIT, Sink, Update,
};
use liveops::projection::Projection;
use liveops::store::{Accounts as _, Digest, Sqlite, User};
use liveops::stream::{Cursor, FrameRenderer as _, Subject};
use liveops::testing::StreamClient;
use liveops::web::{self, WebOptions};
use liveops::{LiveOps, Operation, Progress, SecretKey, Viewer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tower::ServiceExt as _;

#[derive(Serialize, Deserialize)]
struct Draw {}

impl Operation for Draw {
    const KIND: &'static str = "draw";

    async fn run(self, p: Progress) -> liveops::Result {
        p.swap("chart", Content::template("chart", json!({ "name": "<i>", "bars": [1, 2] }))?)?;
        p.html("note", Html::trusted("<em>first</em>"))?;
        p.append("note", Html::trusted("<em>second</em>"))?;
        p.append("note", Content::template("missing", ())?)?;
        assert!(matches!(p.html("status", Html::trusted("x")), Err(ContentError::Id(_))));
        let mut numbers = p.track_stream(tokio_stream::iter(1..=4)).unit("numbers");
        while let Some(number) = numbers.next().await {
            match number? {
                2 => p.failed("line 2", "it is \"even\", \u{1b}[31m"),
                4 => p.failed("=line\t4", "=1+1"),
                _ => p.ok(1),
            }
        }
        p.skipped(3);
        p.result(json!({}))
    }
}

struct Home {
    live: LiveOps,
    site: Router,
    viewer: Viewer,
    templates: TempDir,
    _folder: TempDir,
}

impl Home {
    async fn new(templates: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = tempfile::tempdir().expect("a folder");
        for (name, source) in templates {
            fs::write(own.path().join(name), source).expect("a template");
        }
        let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
        let user = User {
            id: "id-ada".into(),
            name: "ada".into(),
            groups: Vec::new(),
            superuser: false,
            password_hash: None,
        };
        let now = Timestamp::now();
        store.add_user(user.clone(), now).await.expect("added");
        let expires = now + Duration::from_secs(3600);
        assert!(store.open_session(Digest::of("ada"), &user, expires, now).await.expect("the store"));
        let live = LiveOps::builder()
            .store(store.clone())
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .operation::<Draw>()
            .reloaded_templates(own.path())
            .start()
            .await
            .expect("it starts");
        let site = web::site(live.clone(), Arc::new(store), &WebOptions::default());
        let viewer = Viewer {
            id: user.id,
            name: user.name,
            groups: Vec::new(),
            superuser: false,
            session: "ada".into(),
        };
        Self { live, site, viewer, templates: own, _folder: folder }
    }

    /// Runs one to its end.
    async fn drawn(&self) -> OperationId {
        let id = self.live.start(&self.viewer, Draw {}).await.expect("started");
        self.finished(id).await;
        id
    }

    async fn finished(&self, id: OperationId) {
        StreamClient::open(&self.live, &self.viewer, id).await.end().await;
    }

    async fn get(&self, path: &str) -> (header::HeaderMap, String) {
        let request = Request::get(path).header(header::COOKIE, "liveops_session=ada");
        let answer = self
            .site
            .clone()
            .oneshot(request.body(Body::empty()).expect("a request"))
            .await
            .expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        (parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }
}

const CHART: (&str, &str) =
    ("draw_chart.html", "<p>{{ name }}{% for bar in bars %}[{{ bar }}]{% endfor %}</p>");

#[tokio::test]
async fn regions_of_its_own_survive_and_escape() {
    let home = Home::new(&[CHART]).await;
    let id = home.drawn().await;
    let (_, page) = home.get(&format!("/operations/{id}")).await;
    let extra = page.split_once(&format!("id=\"op-{id}-extra\"")).expect("the extra region").1;
    let chart = format!(
        "<div id=\"op-{id}-chart\" class=\"liveop-own\"><div id=\"op-{id}-chart.1\"><p>&lt;i&gt;[1][2]</p></div></div>"
    );
    assert!(extra.contains(&chart), "{page}");
    let note = format!(
        "<div id=\"op-{id}-note.1\"><em>first</em></div><div id=\"op-{id}-note.2\"><em>second</em></div>"
    );
    assert!(extra.contains(&note), "{page}");
    let broken = format!("<div id=\"op-{id}-note.3\"><p class=\"liveop-broken\">");
    assert!(extra.contains(&broken), "no empty box: {page}");
}

#[tokio::test]
async fn a_kind_has_templates_of_its_own_and_edits_show() {
    let live =
        "{% extends 'live.html' %}{% block own %}<h2>Chart</h2>{{ live_region(op, 'chart') }}{% endblock %}";
    let page = "{% extends 'operation.html' %}{% block main %}<p>own page</p>{{ super() }}{% endblock %}";
    let home = Home::new(&[CHART, ("draw_live.html", live), ("draw.html", page)]).await;
    let id = home.drawn().await;
    let address = format!("/operations/{id}");
    let (_, page) = home.get(&address).await;
    assert!(page.contains("<p>own page</p>"), "{page}");
    assert!(page.contains(&format!("<h2>Chart</h2><div id=\"op-{id}-chart\"")), "{page}");
    assert_eq!(page.matches(&format!("id=\"op-{id}-chart\"")).count(), 1, "in its place only");
    fs::write(
        home.templates.path().join("draw.html"),
        "{% extends 'operation.html' %}{% block title %}edited{% endblock %}",
    )
    .expect("an edit");
    assert!(home.get(&address).await.1.contains("<title>edited</title>"));
    fs::write(home.templates.path().join("draw.html"), "{% no template at all").expect("an edit");
    assert!(
        home.get(&address).await.1.contains("<title>edited</title>"),
        "what does not parse leaves the one before"
    );
}

#[tokio::test]
async fn failed_rows_are_on_the_page_and_in_a_file() {
    let home = Home::new(&[]).await;
    let id = home.drawn().await;
    let (_, page) = home.get(&format!("/operations/{id}")).await;
    let tally = "<strong>2</strong> ok, <strong>3</strong> skipped, <strong>2</strong> failed";
    assert!(page.contains(tally), "{page}");
    assert!(page.contains("it is &quot;even&quot;, \u{FFFD}[31m"), "{page}");
    let (headers, file) = home.get(&format!("/operations/{id}/failed.csv")).await;
    assert_eq!(headers[header::CONTENT_TYPE], "text/csv; charset=utf-8");
    assert!(headers[header::CONTENT_DISPOSITION].to_str().is_ok_and(|value| value.starts_with("attachment")));
    assert_eq!(
        file, "row,reason\r\n\"line 2\",\"it is \"\"even\"\", \u{FFFD}[31m\"\r\n\"'=line 4\",\"'=1+1\"\r\n",
        "no cell is a formula"
    );
    let (_, log) = home.get(&format!("/operations/{id}/log")).await;
    assert_eq!(log, "line 2: it is \"even\", \u{FFFD}[31m\n=line 4: =1+1\n");
}

#[tokio::test]
async fn logs_of_earlier_attempts_are_linked() {
    let home = Home::new(&[CHART]).await;
    let id = home.drawn().await;
    assert!(!home.get(&format!("/operations/{id}")).await.1.contains("?attempt="), "there is none");
    for _ in 0..2 {
        assert_eq!(home.live.restart(&home.viewer, id).await.expect("the store"), RestartAnswer::Queued);
        home.finished(id).await;
    }
    let (_, page) = home.get(&format!("/operations/{id}")).await;
    for attempt in 1..=3 {
        let address = format!("/operations/{id}/log?attempt={attempt}");
        assert_eq!(page.contains(&format!("href=\"{address}\"")), attempt < 3, "{page}");
        assert!(home.get(&address).await.1.contains("line 2"), "each has its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_the_next_attempt_leaves_empty_is_empty_for_those_who_watch() {
    let live = "{% extends 'live.html' %}{% block own %}{# live_region(op, 'gone') #}{{ live_region (op, 'chart') }}{% endblock %}";
    let home = Home::new(&[CHART, ("draw_live.html", live)]).await;
    let id = home.drawn().await;
    let place = format!("<div id=\"op-{id}-chart\" class=\"liveop-own\">");
    assert!(home.get(&format!("/operations/{id}")).await.1.contains(&format!("{place}<div")), "filled");
    home.live.restart(&home.viewer, id).await.expect("the store");
    let record = home.live.view(&home.viewer, id).await.expect("the store").expect("there").record;
    let subject = Subject { id, kind: record.kind.clone(), owner: record.owner.clone() };
    let second = Projection::new(7, 2, State::Running, 200, record.created);
    let delta = second.since(Cursor::START).expect("all of it");
    let frame = home.live.renderer().frame(&subject, &second, &delta);
    let text = String::from_utf8(frame.bytes.to_vec()).expect("UTF-8").replace("\\\"", "\"");
    assert!(text.contains(&format!("{place}</div>")), "{text}");
    assert!(!text.contains("-gone"), "a comment is no place: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_with_a_place_is_sent_to_its_place() {
    let live = "{% extends 'live.html' %}{% block own %}{{ live_region(op, 'chart') }}{% endblock %}";
    let home =
        Home::new(&[CHART, ("draw_live.html", live), ("draw_result.html", "{{ result.a.b.c }}")]).await;
    let subject = Subject { id: OperationId::new(), kind: "draw".into(), owner: "id-ada".into() };
    let mut page = Projection::new(7, 1, State::Running, 200, Timestamp::now());
    let frame = |page: &mut Projection, seen: Cursor| {
        page.flush();
        let delta = page.since(seen).expect("something is news");
        let bytes = home.live.renderer().frame(&subject, page, &delta).bytes.to_vec();
        String::from_utf8(bytes).expect("UTF-8").replace("\\\"", "\"")
    };
    frame(&mut page, Cursor::START);
    let content = |name: &str| Arc::new(Content::template("chart", json!({ "name": name })).expect("a name"));
    let id = || ElementId::new("chart").expect("a name");
    let element = format!("op-{}-chart", subject.id);
    let seen = page.cursor();
    page.apply(Update::Replace { id: id(), content: content("one") }, Timestamp::now());
    let text = frame(&mut page, seen);
    assert!(
        text.contains(&format!("{{\"id\":\"{element}\",\"swap\":\"outer\"")) && text.contains("<p>one</p>"),
        "{text}"
    );
    let seen = page.cursor();
    page.apply(Update::Append { id: id(), content: content("two") }, Timestamp::now());
    let text = frame(&mut page, seen);
    assert!(
        text.contains(&format!("{{\"id\":\"{element}\",\"swap\":\"append\"")) && text.contains("<p>two</p>"),
        "{text}"
    );

    // A result that fails to render leaves the message in its place.
    let seen = page.cursor();
    let ending = Ending { result: Some(json!({})), ..Ending::failed("No such table") };
    page.apply(Update::Ended(ending), Timestamp::now());
    let text = frame(&mut page, seen);
    assert!(
        text.contains("No such table") && text.contains("could not be shown") && text.contains("Try"),
        "{text}"
    );
}

/// What a run would be heard to say.
fn said_by(say: impl FnOnce(&Progress)) -> Vec<Update> {
    struct Heard(Mutex<Vec<Update>>);
    impl Sink for Heard {
        fn update(&self, update: Update) {
            self.0.lock().push(update);
        }
    }
    let heard = Arc::new(Heard(Mutex::default()));
    say(&Progress::new(Arc::clone(&heard) as _, Cancel::default()));
    heard.0.lock().clone()
}

#[test]
fn what_is_said_is_said_as_it_was_meant() {
    let said = said_by(|p| p.status_at(Level::Error, "no"));
    assert!(matches!(&said[..], [Update::Status { level: Level::Error, .. }]), "{said:?}");
    let counts = |said: &[Update]| match said {
        [Update::Count { label, unit, total }, ..] => {
            (label.as_ref().map(ToString::to_string), unit.as_ref().map(ToString::to_string), *total)
        }
        other => panic!("{other:?}"),
    };
    let said = said_by(|p| p.track(1..=3).label("Reading").unit("rows").into_iter().for_each(drop));
    assert_eq!(counts(&said), (Some("Reading".into()), Some("rows".into()), Some(3)));
    // A size hint that is not exact is no total.
    let said = said_by(|p| p.track((1..=3).filter(|n| n % 2 == 0)).into_iter().for_each(drop));
    assert_eq!(counts(&said), (None, None, None));
    let said = said_by(|p| p.track((1..=3).filter(|n| n % 2 == 0)).total(9).into_iter().for_each(drop));
    assert_eq!(counts(&said).2, Some(9));
}

#[tokio::test]
async fn a_tracked_stream_that_waits_notices_a_cancel() {
    let cancel = Cancel::default();
    let p = Progress::new(Arc::new(Nobody), cancel.clone());
    let items = tokio_stream::iter([1]).chain(tokio_stream::pending());
    let mut items = p.track_stream(items);
    assert_eq!(items.next().await, Some(Ok(1)));
    let waiting = async {
        let next = items.next().await;
        (next, items.next().await)
    };
    let (seen, ()) = tokio::join!(waiting, async { cancel.request() });
    assert_eq!(seen, (Some(Err(Cancelled)), None));
}

struct Nobody;

impl Sink for Nobody {
    fn update(&self, _: Update) {}
}

#[test]
fn a_region_too_many_is_refused_and_those_there_go_on() {
    let p = Progress::new(Arc::new(Nobody), Cancel::default());
    let note = || Html::trusted("x");
    for n in 0..REGION_LIMIT {
        p.clone().append(&format!("r{n}"), note()).expect("one of those that may be");
    }
    for answer in [p.swap("more", note()), p.append("more", note())] {
        assert!(matches!(answer, Err(ContentError::TooMany(id)) if id == "more"));
    }
    p.swap("r7", note()).expect("it is there");
}

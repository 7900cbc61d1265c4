//! How long the binary's sessions last, by a clock that the tests put forward and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode, header};
use jiff::Timestamp;
use liveops::store::{Accounts as _, Digest, Sqlite, User};
use liveops::testing::ManualClock;
use liveops::web::{self, SessionLimits, WebOptions};
use liveops::{Clock as _, LiveOps, Operation, OperationId, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;
use tower::ServiceExt as _;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Serialize, Deserialize)]
struct Wait {}

impl Operation for Wait {
    const KIND: &'static str = "wait";

    async fn run(self, p: Progress) -> liveops::Result {
        Err(p.cancelled().await.into())
    }
}

/// A site by a clock of its own.
struct Home {
    clock: ManualClock,
    live: LiveOps,
    store: Sqlite,
    site: Router,
    _folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
        let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).expect("in range"));
        let builder = LiveOps::builder().store(store.clone()).operation::<Wait>().clock(clock.clone());
        let key = SecretKey::new(&[7; 32]).expect("a key");
        let live = builder.secret_key(key).start().await.expect("it starts");
        let site = web::site(live.clone(), Arc::new(store.clone()), &WebOptions::default());
        Self { clock, live, store, site, _folder: folder }
    }

    /// Somebody with a session that is called like them and lasts as long as the site's do.
    async fn user(&self, name: &str) -> Viewer {
        let (id, session, now) = (name.to_owned(), name.to_owned(), self.clock.now());
        let user =
            User { id, name: session.clone(), groups: Vec::new(), superuser: false, password_hash: None };
        self.store.add_user(user.clone(), now).await.expect("added");
        let expires = now + SessionLimits::default().life;
        assert!(self.store.open_session(Digest::of(name), &user, expires, now).await.expect("the store"));
        Viewer { id: user.id, name: user.name, groups: Vec::new(), superuser: false, session }
    }

    async fn send(&self, who: &str, request: axum::http::request::Builder) -> axum::response::Response {
        let request = request.header(header::COOKIE, format!("liveops_session={who}"));
        let request = request.body(Body::empty()).expect("a request");
        self.site.clone().oneshot(request).await.expect("an answer")
    }

    /// Whether somebody who opens a page is signed in still.
    async fn is_in(&self, who: &str) -> bool {
        match self.send(who, Request::get("/operations")).await.status() {
            StatusCode::OK => true,
            StatusCode::SEE_OTHER => false,
            other => panic!("{other}"),
        }
    }

    async fn used(&self, who: &str) -> Timestamp {
        self.store.session(Digest::of(who)).await.expect("the store").expect("it is there").used
    }

    /// Waits until it is noted that somebody was here just now, of which nobody is told.
    async fn noted(&self, who: &str) {
        let noted = async {
            while self.used(who).await != self.clock.now() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), noted).await.expect("it is noted");
    }

    async fn stream(&self, viewer: &Viewer, id: OperationId) -> axum::response::Response {
        let token = self.live.subscription_token(&viewer.id, id);
        self.send(&viewer.session, Request::get(format!("/stream?token={}", token.as_str()))).await
    }
}

/// Reads on until a text comes; false where the stream ends before.
async fn reads(stream: &mut BodyDataStream, text: &str) -> bool {
    let reads = async {
        let mut read = String::new();
        while let Some(bytes) = stream.next().await {
            read.push_str(std::str::from_utf8(&bytes.expect("bytes")).expect("UTF-8"));
            if read.contains(text) {
                return true;
            }
        }
        false
    };
    tokio::time::timeout(Duration::from_secs(30), reads).await.expect("it comes, or the end does")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_used_lasts_fourteen_days_and_no_longer() {
    let home = Home::new().await;
    home.user("ada").await;
    for _ in 0..3 {
        home.clock.advance(4 * DAY);
        assert!(home.is_in("ada").await);
        home.noted("ada").await;
    }
    home.clock.advance(2 * DAY - MINUTE);
    assert!(home.is_in("ada").await);
    home.clock.advance(MINUTE);
    assert!(!home.is_in("ada").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_uses_is_dead_after_seven_days() {
    let home = Home::new().await;
    let ada = home.user("ada").await;
    let id = home.live.start(&ada, Wait {}).await.expect("started");
    for _ in 0..6 {
        home.clock.advance(DAY);
        // What an open page does by itself is no use.
        let page = Request::get(format!("/operations/{id}")).header("x-liveops", "1");
        assert_eq!(home.send("ada", page).await.status(), StatusCode::OK);
        assert_eq!(home.stream(&ada, id).await.status(), StatusCode::OK);
    }
    home.clock.advance(DAY - MINUTE);
    let page = Request::get("/operations").header("x-liveops", "1");
    assert_eq!(home.send("ada", page).await.status(), StatusCode::OK, "a minute is left");
    home.clock.advance(MINUTE);
    assert!(!home.is_in("ada").await);
    assert_eq!(home.stream(&ada, id).await.status(), StatusCode::UNAUTHORIZED);
    assert!(!home.is_in("ada").await, "it does not come back");
}

/// The script sends the cancel form, but somebody pressed the button.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_a_use_whoever_sends_it() {
    let home = Home::new().await;
    home.user("ada").await;
    home.clock.advance(6 * DAY);
    let cancel = Request::post(format!("/operations/{}/cancel", OperationId::new())).header("x-liveops", "1");
    assert_eq!(home.send("ada", cancel).await.status(), StatusCode::NOT_FOUND);
    home.noted("ada").await;
    home.clock.advance(6 * DAY);
    assert!(home.is_in("ada").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_noted_once_in_a_while() {
    let home = Home::new().await;
    home.user("ada").await;
    let begin = home.clock.now();
    // A hundredth of seven days is more than an hour and a half.
    for _ in 0..9 {
        home.clock.advance(10 * MINUTE);
        assert!(home.is_in("ada").await);
    }
    // What comes later is noted, so whatever was to be noted before would be by then.
    home.clock.advance(DAY);
    let late = home.clock.now();
    let other = home.user("bob").await;
    assert_eq!((home.used("ada").await, home.used(&other.session).await), (begin, late));
    assert!(home.is_in("ada").await);
    home.noted("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_goes_on_when_its_session_is_over() {
    let home = Home::new().await;
    let (ada, bob) = (home.user("ada").await, home.user("bob").await);
    let hers = home.live.start(&ada, Wait {}).await.expect("started");
    let his = home.live.start(&bob, Wait {}).await.expect("started");
    let mut her_stream = home.stream(&ada, hers).await.into_body().into_data_stream();
    let mut his_stream = home.stream(&bob, his).await.into_body().into_data_stream();
    assert!(reads(&mut her_stream, "\"running\"").await && reads(&mut his_stream, "\"running\"").await);
    home.clock.advance(20 * DAY);
    assert!(!home.is_in("ada").await && !home.is_in("bob").await);
    // Who looks for ended sessions has looked when his stream ends, and left hers.
    home.store.close_session(Digest::of("bob")).await.expect("closed");
    assert!(!reads(&mut his_stream, "event: end").await, "it ends without the operation's end");
    assert!(home.live.cancel(&ada, hers).await.expect("the store"));
    assert!(reads(&mut her_stream, "event: end").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_lets_no_session_live_longer() {
    let home = Home::new().await;
    home.user("ada").await;
    let begin = home.clock.now();
    // It is set right by a little: that is none of her business.
    home.clock.set(begin - 30 * MINUTE);
    assert!(home.is_in("ada").await);
    home.noted("ada").await;
    home.clock.advance(7 * DAY);
    assert!(!home.is_in("ada").await, "seven days after her last visit, whatever the clock said before");
    // It was days ahead when she was here, so nobody knows since when she has not been.
    home.clock.set(begin);
    home.user("eve").await;
    home.clock.advance(5 * DAY);
    assert!(home.is_in("eve").await);
    home.noted("eve").await;
    home.clock.set(begin + DAY);
    assert!(!home.is_in("eve").await);
    // It was years ahead when he signed in.
    home.clock.set(begin + 1000 * DAY);
    home.user("bob").await;
    assert!(home.is_in("bob").await);
    for back in [begin, begin + 985 * DAY, begin + 1000 * DAY - 2 * HOUR] {
        home.clock.set(back);
        assert!(!home.is_in("bob").await, "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_limits_count_for_sessions_that_are_open() {
    let home = Home::new().await;
    home.user("ada").await;
    home.clock.advance(2 * DAY);
    assert!(home.is_in("ada").await);
    home.noted("ada").await;
    let site = |life, idle| {
        let options = WebOptions { sessions: SessionLimits { life, idle }, ..WebOptions::default() };
        web::site(home.live.clone(), Arc::new(home.store.clone()), &options)
    };
    home.clock.advance(DAY);
    // The last one is a use.
    for (life, idle, lasts) in [(14 * DAY, DAY, false), (2 * DAY, 7 * DAY, false), (14 * DAY, 2 * DAY, true)]
    {
        let request = Request::get("/operations").header(header::COOKIE, "liveops_session=ada");
        let request = request.body(Body::empty()).expect("a request");
        let answer = site(life, idle).oneshot(request).await.expect("an answer");
        assert_eq!(answer.status() == StatusCode::OK, lasts, "{life:?} {idle:?}");
    }
    // What is over stays so, also once the sign-in's own end comes near.
    for _ in 0..10 {
        home.clock.advance(DAY);
        let request = Request::get("/operations").header(header::COOKIE, "liveops_session=ada");
        let request = request.body(Body::empty()).expect("a request");
        let answer = site(2 * DAY, 14 * DAY).oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    }
}

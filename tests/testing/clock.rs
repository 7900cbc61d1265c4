//! A clock that a test puts forward, in a whole `LiveOps`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use liveops::live::OpenError;
use liveops::operation::{OperationId, Outcome, State};
use liveops::store::{Accounts as _, Digest, Sqlite, User};
use liveops::stream::Cursor;
use liveops::testing::ManualClock;
use liveops::web::{self, WebOptions};
use liveops::{Clock, LiveOps, Operation, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longest wait for anything.
const LONG: Duration = Duration::from_secs(30);

/// Stays until it is cancelled, or is over at once.
#[derive(Serialize, Deserialize)]
struct Stay(bool);

impl Operation for Stay {
    const KIND: &'static str = "stay";

    async fn run(self, p: Progress) -> liveops::Result {
        if self.0 {
            return Err(p.cancelled().await.into());
        }
        Ok(Outcome::default())
    }
}

pub(crate) struct Home {
    pub(crate) live: LiveOps,
    pub(crate) store: Sqlite,
    pub(crate) clock: ManualClock,
    pub(crate) ada: Viewer,
    pub(crate) folder: tempfile::TempDir,
}

impl Home {
    pub(crate) async fn new() -> Self {
        Self::by(|clock| clock).await
    }

    /// By a clock that is made of the one that the test keeps.
    pub(crate) async fn by<C: Clock>(made_of: impl FnOnce(ManualClock) -> C) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::new("2020-02-28T23:00:00Z".parse().expect("a time"));
        let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
        let live = LiveOps::builder()
            .store(store.clone())
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .uploads(folder.path().join("uploads"))
            .operation::<Stay>()
            .retention(30 * DAY)
            .clock(made_of(clock.clone()))
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
        Self { live, store, clock, ada, folder }
    }

    pub(crate) async fn start(&self, stays: bool) -> OperationId {
        self.live.start(&self.ada, Stay(stays)).await.expect("started")
    }

    /// Waits until the operation is in that state, or without one is gone, of which a stream says nothing.
    pub(crate) async fn until(&self, id: OperationId, state: Option<State>) {
        let reached = async {
            while self
                .live
                .view(&self.ada, id)
                .await
                .expect("the store")
                .map(|snapshot| snapshot.projection.state())
                != state
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, reached).await.expect("in time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_until_it_expires() {
    let home = Home::new().await;
    let token = home.live.subscription_token("ada", home.start(true).await);
    let open = async || home.live.open(&home.ada, token.as_str(), None, Cursor::START).await;
    assert!(open().await.is_ok());
    home.clock.advance(5 * MINUTE - Duration::from_secs(1));
    assert!(open().await.is_ok());
    home.clock.advance(Duration::from_secs(1));
    assert!(matches!(open().await, Err(OpenError::Refused)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_removed_once_its_day_has_come() {
    let home = Home::new().await;
    let old = home.start(false).await;
    home.until(old, Some(State::Succeeded)).await;
    home.clock.advance(20 * DAY);
    let young = home.start(false).await;
    home.until(young, Some(State::Succeeded)).await;
    home.clock.advance(11 * DAY);
    home.until(old, None).await;
    home.until(young, Some(State::Succeeded)).await;
    // The housekeeping has been there, and comes again.
    home.clock.advance(20 * DAY);
    home.until(young, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_records_and_pages_are_those_of_the_clock() {
    let home = Home::new().await;
    let id = home.start(true).await;
    home.until(id, Some(State::Running)).await;
    let begin = home.clock.now();
    home.clock.advance(2 * MINUTE);
    assert!(home.live.cancel(&home.ada, id).await.expect("the store"));
    home.until(id, Some(State::Cancelled)).await;
    let snapshot = home.live.view(&home.ada, id).await.expect("the store").expect("it is there");
    let record = snapshot.record;
    assert_eq!((record.created, record.started), (begin, Some(begin)));
    assert_eq!(record.finished, Some(begin + 2 * MINUTE));
    assert_eq!(snapshot.projection.elapsed_seconds(), Some(120.0));
    let page = home.live.page(&home.ada, id).await.expect("the store").expect("it is there");
    let html = page.operation().expect("a container");
    assert!(html.contains("2020-02-28T23:00:00Z"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_binary_ends_when_its_time_has_come() {
    let home = Home::new().await;
    let user = User {
        id: "ada".into(),
        name: "ada".into(),
        groups: Vec::new(),
        superuser: false,
        password_hash: None,
    };
    home.store.add_user(user.clone(), home.clock.now()).await.expect("added");
    let now = home.clock.now();
    assert!(
        home.store.open_session(Digest::of("secret"), &user, now + 2 * DAY, now).await.expect("the store")
    );
    let site = web::site(home.live.clone(), Arc::new(home.store.clone()), &WebOptions::default());
    let status = async || {
        let request = Request::get("/operations").header(header::COOKIE, "liveops_session=secret");
        site.clone()
            .oneshot(request.body(Body::empty()).expect("a request"))
            .await
            .expect("an answer")
            .status()
    };
    assert_eq!(status().await, StatusCode::OK);
    home.clock.advance(2 * DAY);
    assert_eq!(status().await, StatusCode::SEE_OTHER, "sign in again");
}

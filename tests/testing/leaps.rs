//! A clock that is put forward or back by a year while a `LiveOps` is at work.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use liveops::Clock;
use liveops::operation::State;
use liveops::store::Filter;
use liveops::stream::Cursor;
use liveops::testing::ManualClock;
use rusqlite::Connection;

use super::clock::{DAY, Home, MINUTE};

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What leaps like the system's clock: nobody meant it.
struct Wall(ManualClock);

#[async_trait]
impl Clock for Wall {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.sleep_until(at).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_lists_and_streams_go_on() {
    let home = Home::by(Wall).await;
    let live = &home.live;
    let begin = home.clock.now();
    let first = home.start(true).await;
    home.until(first, Some(State::Running)).await;
    let token = live.subscription_token("ada", first);
    let (mut started, mut stayed) = (vec![first], vec![first]);
    for leap in [begin + YEAR, begin - YEAR, begin] {
        home.clock.set(leap);
        // What runs is not taken for dead, and what is started runs.
        let (stays, ends) = (home.start(true).await, home.start(false).await);
        home.until(stays, Some(State::Running)).await;
        home.until(ends, Some(State::Succeeded)).await;
        home.until(first, Some(State::Running)).await;
        started.extend([stays, ends]);
        let list = live.list(&home.ada, &Filter::default(), 1).await.expect("the store").records;
        let list: Vec<_> = list.iter().map(|record| record.id).collect();
        assert!(list.iter().eq(started.iter().rev()), "newest first at {leap}");
        let fresh = live.subscription_token("ada", stays);
        assert!(live.open(&home.ada, fresh.as_str(), None, Cursor::START).await.is_ok());
        assert!(live.cancel(&home.ada, stays).await.expect("the store"));
        home.until(stays, Some(State::Cancelled)).await;
        stayed.push(stays);
    }
    assert!(live.open(&home.ada, token.as_str(), None, Cursor::START).await.is_ok(), "as good as before");
    home.clock.set(begin - YEAR);
    for id in started {
        assert!(live.cancel(&home.ada, id).await.expect("the store"));
        let ending = if stayed.contains(&id) { State::Cancelled } else { State::Succeeded };
        home.until(id, Some(ending)).await;
        let page = live.view(&home.ada, id).await.expect("the store").expect("there").projection;
        assert!(page.elapsed_seconds().is_none_or(|seconds| seconds >= 0.0), "{:?}", page.elapsed_seconds());
        let page = live.page(&home.ada, id).await.expect("the store").expect("there");
        let html = page.operation().expect("a container");
        let took = ["took ", "stopped after ", "stopped within a second"];
        assert!(took.iter().any(|words| html.contains(words)) && !html.contains(" -"), "{html}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leaps_ahead_takes_little_along_before_it_is_put_right() {
    let home = Home::by(Wall).await;
    let begin = home.clock.now();
    let database = Connection::open(home.folder.path().join("app.db")).expect("the database");
    // Work in the background, which tells nobody.
    let removed_by = async |at: Timestamp| {
        let sql = "SELECT value FROM liveops_meta WHERE key = 'removing'";
        let reached = async {
            while database.query_row(sql, [], |row| row.get(0)) != Ok(at.as_microsecond()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(MINUTE, reached).await.expect("the house is kept");
    };
    removed_by(begin).await;
    let old = home.start(false).await;
    home.until(old, Some(State::Succeeded)).await;
    home.clock.advance(YEAR);
    for days in 1..=30 {
        removed_by(begin + DAY * days).await;
        home.until(old, Some(State::Succeeded)).await;
        home.clock.advance(HOUR);
    }
    // Nobody put it right.
    home.until(old, None).await;
}

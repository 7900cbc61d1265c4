//! The recorder: as a server would run it, from any test.

use std::time::Duration;

use liveops::operation::{Outcome, State};
use liveops::progress::{Level, Update};
use liveops::testing::{ManualClock, Recorded, Recorder};
use liveops::{Clock as _, Operation, Progress};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Does what its name says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Act(String);

impl Operation for Act {
    const KIND: &'static str = "act";

    async fn run(self, p: Progress) -> liveops::Result {
        match self.0.as_str() {
            "speak" => {
                let stage = p.stage("Read");
                p.status("Reading");
                p.percent(25.0);
                p.log_at(Level::Error, "a <b>");
                p.failed("line 2", "empty");
                drop(stage);
                let _stage = p.stage("Write");
                for n in p.track(1..=4) {
                    p.log(format!("{}", n?));
                }
                Outcome::result(json!({ "rows": 4 })).redirect("/done").into()
            }
            "fail" => Err("the password is hunter2".into()),
            "error" => p.error("no such table"),
            "panic" => panic!("the password is hunter2"),
            "chain" => p.chain_to(&Self("speak".into())),
            "wrapped" => {
                p.log("begun");
                let cancelled = p.cancelled().await;
                Err(std::io::Error::other(cancelled).into())
            }
            "deaf" => {
                p.log("begun");
                p.result("went on")
            }
            // As reading a file would; the other thread needs the runtime meanwhile.
            "block" => {
                let (tell, told) = std::sync::mpsc::channel();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    tell.send("awake")
                });
                p.result(told.recv()?)
            }
            "late" => {
                std::thread::spawn(move || (0..10_000).for_each(|_| p.log("too late")));
                Ok(Outcome::default())
            }
            "hang" => {
                p.log("about to hang");
                std::future::pending().await
            }
            other => Err(format!("no such act: {other}").into()),
        }
    }

    async fn on_restart(&mut self, attempt: u32) -> liveops::Result<()> {
        self.0 = if attempt == 2 { "error".into() } else { "fail".into() };
        Ok(())
    }
}

fn act(name: &str) -> Recorded {
    Recorder::new().run(Act(name.into()))
}

#[test]
fn everything_said_is_kept_in_its_order() {
    let seen = act("speak");
    assert_eq!(seen.state(), State::Succeeded, "{seen:?}");
    assert_eq!(seen.statuses(), ["Reading"]);
    assert_eq!(seen.stages(), ["Read", "Write"]);
    assert_eq!(seen.log(), ["a <b>", "line 2: empty", "1", "2", "3", "4"]);
    assert_eq!(seen.log_at(Level::Error), ["a <b>"]);
    assert_eq!(seen.log_at(Level::Warning), ["line 2: empty"]);
    assert_eq!(seen.failures(), [("line 2", "empty")]);
    assert_eq!((seen.percents(), seen.percent()), (vec![25.0], Some(100.0)));
    assert_eq!((seen.result(), seen.redirect()), (Some(&json!({ "rows": 4 })), Some("/done")));
    assert!(matches!(seen.updates()[0], Update::EnterStage(_)), "{seen:?}");
    assert_eq!(seen.projection().log().total(), 6);
    assert_eq!(seen.projection().ending().map(|ending| ending.state), Some(State::Succeeded));
}

#[test]
fn each_ending_is_that_of_a_server() {
    let general = act("fail").error().map(str::to_owned);
    assert!(general.as_deref().is_some_and(|text| !text.contains("hunter2")), "{general:?}");
    for (name, detail) in
        [("fail", "the password is hunter2"), ("panic", "panicked: the password is hunter2")]
    {
        let seen = act(name);
        assert_eq!((seen.state(), seen.detail()), (State::Failed, Some(detail)));
        assert_eq!(seen.error(), general.as_deref(), "{name}");
    }
    let seen = act("error");
    assert_eq!((seen.state(), seen.error(), seen.detail()), (State::Failed, Some("no such table"), None));
    assert_eq!(act("chain").next(), Some(Act("speak".into())));
    assert_eq!(act("speak").next::<Act>(), None);
}

#[test]
fn a_cancelling_comes_after_so_many_updates() {
    let after = |name: &str, updates| Recorder::new().cancel_after(updates).run(Act(name.into()));
    let seen = after("wrapped", 1);
    assert_eq!((seen.state(), seen.log()), (State::Cancelled, vec!["begun".to_owned()]));
    assert_eq!(after("wrapped", 0).state(), State::Cancelled, "before it began");
    assert_eq!(after("deaf", 1).result(), Some(&json!("went on")), "it never looked");
    let seen = after("speak", 9);
    assert_eq!(seen.state(), State::Cancelled);
    assert!(seen.log().len() < 6 && !seen.log().is_empty(), "{seen:?}");
    let seen = Recorder::new()
        .cancel_when(|update| matches!(update, Update::EnterStage(name) if name.as_str() == "Write"))
        .run(Act("speak".into()));
    assert_eq!((seen.state(), seen.log().len()), (State::Cancelled, 2), "{seen:?}");
}

#[test]
fn what_is_said_after_the_end_does_not_count() {
    for _ in 0..20 {
        let seen = act("late");
        assert_eq!(seen.projection().log().total(), seen.updates().len() as u64);
        assert_eq!(seen.projection().state(), State::Succeeded);
    }
}

#[test]
fn a_later_attempt_is_told_so() {
    assert_eq!(Recorder::new().attempt(2).run(Act("speak".into())).error(), Some("no such table"));
    assert_eq!(Recorder::new().attempt(2).run(Act("speak".into())).projection().attempt(), 2);
}

#[test]
fn times_are_those_of_the_clock() {
    let clock = ManualClock::new("2026-11-25T14:02:00Z".parse().expect("a time"));
    let seen = Recorder::new().clock(clock.clone()).run(Act("speak".into()));
    assert!(seen.projection().log().lines().all(|line| line.at == clock.now()));
    assert_eq!(seen.projection().elapsed_seconds(), Some(0.0));
}

#[test]
#[should_panic(expected = "about to hang")]
fn what_does_not_end_says_what_it_said() {
    // On a busy machine its thread begins late.
    let _ = Recorder::new().patience(Duration::from_secs(2)).run(Act("hang".into()));
}

#[test]
fn an_operation_may_block() {
    assert_eq!(act("block").result(), Some(&json!("awake")));
}

#[tokio::test]
async fn it_works_on_the_thread_of_an_async_test() {
    assert_eq!(act("block").result(), Some(&json!("awake")));
    assert_eq!(Recorder::new().run_async(Act("block".into())).await.result(), Some(&json!("awake")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_beside_other_threads_of_an_async_test() {
    assert_eq!(act("block").result(), Some(&json!("awake")));
    assert_eq!(Recorder::new().run_async(Act("block".into())).await.result(), Some(&json!("awake")));
}

/// Asks a server and says what it answers.
#[derive(Serialize, Deserialize)]
struct Ask(std::net::SocketAddr);

impl Operation for Ask {
    const KIND: &'static str = "ask";

    async fn run(self, p: Progress) -> liveops::Result {
        p.result(reqwest::get(format!("http://{}/", self.0)).await?.text().await?)
    }
}

#[tokio::test]
async fn an_operation_may_talk_to_the_runtime_of_its_test() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let site = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let server = tokio::spawn(async move { axum::serve(listener, site).await });
    assert_eq!(Recorder::new().run_async(Ask(address)).await.result(), Some(&json!("hello")));
    server.abort();
}

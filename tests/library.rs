//! The library as an application embeds it: its own operations and viewers, no binary.

use std::time::Duration;

use liveops::live::{OpenError, Opened, Reader, RestartAnswer};
use liveops::operation::{OperationId, State};
use liveops::store::{Filter, Sqlite};
use liveops::stream::Cursor;
use liveops::testing::StreamClient;
use liveops::{LiveOps, LiveOpsBuilder, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

/// Ends as its input says, so that each ending can be tried.
#[derive(Serialize, Deserialize)]
struct Act(String);

impl Operation for Act {
    const KIND: &'static str = "act";

    async fn run(self, p: Progress) -> liveops::Result {
        match self.0.as_str() {
            "succeed" => p.result(json!({ "rows": 3 })),
            "plain" => Ok(Outcome::default()),
            "error" => p.error("no such table"),
            "fail" => Err("the password is hunter2".into()),
            "panic" => panic!("the password is hunter2"),
            "wrapped" => {
                p.log("begun");
                let cancelled = p.cancelled().await;
                Err(std::io::Error::other(cancelled).into())
            }
            "block" => {
                p.log("begun");
                // Blocks its thread, as reading a file would; only its own clone tells it to stop.
                while !p.is_cancelled() {
                    std::thread::yield_now();
                }
                p.result("went on")
            }
            "threads" => {
                let threads: Vec<_> = (0..8)
                    .map(|thread| {
                        let p = p.clone();
                        std::thread::spawn(move || (0..500).for_each(|n| p.log(format!("{thread} {n}"))))
                    })
                    .collect();
                for thread in threads {
                    thread.join().map_err(|_| "a thread panicked")?;
                }
                Ok(Outcome::default())
            }
            "late" => {
                std::thread::spawn({
                    let p = p.clone();
                    move || {
                        for n in 0..100_000 {
                            p.status(format!("too late {n}"));
                            p.log("too late");
                        }
                    }
                });
                p.result("the end")
            }
            other => Err(format!("no such act: {other}").into()),
        }
    }
}

fn viewer(id: &str) -> Viewer {
    Viewer {
        id: id.into(),
        name: id.to_uppercase(),
        groups: Vec::new(),
        superuser: false,
        session: format!("session of {id}"),
    }
}

struct App {
    live: LiveOps,
    _folder: tempfile::TempDir,
}

impl App {
    async fn start() -> Self {
        Self::of::<Act>().await
    }

    async fn of<O: Operation>() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let live = LiveOps::builder()
            .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
            .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
            .operation::<O>()
            .mount("/live")
            .start()
            .await
            .expect("it starts");
        Self { live, _folder: folder }
    }

    /// Starts one that runs until it is cancelled, and watches it.
    async fn visit<O: Operation>(&self, operation: O) -> (OperationId, StreamClient) {
        let id = self.live.start(&viewer("ada"), operation).await.expect("started");
        (id, StreamClient::open(&self.live, &viewer("ada"), id).await)
    }

    async fn cancelled(&self, id: OperationId, mut client: StreamClient) {
        self.live.cancel(&viewer("ada"), id).await.expect("the store");
        assert_eq!(client.end().await.state, State::Cancelled);
    }

    async fn act(&self, act: &str) -> (OperationId, Reader) {
        let id = self.live.start(&viewer("alice"), Act(act.into())).await.expect("started");
        (id, self.watch(id).await)
    }

    async fn watch(&self, id: OperationId) -> Reader {
        let token = self.live.subscription_token("alice", id);
        match self.live.open(&viewer("alice"), token.as_str(), None, Cursor::START).await {
            Ok(Opened::Stream(watch, _)) => watch,
            other => panic!("{other:?}"),
        }
    }

    /// All that a watcher is sent until the end.
    async fn follow(&self, mut watch: Reader) -> String {
        let all = async {
            let mut text = String::new();
            while let Some(frame) = watch.next().await {
                text.push_str(std::str::from_utf8(&frame.bytes).expect("UTF-8"));
            }
            text
        };
        tokio::time::timeout(Duration::from_secs(30), all).await.expect("it ends")
    }

    async fn state(&self, id: OperationId) -> State {
        let snapshot = self.live.view(&viewer("alice"), id).await.expect("the store answers");
        snapshot.expect("it is there").projection.state()
    }
}

async fn until_logged(watch: &mut Reader) {
    let begun = async {
        loop {
            let frame = watch.next().await.expect("it runs");
            if std::str::from_utf8(&frame.bytes).expect("UTF-8").contains("begun") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun).await.expect("it begins");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ending_is_what_the_run_returned() {
    let app = App::start().await;
    for (act, state) in [
        ("succeed", State::Succeeded),
        ("plain", State::Succeeded),
        ("error", State::Failed),
        ("fail", State::Failed),
        ("panic", State::Failed),
    ] {
        let (id, watch) = app.act(act).await;
        let sent = app.follow(watch).await;
        assert!(
            sent.contains(&format!("\"state\":\"{state}\",\"url\":\"/live/operations/{id}\"")),
            "{act}: {sent}"
        );
        assert!(!sent.contains("hunter2"), "{act}: {sent}");
        assert_eq!(app.state(id).await, state, "{act}, after a reload");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrapped_cancelled_ends_as_cancelled() {
    let app = App::start().await;
    let (id, mut watch) = app.act("wrapped").await;
    until_logged(&mut watch).await;
    assert!(app.live.cancel(&viewer("alice"), id).await.expect("the store answers"));
    let sent = app.follow(watch).await;
    assert!(sent.contains("\"state\":\"cancelling\"") || sent.contains("\"state\":\"cancelled\""), "{sent}");
    assert_eq!(app.state(id).await, State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_block_and_end_well_although_it_was_cancelled() {
    let app = App::start().await;
    let (id, mut watch) = app.act("block").await;
    until_logged(&mut watch).await;
    app.live.cancel(&viewer("alice"), id).await.expect("the store answers");
    app.follow(watch).await;
    assert_eq!(app.state(id).await, State::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_may_log_through_clones_and_no_line_is_lost_or_doubled() {
    let app = App::start().await;
    let (id, watch) = app.act("threads").await;
    app.follow(watch).await;
    let snapshot = app.live.view(&viewer("alice"), id).await.expect("the store answers").expect("there");
    assert_eq!(snapshot.projection.log().total(), 4000);
    let seqs: Vec<u64> = snapshot.projection.log().lines().map(|line| line.seq).collect();
    assert_eq!(seqs, (3801..=4000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_the_end_does_not_count() {
    let app = App::start().await;
    for _ in 0..20 {
        let (id, watch) = app.act("late").await;
        // The watcher sees the ending: no late word took the version that it is shown at.
        let sent = app.follow(watch).await;
        assert!(sent.contains("event: end"), "{sent}");
        let first = app.live.view(&viewer("alice"), id).await.expect("an answer").expect("there").projection;
        assert_eq!(first.state(), State::Succeeded);
        let later = app.live.view(&viewer("alice"), id).await.expect("an answer").expect("there").projection;
        assert_eq!(first.cursor(), later.cursor());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_for_its_user_its_channel_and_the_owner_only() {
    let app = App::start().await;
    let (id, _watch) = app.act("wrapped").await;
    let (other, _other_watch) = app.act("wrapped").await;
    let open = async |who: &str, token: liveops::Token, channel: Option<String>| {
        app.live.open(&viewer(who), token.as_str(), channel.as_deref(), Cursor::START).await
    };
    let mine = || app.live.subscription_token("alice", id);
    assert!(matches!(open("alice", mine(), None).await, Ok(Opened::Stream(..))));
    assert!(matches!(open("alice", mine(), Some(format!("liveop.{id}"))).await, Ok(Opened::Stream(..))));
    let refused = [
        // Somebody else presents it.
        open("bob", mine(), None).await,
        // The owner presents one that was made for somebody else.
        open("alice", app.live.subscription_token("bob", id), None).await,
        // One that was made for somebody who does not own it.
        open("bob", app.live.subscription_token("bob", id), None).await,
        open("alice", mine(), Some(format!("liveop.{other}"))).await,
        open("alice", mine(), Some("liveops.user.alice".into())).await,
        open("alice", app.live.subscription_token("alice", OperationId::new()), None).await,
    ];
    for (index, answer) in refused.into_iter().enumerate() {
        assert!(matches!(answer, Err(OpenError::Refused)), "{index}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_nothing_and_change_nothing() {
    let app = App::start().await;
    let (id, mut watch) = app.act("wrapped").await;
    until_logged(&mut watch).await;
    let bob = viewer("bob");
    assert!(app.live.view(&bob, id).await.expect("an answer").is_none());
    assert!(!app.live.cancel(&bob, id).await.expect("an answer"));
    assert_eq!(app.live.restart(&bob, id).await.expect("an answer"), RestartAnswer::NotFound);
    assert!(app.live.list(&bob, &Filter::default(), 1).await.expect("an answer").records.is_empty());
    assert_eq!(app.state(id).await, State::Running);
    // A superuser sees nobody else's either.
    let root = Viewer { superuser: true, ..bob };
    assert!(app.live.view(&root, id).await.expect("an answer").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_records_what_does_not_end_in_time() {
    let app = App::start().await;
    let (id, mut watch) = app.act("wrapped").await;
    until_logged(&mut watch).await;
    app.live.shutdown(Duration::ZERO).await;
    assert_eq!(app.state(id).await, State::Interrupted);
    assert!(app.follow(watch).await.contains("\"state\":\"interrupted\""));
}

#[tokio::test]
async fn what_is_wired_is_a_path() {
    let refused = async |wire: &dyn Fn(LiveOpsBuilder) -> LiveOpsBuilder| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
        let builder = LiveOps::builder().store(store).secret_key(SecretKey::new(&[7; 32]).expect("a key"));
        wire(builder).start().await.expect_err("it is refused").to_string()
    };
    for mount in ["live", "https://x/live", "//live"] {
        let line = refused(&|builder| builder.mount(mount)).await;
        assert!(line.contains(&format!("{mount:?}")) && line.contains("/live"), "{line}");
    }
    for page in ["/imports", "imports/{id}", "//host/{id}"] {
        let line = refused(&|builder| builder.page_at(page)).await;
        assert!(line.contains(&format!("{page:?}")) && line.contains("/imports/{id}"), "{line}");
    }
}

/// That the only stage of [`Left`] was shown.
static SHOWN: Notify = Notify::const_new();

/// Leaves its only stage, and says nothing more.
#[derive(Serialize, Deserialize)]
struct Left {}

impl Operation for Left {
    const KIND: &'static str = "left";

    async fn run(self, p: Progress) -> liveops::Result {
        let stage = p.stage("Read");
        // The page was shown then, so that nothing is due any more.
        SHOWN.notified().await;
        drop(stage);
        Err(p.cancelled().await.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_was_left_is_shown_as_done_also_if_nothing_more_is_said() {
    let app = App::of::<Left>().await;
    let (id, mut client) = app.visit(Left {}).await;
    client.until("stages", |text| text.contains("Read")).await;
    assert!(!client.page().text("stages").contains('✓'), "it is not left yet");
    SHOWN.notify_one();
    client.until("stages", |text| text.contains("Read") && text.contains('✓')).await;
    app.cancelled(id, client).await;
}

/// Counts on for a while, and then hangs.
#[derive(Serialize, Deserialize)]
struct Silent {}

impl Operation for Silent {
    const KIND: &'static str = "silent";

    async fn run(self, p: Progress) -> liveops::Result {
        for n in p.track(0..100) {
            if n? == 90 {
                break;
            }
            // Time has to pass: how long the rest will take is reckoned from it.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        Err(p.cancelled().await.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_run_that_hangs_is_not_told_for_ever_that_it_is_almost_done() {
    let app = App::of::<Silent>().await;
    let (id, mut client) = app.visit(Silent {}).await;
    // Before it hangs: a page that comes late shows it as it has hung for long.
    client.until("progress", |text| text.contains("left")).await;
    client.until("progress", |text| text.contains("90 of 100") && !text.contains("left")).await;
    app.cancelled(id, client).await;
}

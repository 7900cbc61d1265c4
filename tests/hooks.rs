//! What an operation is told of its attempts: `on_restart` and `on_finish`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use liveops::access::Viewer;
use liveops::operation::{Ending, NewOperation, State};
use liveops::store::{Filter, Sqlite, Store as _, Wanted, WantedKind};
use liveops::testing::StreamClient;
use liveops::{LiveOps, Operation, OperationId, Outcome, Progress, SecretKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

/// Long enough for every machine.
const LONG: Duration = Duration::from_secs(30);

/// Writes down what it is told into a file, beside the database.
#[derive(Serialize, Deserialize)]
struct Told {
    folder: PathBuf,
    act: String,
}

impl Told {
    fn note(&self, words: &str) {
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).append(true).open(self.folder.join("notes"));
        writeln!(file.expect("the notes"), "{words}").expect("a note");
    }
}

impl Operation for Told {
    const KIND: &'static str = "told";
    const AT_ONCE: Option<u32> = Some(1);

    async fn run(self, p: Progress) -> liveops::Result {
        self.note("run");
        match self.act.as_str() {
            "stay" => return Err(p.cancelled().await.into()),
            "hang" => std::future::pending().await,
            "panic" => panic!("as asked"),
            _ => {}
        }
        p.check_cancelled()?;
        p.result(1)
    }

    async fn on_restart(&mut self, attempt: u32) -> liveops::Result<()> {
        self.note(&format!("again {attempt}"));
        if self.act == "unready" {
            return Err("the table is locked".into());
        }
        Ok(())
    }

    async fn on_finish(self, ending: Ending) -> liveops::Result<()> {
        // What it is told is in the database already.
        let store = Sqlite::open_existing(self.folder.join("db"))?;
        let list = store.list("u", &Filter::default(), 1, 100).await?;
        let committed = list.records.iter().filter(|record| record.ending.as_ref() == Some(&ending)).count();
        if self.act == "slow" {
            // For longer than a shutdown takes that does not wait for it.
            std::thread::sleep(Duration::from_millis(300));
        }
        self.note(&format!("{} {committed}", ending.state));
        match self.act.as_str() {
            "bad" => Err("no mail today".into()),
            "worse" => panic!("no mail at all"),
            _ => Ok(()),
        }
    }
}

/// The same, of a kind that is repeated. Its first attempt hangs.
#[derive(Serialize, Deserialize)]
struct Repeated(Told);

impl Operation for Repeated {
    const KIND: &'static str = "repeated";
    const REPEATABLE: bool = true;

    async fn run(self, p: Progress) -> liveops::Result {
        self.0.run(p).await
    }

    async fn on_restart(&mut self, attempt: u32) -> liveops::Result<()> {
        self.0.act.clear();
        self.0.on_restart(attempt).await
    }

    async fn on_finish(self, ending: Ending) -> liveops::Result<()> {
        self.0.on_finish(ending).await
    }
}

struct Home {
    live: LiveOps,
    folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let live = open(&folder).await;
        Self { live, folder }
    }

    async fn start(&self, act: &str) -> OperationId {
        let told = Told { folder: self.folder.path().to_owned(), act: act.to_owned() };
        self.live.start(&viewer(), told).await.expect("started")
    }

    /// The record is asked again and again: it sends no event, and a page's stream is what comes of it.
    async fn until(&self, id: OperationId, state: State) {
        let reached = async {
            while self.state(id).await != state {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, reached).await.expect("in time");
    }

    /// Waits until so many attempts began, which they do after the record says that they run.
    async fn until_begun(&self, attempts: usize) {
        let begun = async {
            while self.noted().iter().filter(|note| *note == "run").count() < attempts {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, begun).await.expect("in time");
    }

    async fn state(&self, id: OperationId) -> State {
        self.live.view(&viewer(), id).await.expect("the store").expect("it is there").record.state
    }

    /// What was noted once everything has ended.
    async fn notes(&self) -> Vec<String> {
        tokio::time::timeout(LONG, self.live.all_ended()).await.expect("in time");
        self.noted()
    }

    fn noted(&self) -> Vec<String> {
        let notes = std::fs::read_to_string(self.folder.path().join("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }
}

async fn open(folder: &tempfile::TempDir) -> LiveOps {
    let builder = LiveOps::builder()
        .store(Sqlite::open(folder.path().join("db")).expect("a database"))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .operation::<Told>()
        .operation::<Repeated>();
    builder.start().await.expect("it starts")
}

/// An operation of that kind, whose run would stay.
fn new<O: Operation>(folder: &tempfile::TempDir) -> NewOperation {
    let told = Told { folder: folder.path().to_owned(), act: "stay".to_owned() };
    NewOperation {
        id: OperationId::new(),
        kind: O::KIND.to_owned(),
        owner: viewer().id,
        title: "Told".to_owned(),
        input: serde_json::to_value(&told).expect("JSON"),
        previous: None,
        submission: None,
        uploads: Vec::new(),
        claimed: false,
    }
}

fn viewer() -> Viewer {
    Viewer { id: "u".into(), name: "u".into(), groups: Vec::new(), superuser: false, session: "s".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_the_first_is_told_before_it_runs() {
    let home = Home::new().await;
    let id = home.start("").await;
    home.until(id, State::Succeeded).await;
    assert_eq!(home.notes().await, ["run", "succeeded 1"]);
    home.live.restart(&viewer(), id).await.expect("the store");
    home.until(id, State::Succeeded).await;
    assert_eq!(home.notes().await[2..], ["again 2", "run", "succeeded 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_cannot_be_prepared_fails() {
    let home = Home::new().await;
    let id = home.start("unready").await;
    home.until(id, State::Succeeded).await;
    assert_eq!(home.notes().await, ["run", "succeeded 1"], "told before it runs again");
    home.live.restart(&viewer(), id).await.expect("the store");
    home.until(id, State::Failed).await;
    assert_eq!(home.notes().await, ["run", "succeeded 1", "again 2", "failed 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_is_told_once_it_is_committed() {
    let home = Home::new().await;
    let panics = home.start("panic").await;
    home.until(panics, State::Failed).await;
    assert_eq!(home.notes().await, ["run", "failed 1"]);

    let running = home.start("stay").await;
    home.until_begun(2).await;
    // It waits, as one of its kind runs at once.
    let waiting = home.start("").await;
    home.live.cancel(&viewer(), waiting).await.expect("the store");
    assert_eq!(home.state(waiting).await, State::Cancelled);
    home.live.cancel(&viewer(), running).await.expect("the store");
    let notes = home.notes().await;
    assert_eq!(notes.iter().filter(|note| note.starts_with("cancelled")).count(), 2, "{notes:?}");
    assert_eq!(notes.iter().filter(|note| *note == "run").count(), 2, "{notes:?}");

    home.start("hang").await;
    home.until_begun(3).await;
    home.live.shutdown(Duration::ZERO).await;
    assert_eq!(home.notes().await.last().map(String::as_str), Some("interrupted 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_in_it_changes_nothing() {
    let home = Home::new().await;
    let mut ids = Vec::new();
    for act in ["bad", "worse", ""] {
        ids.push(home.start(act).await);
        home.until(ids[ids.len() - 1], State::Succeeded).await;
    }
    assert_eq!(home.notes().await.iter().filter(|note| note.starts_with("succeeded")).count(), 3);
    let plain = Ending { result: Some(1.into()), ..Ending::plain(State::Succeeded) };
    for id in ids {
        let seen = home.live.view(&viewer(), id).await.expect("the store").expect("it is there");
        assert_eq!((seen.record.state, seen.record.ending.as_ref()), (State::Succeeded, Some(&plain)));
    }
}

/// Whichever process marks what a dead one left tells it.
#[tokio::test(flavor = "multi_thread")]
async fn an_ending_that_its_process_did_not_live_to_see_is_told_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = NewOperation { claimed: true, ..new::<Told>(&folder) };
    let id = new.id;
    // What another process would have; that it is dropped is the death of that one.
    let theirs = Sqlite::open(folder.path().join("db")).expect("a database");
    theirs.create(new, None, Timestamp::now()).await.expect("it runs there");
    let home = Home { live: open(&folder).await, folder };
    assert_eq!(home.state(id).await, State::Running, "it lives");
    drop(theirs);
    home.until(id, State::Interrupted).await;
    assert_eq!(home.notes().await, ["interrupted 1"], "once, and it is committed");
    home.live.shutdown(LONG).await;
    let later = open(&home.folder).await;
    later.shutdown(LONG).await;
    assert_eq!(home.notes().await, ["interrupted 1"], "nor by a process that starts later");
}

/// It has not ended, so nothing is told of its end.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_a_shutdown_stops_is_repeated_by_the_next_process() {
    let home = Home::new().await;
    let told = Told { folder: home.folder.path().to_owned(), act: "hang".to_owned() };
    let id = home.live.start(&viewer(), Repeated(told)).await.expect("started");
    home.until_begun(1).await;
    home.live.shutdown(Duration::ZERO).await;
    assert_eq!(home.state(id).await, State::Waiting);
    assert_eq!(home.notes().await, ["run"]);
    let home = Home { live: open(&home.folder).await, folder: home.folder };
    home.until(id, State::Succeeded).await;
    assert_eq!(home.notes().await, ["run", "again 2", "run", "succeeded 1"]);
    let seen = home.live.view(&viewer(), id).await.expect("the store").expect("it is there");
    assert_eq!((seen.record.attempt, seen.projection.attempt()), (2, 2));
}

/// Its process may have been told to stop it, and then nobody wants it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_asked_to_stop_is_not_repeated() {
    let home = Home::new().await;
    let told = Told { folder: home.folder.path().to_owned(), act: "hang".to_owned() };
    let id = home.live.start(&viewer(), Repeated(told)).await.expect("started");
    home.until_begun(1).await;
    home.live.cancel(&viewer(), id).await.expect("the store");
    home.live.shutdown(Duration::ZERO).await;
    assert_eq!(home.state(id).await, State::Interrupted);
    assert_eq!(home.notes().await, ["run", "interrupted 1"]);
}

/// It has not ended either.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_process_died_is_repeated_and_told_of_that_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = new::<Repeated>(&folder);
    let id = new.id;
    let theirs = Sqlite::open(folder.path().join("db")).expect("a database");
    theirs.create(new, None, Timestamp::now()).await.expect("it waits");
    let kind = WantedKind { name: Repeated::KIND.to_owned(), at_once: None, repeatable: true };
    let wanted = Wanted { kinds: vec![kind], per_user: None };
    theirs.claim(&wanted, Timestamp::now()).await.expect("the queue").expect("it runs there");
    let home = Home { live: open(&folder).await, folder };
    assert_eq!(home.state(id).await, State::Running, "it lives");
    drop(theirs);
    home.until(id, State::Succeeded).await;
    assert_eq!(home.notes().await, ["again 2", "run", "succeeded 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_it_within_its_grace() {
    let home = Home::new().await;
    let id = home.start("slow").await;
    home.until(id, State::Succeeded).await;
    home.live.shutdown(LONG).await;
    let notes = std::fs::read_to_string(home.folder.path().join("notes")).expect("the notes");
    assert!(notes.ends_with("succeeded 1\n"), "{notes}");
}

/// How many are being told how they ended, and how many were at once.
static TOLD: AtomicUsize = AtomicUsize::new(0);
static MOST_TOLD: AtomicUsize = AtomicUsize::new(0);
static PAIRS: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

#[derive(Serialize, Deserialize)]
struct Slow {}

impl Operation for Slow {
    const KIND: &'static str = "slow";

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }

    async fn on_finish(self, _: Ending) -> liveops::Result<()> {
        MOST_TOLD.fetch_max(TOLD.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Two at a time go on, so two are told at once; time for a third to come, of which there must be none.
        PAIRS.wait().await;
        std::thread::sleep(Duration::from_millis(20));
        TOLD.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_told_at_once_as_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = LiveOps::builder()
        .store(Sqlite::open(folder.path().join("db")).expect("a database"))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .workers(2)
        .operation::<Slow>();
    let live = live.start().await.expect("it starts");
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(live.start(&viewer(), Slow {}).await.expect("started"));
    }
    for id in ids {
        assert_eq!(StreamClient::open(&live, &viewer(), id).await.end().await.state, State::Succeeded);
    }
    tokio::time::timeout(LONG, live.all_ended()).await.expect("in time");
    assert_eq!(MOST_TOLD.load(Ordering::SeqCst), 2);
}

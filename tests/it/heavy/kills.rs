//! A thousand `kill -9`s: small processes share a database, start operations and run them, and die at random moments.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use liveops::live::{NotStarted, RestartAnswer};
use liveops::operation::{Record, State};
use liveops::store::{Filter, REPEATS, Sqlite, Store as _, StoreError};
use liveops::{LiveOps, Operation, OperationId, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::harness::{soon, until};

const KILLS: usize = 1000;
/// So many of those that were interrupted are run again in the end.
const RESTARTS: usize = 100;
/// Processes that live at once.
const TOGETHER: usize = 8;
/// Where a process finds its database, and what decides about what it does.
const FOLDER: &str = "LIVEOPS_TEST_KILLS";
const SEED: &str = "LIVEOPS_TEST_SEED";

/// Logs its lines, and hands over to so many more.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    folder: PathBuf,
    name: String,
    lines: usize,
    more: u32,
}

impl Work {
    async fn log(&self, p: &Progress) {
        // Held for as long as an attempt runs, and freed by its death.
        let running = File::create(self.folder.join(&self.name)).expect("its file");
        if running.try_lock().is_err() {
            std::fs::write(self.folder.join("doubled"), &self.name).expect("a note");
        }
        for n in 1..=self.lines {
            p.log(format!("line #{n}"));
            // The work itself: a kill comes in the middle of it.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn next(self) -> Self {
        Self { name: format!("{}-{}", self.name, self.more), more: self.more - 1, ..self }
    }
}

#[derive(Serialize, Deserialize)]
struct Once(Work);

impl Operation for Once {
    const KIND: &'static str = "once";

    async fn run(self, p: Progress) -> liveops::Result {
        self.0.log(&p).await;
        if self.0.more > 0 { p.chain_to(&Again(self.0.next())) } else { Ok(Outcome::default()) }
    }
}

#[derive(Serialize, Deserialize)]
struct Again(Work);

impl Operation for Again {
    const KIND: &'static str = "again";
    const REPEATABLE: bool = true;

    async fn run(self, p: Progress) -> liveops::Result {
        self.0.log(&p).await;
        if self.0.more > 0 { p.chain_to(&Once(self.0.next())) } else { Ok(Outcome::default()) }
    }
}

/// On a slow disk the others may hold it for longer than is waited for.
fn database(folder: &Path) -> Sqlite {
    loop {
        match Sqlite::open(folder.join("db")) {
            Err(StoreError::Busy(_)) => {}
            opened => return opened.expect("a database"),
        }
    }
}

async fn open(folder: &Path, workers: usize) -> LiveOps {
    let live = LiveOps::builder()
        .store(database(folder))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .uploads(folder.join("uploads"))
        .workers(workers)
        .operation::<Once>()
        .operation::<Again>();
    live.start().await.expect("it starts")
}

fn viewer() -> Viewer {
    Viewer { id: "u".into(), name: "u".into(), groups: Vec::new(), superuser: false, session: "s".into() }
}

/// Numbers that a seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Starts a few operations, says which, and runs what waits until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it in a process of its own"]
async fn process_that_works() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let mut random = Random(std::env::var(SEED).expect("a seed").parse().expect("a number"));
    let live = open(&folder, 4).await;
    println!("\nup");
    for n in 0..4 {
        let work = Work {
            folder: folder.clone(),
            name: format!("run-{}-{n}", std::process::id()),
            lines: if random.below(6) == 0 { 150 } else { 1 + random.below(20) as usize },
            more: random.below(3) as u32,
        };
        let is_repeatable = random.below(2) == 1;
        let started = loop {
            let started = match is_repeatable {
                false => live.start(&viewer(), Once(work.clone())).await,
                true => live.start(&viewer(), Again(work.clone())).await,
            };
            match started {
                Err(NotStarted::Store(StoreError::Busy(_))) => {}
                started => break started.expect("it is started"),
            }
        };
        println!("\nanswered {started}");
        // Some are started while others run; what it is in the middle of when it is killed is left to chance.
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
    }
    // Until it is killed, or its parent has ended.
    let _ = std::io::stdin().lines().next();
}

/// Such a process.
struct Process {
    child: Child,
    /// Tells when it is up.
    up: Option<oneshot::Receiver<()>>,
    /// What it has answered.
    reader: JoinHandle<Vec<OperationId>>,
}

impl Process {
    fn start(folder: &Path, seed: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--ignored", "--exact", "--nocapture", "heavy::kills::process_that_works"]);
        command.env(FOLDER, folder).env(SEED, seed.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (begun, up) = oneshot::channel();
        let reader = std::thread::spawn(move || {
            let (mut begun, mut answered) = (Some(begun), Vec::new());
            for line in lines.map_while(Result::ok) {
                answered.extend(line.strip_prefix("answered ").and_then(|id| id.parse::<OperationId>().ok()));
                if let Some(begun) = begun.take_if(|_| line == "up") {
                    let _ = begun.send(());
                }
            }
            answered
        });
        Self { child, up: Some(up), reader }
    }

    /// Kills it; what it has answered.
    fn kill(mut self) -> Vec<OperationId> {
        assert_eq!(self.child.try_wait().expect("it is ours"), None, "it ended by itself");
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        self.reader.join().expect("no panic")
    }
}

/// Starts and kills processes, one after the other; what they have answered.
async fn kill_many(folder: PathBuf, kills: usize, mut random: Random) -> Vec<OperationId> {
    let store = database(&folder);
    let mut answered = Vec::new();
    for _ in 0..kills {
        let mut process = Process::start(&folder, random.below(u64::MAX));
        // At its start, soon after it, or when its runs have stored a part of what they said.
        let (started, life) = match random.below(8) {
            0..3 => (false, random.below(150)),
            3..7 => (true, random.below(200)),
            _ => (true, random.below(1500)),
        };
        if let Some(up) = process.up.take_if(|_| started) {
            soon("its start", up).await.expect("it starts");
        }
        // At any moment whatever: so there is nothing to wait for.
        tokio::time::sleep(Duration::from_millis(life)).await;
        for id in process.kill() {
            assert!(store.record(id).await.expect("the store").is_some(), "{id} was answered");
            answered.push(id);
        }
    }
    answered
}

/// Every operation there is.
async fn all(store: &Sqlite) -> Vec<Record> {
    let mut records = Vec::new();
    for page in 1.. {
        let more = store.list("u", &Filter::default(), page, 500).await.expect("the list");
        records.extend(more.records);
        if !more.more {
            break;
        }
    }
    records
}

/// What has not ended, once nothing is left of it.
async fn ended(store: &Sqlite) -> Vec<Record> {
    until("all to end", async || {
        let records = all(store).await;
        records.iter().all(|record| record.state.is_final()).then_some(records)
    })
    .await
}

/// How many lines an attempt has logged: each once, in order, with none left out.
async fn logged(store: &Sqlite, record: &Record, attempt: u32) -> usize {
    let lines = store.log(record.id, attempt, 1, 1000).await.expect("the log");
    for (line, n) in lines.iter().zip(1..) {
        let said = (line.seq, line.text.as_str().to_owned());
        assert_eq!(said, (n, format!("line #{n}")), "{} attempt {attempt}", record.id);
    }
    lines.len()
}

fn lines_of(record: &Record) -> usize {
    record.input["lines"].as_u64().expect("its lines") as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_kills_lose_and_double_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let seed =
        std::env::var(SEED).map_or_else(|_| super::deaths::random(), |seed| seed.parse().expect("a number"));
    println!("again with {SEED}={seed}");
    let begin = Instant::now();
    let killers: Vec<_> = (0..TOGETHER)
        .map(|n| kill_many(folder.path().to_owned(), KILLS / TOGETHER, Random(seed.wrapping_add(n as u64))))
        .map(tokio::spawn)
        .collect();
    let mut answered = BTreeSet::new();
    for killer in killers {
        answered.extend(killer.await.expect("what was answered is there"));
    }
    println!("{KILLS} kills in {:?}", begin.elapsed());

    // Nobody is left. What is begun now marks what they ran before it does anything else.
    let live = open(folder.path(), 64).await;
    let store = Sqlite::open(folder.path().join("db")).expect("a database");
    let records = ended(&store).await;
    println!("all ended after {:?}", begin.elapsed());
    let ids: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    assert!(answered.is_subset(&ids), "{:?} are gone", answered.difference(&ids));
    let (mut interrupted, mut repeated, mut parts, mut links) = (Vec::new(), 0, 0, 0);
    for record in &records {
        let about = format!("{record:?}");
        let repeatable = record.kind == Again::KIND;
        match record.state {
            State::Succeeded => {}
            State::Interrupted => interrupted.push(record),
            _ => panic!("{about}"),
        }
        // It ran again for as long as it may.
        let most = if repeatable { 1 + REPEATS } else { 1 };
        assert!(record.attempt <= most, "{about}");
        assert!(record.state == State::Succeeded || record.attempt == most, "{about}");
        repeated += record.attempt - 1;
        let mut last = 0;
        for attempt in 1..=record.attempt {
            last = logged(&store, record, attempt).await;
            assert!(last <= lines_of(record), "{about}");
            parts += usize::from(last > 0 && last < lines_of(record));
        }
        assert!(record.state != State::Succeeded || last == lines_of(record), "{about}");
        // Page and log say the same.
        let page = store.projection(record.id).await.expect("the store").expect("its page");
        assert_eq!(page.log().total() as usize, last, "{about}");
        // What hands over has exactly one next one, and who is handed over to has its one before.
        let next = record.ending.as_ref().and_then(|ending| ending.next);
        let hands_over = record.state == State::Succeeded && record.input["more"].as_u64() > Some(0);
        assert_eq!(next.is_some(), hands_over, "{about}");
        let follow: Vec<_> =
            records.iter().filter(|other| other.previous == Some(record.id)).map(|other| other.id).collect();
        assert_eq!(follow, next.into_iter().collect::<Vec<_>>(), "{about}");
        links += follow.len();
    }
    let database = rusqlite::Connection::open(folder.path().join("db")).expect("the database");
    let sql = "SELECT count(*) FROM liveops_log AS log LEFT JOIN liveops_operations AS operation ON id = log.operation
               WHERE log.attempt > operation.attempt OR id IS NULL";
    let strays: u32 = database.query_row(sql, [], |row| row.get(0)).expect("a count");
    assert_eq!(strays, 0, "logs of attempts that there never were");
    assert!(!folder.path().join("doubled").exists(), "two attempts of one operation ran at once");
    println!(
        "{} operations, {} answered, {links} handed over to, {} interrupted, {repeated} attempts repeated, {parts} logs in part",
        records.len(),
        answered.len(),
        interrupted.len()
    );
    // Else it attacked nothing.
    assert!(interrupted.len() > 20 && repeated > 20 && parts > 5 && links > 20);

    let mut restarts = JoinSet::new();
    for id in interrupted.iter().map(|record| record.id).take(RESTARTS) {
        let live = live.clone();
        restarts.spawn(async move { live.restart(&viewer(), id).await.expect("the store") });
    }
    assert!(restarts.join_all().await.iter().all(|answer| *answer == RestartAnswer::Queued));
    ended(&store).await;
    for id in interrupted.iter().map(|record| record.id).take(RESTARTS) {
        let record = store.record(id).await.expect("the store").expect("it is there");
        assert_eq!(record.state, State::Succeeded, "what was interrupted can be run again: {record:?}");
        assert_eq!(logged(&store, &record, record.attempt).await, lines_of(&record));
    }
    println!("{:?} in all", begin.elapsed());
}

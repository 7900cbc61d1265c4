//! A run whose output nobody reads, or whose database is held by others.

use std::io::{PipeReader, Write as _, pipe};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::harness::{Server, collect, finish, liveops, signal, soon, until};

fn run(folder: &Path, fields: &[&str]) -> Command {
    let mut command = liveops(folder);
    command.args(["run", "simulate"]).stdin(Stdio::null());
    for field in fields {
        command.args(["--field", field]);
    }
    command
}

async fn exit_code(child: &mut Child) -> Option<i32> {
    until("its exit", async || child.try_wait().expect("ours")).await.code()
}

/// A pipe that is full and stays so. While the reader lives, it takes nothing.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().expect("a pipe");
    let stdout = writer.try_clone().expect("another handle").into();
    std::thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
    (reader, stdout)
}

#[tokio::test]
async fn a_full_pipe_holds_no_interrupt() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (_reader, stdout) = full_pipe();
    let mut command = run(server.folder(), &["steps=100000", "delay_ms=10", "log_every=1"]);
    let mut running = command.stdout(stdout).stderr(Stdio::null()).spawn().expect("the binary starts");
    let id = client.first_operation().await;
    client.reaches(&id, "running").await;
    signal(&running, "-INT");
    assert_eq!(exit_code(&mut running).await, Some(130));
    assert_eq!(client.page(&id).await.state, "cancelled");
}

#[tokio::test]
async fn a_full_pipe_does_not_keep_a_run_from_its_end() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (_reader, stdout) = full_pipe();
    let mut command = run(server.folder(), &["steps=3000", "delay_ms=0", "log_every=1", "chain=1"]);
    let mut running = command.stdout(stdout).stderr(Stdio::null()).spawn().expect("the binary starts");
    let id = client.first_operation().await;
    let next = client.finished(&id).await.attribute("data-liveop-next").expect("it handed over");
    let next = next.trim_start_matches("/operations/");
    assert_eq!(client.finished(next).await.state, "succeeded");
    assert!(running.try_wait().expect("ours").is_none(), "what it has to tell waits for a reader");
    signal(&running, "-INT");
    assert_eq!(exit_code(&mut running).await, Some(130), "it was not all told");
}

#[tokio::test]
async fn nobody_listening_at_all_does_not_hurt_an_interrupt() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (reader, stdout) = pipe().expect("a pipe");
    drop(reader);
    let mut command = run(server.folder(), &["steps=100000", "delay_ms=10", "log_every=1"]);
    command.stderr(stdout.try_clone().expect("another handle")).stdout(stdout);
    let mut running = command.spawn().expect("the binary starts");
    let id = client.first_operation().await;
    client.reaches(&id, "running").await;
    signal(&running, "-INT");
    assert_eq!(exit_code(&mut running).await, Some(130));
    assert_eq!(client.page(&id).await.state, "cancelled");
}

/// A run in a database without a server, and what it says on stderr.
struct Alone {
    folder: tempfile::TempDir,
    running: Child,
    stderr: UnboundedReceiver<String>,
}

impl Alone {
    /// Begins one and waits until it runs.
    async fn start(fields: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut add = liveops(folder.path());
        add.args(["user", "add", "ada", "--password-stdin"]);
        assert!(finish(add, "ada password\n").status.success());
        let mut command = run(folder.path(), fields);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().expect("the binary starts");
        let stderr = collect(running.stderr.take().expect("a pipe"), &Arc::default());
        let mut stdout = collect(running.stdout.take().expect("a pipe"), &Arc::default());
        soon("progress", async { while !stdout.recv().await.expect("it runs").starts_with("progress: ") {} })
            .await;
        Self { folder, running, stderr }
    }

    /// Somebody else writes, for as long as what is returned lives.
    fn lock(&self) -> Connection {
        let other = Connection::open(self.folder.path().join("liveops.db")).expect("a database");
        other.busy_timeout(Duration::from_secs(5)).expect("a setting");
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        other
    }

    /// Waits until it says so.
    async fn says(&mut self, words: &str) {
        let said = async {
            while !self.stderr.recv().await.unwrap_or_else(|| panic!("it never said {words}")).contains(words)
            {
            }
        };
        // Up to four commits, one after the other, wait for the lock before: for 5 s each, and longer on a busy machine.
        let patience = Duration::from_secs(90);
        tokio::time::timeout(patience, said)
            .await
            .unwrap_or_else(|_| panic!("it did not say {words:?} in {patience:?}"));
    }

    /// The stored state of the only operation.
    fn state(&self) -> String {
        let store = Connection::open(self.folder.path().join("liveops.db")).expect("a database");
        store.query_row("SELECT state FROM liveops_operations", [], |row| row.get(0)).expect("one")
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

#[tokio::test]
async fn an_interrupt_while_the_database_is_held_is_recorded_later() {
    let mut alone = Alone::start(&["steps=100000", "delay_ms=20"]).await;
    let lock = alone.lock();
    signal(&alone.running, "-INT");
    alone.says("could not be stored").await;
    drop(lock);
    assert_eq!(exit_code(&mut alone.running).await, Some(130));
    assert!(["cancelled", "failed"].contains(&alone.state().as_str()), "{}", alone.state());
}

#[tokio::test]
async fn an_end_while_the_database_is_held_is_recorded_later() {
    let mut alone = Alone::start(&["steps=250", "delay_ms=20"]).await;
    let lock = alone.lock();
    alone.says("the ending could not be stored").await;
    drop(lock);
    assert_eq!(exit_code(&mut alone.running).await, Some(0));
    assert_eq!(alone.state(), "succeeded");
}

/// What it has to say cannot be said any more, and whoever started it, from cron say, is not kept waiting for it.
#[tokio::test]
async fn a_run_whose_disk_stays_full_ends_and_says_why() {
    let mut alone = Alone::start(&["steps=250", "delay_ms=20", "log_every=1"]).await;
    let limit =
        Command::new("prlimit").args(["--pid", &alone.running.id().to_string(), "--fsize=1:"]).status();
    assert!(limit.expect("util-linux has prlimit").success());
    alone.says("how it ended could not be stored").await;
    assert_eq!(exit_code(&mut alone.running).await, Some(1));
    assert_eq!(alone.state(), "running", "the next process marks it");
}

#[tokio::test]
async fn a_second_interrupt_waits_for_nobody() {
    let mut alone = Alone::start(&["steps=100000", "delay_ms=20"]).await;
    let _lock = alone.lock();
    signal(&alone.running, "-INT");
    alone.says("Once more").await;
    let begin = Instant::now();
    signal(&alone.running, "-INT");
    assert_eq!(exit_code(&mut alone.running).await, Some(130));
    // Each try for the lock takes 5 s, and it waits for none of them.
    assert!(begin.elapsed() < Duration::from_secs(4), "at once, not after {:?}", begin.elapsed());
}

/// What a dead process left is marked as soon as that can be stored; until then nothing is held up by it.
#[tokio::test]
async fn a_dead_run_that_cannot_be_marked_yet_stops_nobody() {
    let mut alone = Alone::start(&["steps=100000", "delay_ms=20"]).await;
    alone.running.kill().expect("ours");
    alone.running.wait().expect("ours");
    let lock = alone.lock();
    let id: String = lock.query_row("SELECT id FROM liveops_operations", [], |row| row.get(0)).expect("one");
    let mut watch = liveops(alone.folder.path());
    watch.args(["watch", &id]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watching = watch.spawn().expect("the binary starts");
    let stderr: Arc<Mutex<String>> = Arc::default();
    let mut lines = collect(watching.stderr.take().expect("a pipe"), &stderr);
    soon("the warning", async {
        while !lines.recv().await.expect("it goes on").contains("could not be marked yet") {}
    })
    .await;
    drop(lock);
    assert_eq!(exit_code(&mut watching).await, Some(1), "{}", stderr.lock().expect("no panic"));
    assert_eq!(alone.state(), "interrupted");
}

/// Nothing was begun, and nobody wants it to be any more.
#[tokio::test]
async fn an_interrupt_before_anything_could_be_begun_is_an_interrupt() {
    let mut alone = Alone::start(&["steps=1"]).await;
    assert_eq!(exit_code(&mut alone.running).await, Some(0));
    let _lock = alone.lock();
    let mut command = run(alone.folder.path(), &["steps=1"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("the binary starts");
    let mut stderr = collect(running.stderr.take().expect("a pipe"), &Arc::default());
    // Not before it listens: a signal would end it as it ends any process.
    until("its handler", async || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        (u64::from_str_radix(caught.trim(), 16).ok()? & 0b10 != 0).then_some(())
    })
    .await;
    signal(&running, "-INT");
    soon("its word", async { while !stderr.recv().await.expect("it runs").contains("Once more") {} }).await;
    assert_eq!(exit_code(&mut running).await, Some(130));
}

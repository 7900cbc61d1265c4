//! `liveops run` and `liveops watch`, and several processes on one database.

mod chain;
mod hostile;
mod json;
mod result;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{Server, finish, liveops, signal, until};

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = liveops(folder);
    command.args(words);
    command
}

fn run(folder: &Path, words: &[&str]) -> Output {
    finish(command(folder, words), "")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}

/// The id on the first line of a run.
fn id_of(line: &str) -> String {
    line.split_whitespace().nth(1).unwrap_or_else(|| panic!("no id in {line:?}")).to_owned()
}

/// Starts a command and reads its output up to the line that begins an operation.
fn begin(folder: &Path, words: &[&str]) -> (Child, String, BufReader<std::process::ChildStdout>) {
    let mut process = command(folder, words);
    let mut child = process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    (child, id_of(&first), lines)
}

const LONG: [&str; 6] = ["run", "simulate", "--field", "steps=100000", "--field", "delay_ms=50"];

#[tokio::test]
async fn a_run_tells_what_happens_and_how_it_ended() {
    let server = Server::start().await;
    let words = [
        "run",
        "simulate",
        "--owner",
        "demo",
        "--field",
        "steps=3000",
        "--field",
        "delay_ms=0",
        "--field",
        "log_every=1",
        "--field",
        "stages=2",
        "--field",
        "message=\u{1b}[31mred",
    ];
    let output = run(server.folder(), &words);
    assert_code(&output, 0);
    let said = stdout(&output);
    assert!(!said.contains('\u{1b}') && said.chars().all(|c| c == '\n' || !c.is_control()), "{said}");
    let log: Vec<_> = said.lines().filter(|line| line.contains("[31mred #")).collect();
    assert_eq!(log.len(), 3000, "each line once");
    assert!(log.iter().enumerate().all(|(n, line)| line.ends_with(&format!(" #{}", n + 1))), "in order");
    for expected in ["operation ", "succeeded", "steps: 3000", "message: "] {
        assert!(said.lines().any(|line| line.starts_with(expected)), "{expected} in {said}");
    }
    // The server shows it as any other.
    let client = server.demo_user().await;
    let id = id_of(&said);
    assert_eq!(client.page(&id).await.state, "succeeded");
    assert_eq!(client.get(&format!("/operations/{id}/log")).await.text().lines().count(), 3000);
    let watched = run(server.folder(), &["watch", &id]);
    assert_code(&watched, 0);
    assert!(stdout(&watched).starts_with("operation "), "first what it is: {}", stdout(&watched));
    assert_eq!(stdout(&watched).lines().filter(|line| line.contains("[31mred #")).count(), 3000);
}

#[tokio::test]
async fn stages_and_lines_are_told_as_they_came_however_short() {
    let server = Server::start().await;
    let mut words = vec!["run", "simulate"];
    for field in ["steps=18", "delay_ms=0", "log_every=1", "stages=9", "message=m"] {
        words.extend(["--field", field]);
    }
    let output = run(server.folder(), &words);
    let watched = run(server.folder(), &["watch", &id_of(&stdout(&output))]);
    let of_stage = |n| [format!("stage: Stage {n}"), format!("m #{}", 2 * n - 1), format!("m #{}", 2 * n)];
    let expected: Vec<_> = (1..=9).flat_map(of_stage).collect();
    for output in [output, watched] {
        let said = stdout(&output);
        assert!(said.starts_with("operation "), "{said}");
        let is_told = |line: &&str| line.starts_with("stage: ") || line.starts_with("m #");
        let told: Vec<_> = said.lines().filter(is_told).collect();
        assert_eq!(told, expected, "{said}");
    }
}

#[tokio::test]
async fn a_database_of_somebody_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = folder.path().join("liveops.db");
    let id = "00000000-0000-4000-8000-000000000000";
    let commands =
        [&["watch", id][..], &["token", id, "--user", "ada"], &["run", "simulate"], &["user", "list"]];
    let theirs = rusqlite::Connection::open(&database).expect("a database");
    theirs.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").expect("a table");
    drop(theirs);
    let foreign = std::fs::read(&database).expect("a file");
    for content in [foreign, Vec::new()] {
        std::fs::write(&database, &content).expect("it is written");
        for words in commands {
            let output = run(folder.path(), words);
            let line = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_code(&output, 2);
            assert!(line.matches('\n').count() == 1 && line.contains("has no tables of liveops"), "{line}");
            assert_eq!(std::fs::read(&database).expect("a file"), content, "{words:?}");
            assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "{words:?}");
        }
    }
}

#[tokio::test]
async fn whoever_only_looks_changes_no_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut add = liveops(folder.path());
    add.args(["user", "add", "ada", "--password-stdin"]);
    assert_code(&finish(add, "ada password\n"), 0);
    let store = rusqlite::Connection::open(folder.path().join("liveops.db")).expect("a database");
    store.execute("UPDATE liveops_meta SET value = 1 WHERE key = 'version'", []).expect("an older version");
    let id = "00000000-0000-4000-8000-000000000000";
    for words in [&["watch", id][..], &["token", id, "--user", "ada"]] {
        let output = run(folder.path(), words);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_code(&output, 2);
        assert!(line.matches('\n').count() == 1 && line.contains("schema version 1"), "{line}");
    }
    let version =
        store.query_row("SELECT value FROM liveops_meta WHERE key = 'version'", [], |row| row.get(0));
    assert_eq!(version, Ok(1));
}

#[tokio::test]
async fn exit_codes_tell_how_it_went() {
    let server = Server::start().await;
    let error = run(
        server.folder(),
        &[
            "run",
            "simulate",
            "--field",
            "steps=1",
            "--field",
            "outcome=error",
            "--field",
            "message=no such table",
        ],
    );
    assert_code(&error, 1);
    assert!(stdout(&error).contains("no such table"), "{error:?}");
    let failed = run(server.folder(), &["run", "simulate", "--field", "steps=1", "--field", "outcome=panic"]);
    assert_code(&failed, 1);
    assert_code(&run(server.folder(), &["watch", &id_of(&stdout(&failed))]), 1);
    let file = server.folder().join("a.csv");
    std::fs::write(&file, "a,b\n1,2\n").expect("it is written");
    let imported =
        run(server.folder(), &["run", "csv_import", "--field", &format!("file={}", file.display())]);
    assert_code(&imported, 0);
    assert!(stdout(&imported).contains("rows imported: 1"), "{imported:?}");
    // Its file lies among the uploads, so the web can run it again.
    std::fs::remove_file(&file).expect("ours");
    let client = server.demo_user().await;
    let id = id_of(&stdout(&imported));
    assert_eq!(client.command(&id, "restart").await.status, 303);
    assert_eq!(client.finished(&id).await.state, "succeeded");
}

#[tokio::test]
async fn wrong_use_is_said_and_begins_nothing() {
    let server = Server::start().await;
    for (words, expected) in [
        (&["run", "nope"][..], "nope"),
        (&["run", "simulate", "--owner", "nobody"], "nobody"),
        (&["run", "simulate", "--field", "steps=x"], "steps: Enter a whole number from 0 to 1000000."),
        (&["run", "simulate", "--field", "nope=1"], "nope"),
        (&["run", "simulate", "--field", "steps"], "NAME=VALUE"),
        (&["run", "simulate", "--field", "steps=1", "--field", "steps=2"], "twice"),
        (&["run", "csv_import"], "file"),
        (&["run", "csv_import", "--field", "file=missing.csv"], "missing.csv"),
        (&["watch", "nonsense"], "nonsense"),
        (&["watch", "00000000-0000-4000-8000-000000000000"], "00000000"),
    ] {
        let output = run(server.folder(), words);
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_code(&output, 2);
        assert!(
            line.starts_with("liveops: ") && line.matches('\n').count() == 1 && line.contains(expected),
            "{line}"
        );
    }
    let client = server.demo_user().await;
    assert!(!client.get("/operations").await.text().contains("id=\"op-"), "nothing was begun");
    server.user("alice").await;
    let output = run(server.folder(), &["run", "simulate"]);
    assert_code(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--owner"), "{output:?}");
    let empty = tempfile::tempdir().expect("a folder");
    for words in [&["run", "simulate"][..], &["watch", "00000000-0000-4000-8000-000000000000"]] {
        assert_code(&run(empty.path(), words), 2);
        assert!(!empty.path().join("liveops.db").exists(), "no database was made");
    }
}

#[tokio::test]
async fn an_interrupt_cancels_a_run_and_leaves_a_watched_one() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (mut running, id, _lines) = begin(server.folder(), &LONG);
    client.reaches(&id, "running").await;
    let (mut watching, watched, _more) = begin(server.folder(), &["watch", &id]);
    assert_eq!(watched, id);
    signal(&watching, "-INT");
    assert_eq!(watching.wait().expect("ours").code(), Some(1));
    assert_eq!(client.page(&id).await.state, "running", "it goes on");
    signal(&running, "-INT");
    assert_eq!(running.wait().expect("ours").code(), Some(130));
    assert_eq!(client.page(&id).await.state, "cancelled");
}

#[tokio::test]
async fn a_run_is_live_on_the_web_and_can_be_cancelled_there() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (mut running, id, _lines) = begin(server.folder(), &LONG);
    let mut events = client.follow(&id).await;
    events
        .until(|event| {
            event.name == "fragment"
                && event.element().ends_with("-progress")
                && event.html().contains("value=")
        })
        .await;
    assert_eq!(client.command(&id, "cancel").await.status, 303);
    let events = events.rest().await;
    assert_eq!(events.last().map(|event| event.data["state"].clone()), Some("cancelled".into()));
    assert_eq!(running.wait().expect("ours").code(), Some(1));
}

#[tokio::test]
async fn a_killed_run_is_marked_by_the_server() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (mut running, id, _lines) = begin(server.folder(), &LONG);
    client.reaches(&id, "running").await;
    running.kill().expect("ours");
    running.wait().expect("ours");
    assert_eq!(client.finished(&id).await.state, "interrupted");
}

#[tokio::test]
async fn nobody_listening_does_not_hurt_a_run() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let words =
        ["run", "simulate", "--field", "steps=2000", "--field", "delay_ms=1", "--field", "log_every=1"];
    let (mut running, id, lines) = begin(server.folder(), &words);
    drop(lines);
    assert_eq!(running.wait().expect("ours").code(), Some(0));
    assert_eq!(client.page(&id).await.state, "succeeded");
}

#[tokio::test]
async fn two_servers_share_a_queue_and_show_each_others_runs() {
    let server = Server::with(&[("workers", "2")]).await;
    let second = server.second().await;
    let (here, there) = (server.demo_user().await, second.demo_user().await);
    let mut ids = Vec::new();
    for n in 0..40 {
        let client = if n % 2 == 0 { &here } else { &there };
        ids.push(client.simulate(&[("steps", "5"), ("log_every", "1")]).await);
    }
    for id in &ids {
        assert_eq!(here.finished(id).await.state, "succeeded");
        assert_eq!(there.get(&format!("/operations/{id}/log")).await.text().lines().count(), 5);
    }
    let took = |server: &Server| server.said().matches("}: running").count();
    until("every run in one log", async || (took(&server) + took(&second) == 40).then_some(())).await;
}

#[test]
fn a_file_is_limited_as_in_a_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut user = command(folder.path(), &["user", "add", "ada", "--password-stdin"]);
    user.env_remove("LIVEOPS_DATABASE");
    assert_code(&finish(user, "a password\n"), 0);
    let file = folder.path().join("a.csv");
    std::fs::write(&file, "a,b\n1,2\n").expect("it is written");
    let field = format!("file={}", file.display());
    for (most, code) in [("7", 2), ("8", 0)] {
        let words = ["run", "csv_import", "--field", &field, "--max-upload-bytes", most];
        let output = run(folder.path(), &words);
        assert_code(&output, code);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(code == 0 || said.contains("max_upload_bytes"), "{said}");
    }
    let left = std::fs::read_dir(folder.path().join("liveops.db-uploads")).expect("a folder");
    assert_eq!(left.count(), 1, "what was refused is not kept");
}

/// Also where only errors are logged, as from cron.
#[tokio::test]
async fn an_error_in_the_log_says_of_which_run_it_is() {
    let server = Server::start().await;
    server.demo_user().await;
    let output = run(server.folder(), &["run", "simulate", "--field", "steps=1", "--field", "outcome=fail"]);
    assert_code(&output, 1);
    let (id, log) = (id_of(&stdout(&output)), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(log.contains(&format!("operation={id} kind=\"simulate\"")), "{log}");
}

#[test]
fn a_run_that_ended_leaves_no_sign_of_life() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_code(
        &finish(command(folder.path(), &["user", "add", "ada", "--password-stdin"]), "a password\n"),
        0,
    );
    for _ in 0..5 {
        assert_code(&run(folder.path(), &["run", "simulate", "--field", "steps=1"]), 0);
        let files = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        assert_eq!(names.find(|name| name.contains("-worker-")), None);
    }
}

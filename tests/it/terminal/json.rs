//! With `--json`: one object a line, whatever happens.

use std::fs::write;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Output, Stdio};

use serde_json::Value;

use super::{LONG, assert_code, command, run, stdout};
use crate::harness::{Server, signal};

/// The objects that a command wrote, one a line and nothing else.
fn objects(output: &Output) -> Vec<Value> {
    let said = stdout(output);
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said}");
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Starts a command that writes objects, and reads the first.
fn begin(server: &Server, words: &[&str]) -> (Child, Value, BufReader<ChildStdout>) {
    let mut process = command(server.folder(), words);
    let process = process.arg("--json").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = process.spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    (child, serde_json::from_str(&first).expect("JSON"), lines)
}

/// The objects that it writes until its end.
fn rest(mut lines: BufReader<ChildStdout>) -> Vec<Value> {
    let mut said = String::new();
    lines.read_to_string(&mut said).expect("UTF-8");
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_chain_is_told_in_json_to_its_end() {
    let server = Server::start().await;
    let mut words = vec!["run", "simulate", "--json", "--owner", "demo"];
    for field in [
        "steps=3000",
        "delay_ms=0",
        "log_every=1",
        "stages=2",
        "chain=1",
        "redirect=/",
        "message=\u{1b}x\u{9b}",
    ] {
        words.extend(["--field", field]);
    }
    let output = run(server.folder(), &words);
    assert_code(&output, 0);
    let told = objects(&output);
    let ends: Vec<_> = told.iter().filter(|object| object["type"] == "end").collect();
    let [first, last] = ends.as_slice() else { panic!("two endings: {ends:?}") };
    assert_eq!(told.last(), Some(*last), "the last object is the end");
    assert_eq!((&first["next"], &last["next"]), (&last["operation"], &Value::Null));
    assert_eq!((&last["state"], &last["redirect"]), (&"succeeded".into(), &"/".into()));
    assert_eq!(last["result"]["steps"], 3000);
    for end in &ends {
        let own = told.iter().filter(|object| object["operation"] == end["operation"]);
        let log: Vec<_> =
            own.filter(|object| object["type"] == "log").map(|line| line["seq"].as_u64()).collect();
        assert_eq!(log, (1..=3000).map(Some).collect::<Vec<_>>(), "each line once, in order");
        for name in ["stages", "status", "progress"] {
            let is_it = |object: &&Value| object["operation"] == end["operation"] && object["type"] == name;
            assert!(told.iter().any(|object| is_it(&object)), "{name}");
        }
    }
    let id = last["operation"].as_str().expect("an id");
    let watched = run(server.folder(), &["watch", "--json", id]);
    assert_code(&watched, 0);
    assert_eq!(objects(&watched).last(), Some(*last), "whoever comes later is told the same end");
}

#[tokio::test]
async fn a_failure_in_json_has_the_exit_code_of_a_failure() {
    let server = Server::start().await;
    let words = [
        "run",
        "simulate",
        "--json",
        "--owner",
        "demo",
        "--field",
        "outcome=error",
        "--field",
        "message=no room",
    ];
    let output = run(server.folder(), &words);
    assert_code(&output, 1);
    let told = objects(&output);
    let end = told.last().expect("an end");
    assert_eq!((&end["state"], &end["message"]), (&"failed".into(), &"no room".into()));
}

#[tokio::test]
async fn rows_that_failed_are_told_with_their_reasons_and_counted() {
    let server = Server::start().await;
    let file = server.folder().join("a.csv");
    write(&file, "a,b\n1,2\n3\n4,5\n").expect("it is written");
    let field = format!("file={}", file.display());
    let output = run(server.folder(), &["-v", "run", "csv_import", "--json", "--field", &field]);
    assert_code(&output, 0);
    let told = objects(&output);
    let failed: Vec<_> = told.iter().filter(|object| !object["row"].is_null()).collect();
    let [row] = failed.as_slice() else { panic!("one row failed: {failed:?}") };
    assert_eq!(
        (&row["type"], &row["level"], &row["row"]),
        (&"log".into(), &"warning".into(), &"line 3".into())
    );
    assert_eq!(row["reason"], "1 cell, the header has 2");
    let counted = told.iter().rfind(|object| object["type"] == "progress").expect("progress");
    assert_eq!((&counted["ok"], &counted["failed"], &counted["skipped"]), (&2.into(), &1.into(), &0.into()));
    assert_eq!(told.last().expect("an end")["result"]["rows imported"], 2, "the result as data");
}

#[tokio::test]
async fn an_interrupt_leaves_an_end_in_json() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (mut running, first, lines) = begin(&server, &LONG);
    let id = first["operation"].as_str().expect("an id");
    client.reaches(id, "running").await;
    let (mut watching, seen, watched) = begin(&server, &["watch", id]);
    assert_eq!((&seen["operation"], &seen["state"]), (&first["operation"], &"running".into()));
    signal(&watching, "-INT");
    let told = rest(watched);
    assert_eq!(watching.wait().expect("ours").code(), Some(1));
    assert!(told.iter().all(|object| object["type"] != "end"), "it goes on: {told:?}");
    signal(&running, "-INT");
    let told = rest(lines);
    assert_eq!(running.wait().expect("ours").code(), Some(130));
    let ends: Vec<_> = told.iter().filter(|object| object["type"] == "end").collect();
    assert_eq!(ends, [told.last().expect("an object")], "one end, and nothing after it");
    assert_eq!(ends[0]["state"], "cancelled");
}

#[tokio::test]
async fn wrong_use_writes_no_objects() {
    let server = Server::start().await;
    server.demo_user().await;
    for words in [
        &["run", "nope", "--json"][..],
        &["run", "simulate", "--json", "--field", "steps=x"],
        &["run", "simulate", "--json", "--owner", "nobody"],
        &["run", "simulate", "--json", "--nope"],
        &["watch", "--json", "00000000-0000-4000-8000-000000000000"],
    ] {
        let output = run(server.folder(), words);
        assert_code(&output, 2);
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"liveops: "), "{output:?}");
    }
}

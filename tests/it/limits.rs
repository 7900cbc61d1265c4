//! How many operations run at once.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::{Client, Server, liveops};

/// One that waits for a minute in its first step.
const SLOW: &[(&str, &str)] = &[("steps", "1"), ("delay_ms", "60000")];

#[tokio::test]
async fn a_user_runs_as_many_at_once_as_the_setting_says_in_all_processes() {
    let server = Server::with(&[("running_per_user", "2")]).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let other = server.second().await;
    let there = Client::new(other.address);
    assert_eq!(there.log_in("ada", "ada password").await.status, 303);
    // One of hers runs in a process of its own, another one in a server.
    let mut command = liveops(server.folder());
    command.args(["run", "simulate", "--owner", "ada", "--field", "steps=1", "--field", "delay_ms=60000"]);
    let mut elsewhere = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(elsewhere.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(line.starts_with("operation "), "it runs: {line}");
    let first = ada.simulate(SLOW).await;
    ada.reaches(&first, "running").await;
    // A place is free here and in the other process, but not for her.
    let held = [ada.simulate(SLOW).await, there.simulate(SLOW).await];
    let theirs = bob.simulate(SLOW).await;
    bob.reaches(&theirs, "running").await;
    for id in &held {
        assert_eq!(ada.page(id).await.attribute("data-liveop-state").as_deref(), Some("waiting"));
    }
    ada.command(&first, "cancel").await;
    ada.reaches(&held[0], "running").await;
    assert_eq!(ada.page(&held[1]).await.attribute("data-liveop-state").as_deref(), Some("waiting"));
    elsewhere.kill().expect("ours");
    elsewhere.wait().expect("ours");
    ada.reaches(&held[1], "running").await;
}

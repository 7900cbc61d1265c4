//! As many connections as the system allows, and what happens beyond.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use tokio::net::TcpStream;

use crate::harness::{Page, Server, liveops, until};

#[test]
fn a_server_allows_itself_as_many_files_as_it_may_have() {
    let folder = tempfile::TempDir::with_prefix("liveops-test-").expect("a folder");
    let binary = liveops(folder.path()).get_program().to_owned();
    // The soft limit is what most systems begin with, or less.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -Sn 256 && exec \"$0\" demo --listen 127.0.0.1:0"]).arg(binary);
    let mut server = shell.current_dir(folder.path()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("it runs, on Linux");
    server.kill().expect("ours");
    server.wait().expect("ours");
    assert!(line.starts_with("listening on "), "{line}");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let [soft, hard, _] = files.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{files}") };
    assert!(soft == hard && soft != "256", "{files}");
}

#[tokio::test]
async fn who_finds_no_place_waits_and_whoever_has_one_is_served() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1000000"), ("delay_ms", "5"), ("log_every", "1")]).await;
    let mut events = client.follow(&id).await;
    events.first_flush().await;
    server.limit_files(server.open_files() + 10);
    let mut others = Vec::new();
    for _ in 0..40 {
        others.push(TcpStream::connect(server.address).await.expect("the system takes it"));
    }
    let refused = |server: &Server| server.said().matches("connections cannot be accepted").count();
    until("a connection that is not accepted", async || (refused(&server) > 0).then_some(())).await;
    // What is open goes on, at ten flushes a second, while as often a connection is tried to be accepted.
    for _ in 0..20 {
        events.until(|event| event.element().ends_with("-log-lines")).await;
    }
    assert_eq!(refused(&server), 1, "told once");
    drop(others);
    until("the news of it", async || server.said().contains("are accepted again").then_some(())).await;
    // There is a place again, as soon as those that were dropped are closed here, too.
    let page =
        async || Some(client.get(&format!("/operations/{id}")).await).filter(|page| page.status == 200);
    assert_eq!(Page::new(&id, until("a page", page).await.text()).state, "running");
    client.command(&id, "cancel").await;
    events.until(|event| event.name == "end").await;
}

//! A run that was taken from a process which lives on: nothing that it writes late counts.

use std::process::Stdio;

use crate::harness::{Client, Event, Server, liveops, until};
use crate::heavy::{log_of, numbered};

fn says(event: &Event, line: &str) -> bool {
    event.html().contains(&format!("{line}<"))
}

/// Returns once the client's server has looked for dead processes, all of them.
async fn swept(server: &Server, client: &Client) {
    let before = client.get("/operations").await.text();
    let mut run = liveops(server.folder());
    run.args(["run", "simulate", "--field", "steps=1", "--field", "delay_ms=60000"]);
    let mut run =
        run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let id = until("its operation", async || {
        let list = client.get("/operations").await.text();
        let id = list.split_once("<tr id=\"op-")?.1.split_once("-row\"")?.0.to_owned();
        (!before.contains(&id)).then_some(id)
    })
    .await;
    run.kill().expect("it is ours");
    run.wait().expect("it is ours");
    until("its mark", async || (client.page(&id).await.state == "interrupted").then_some(())).await;
}

#[tokio::test]
async fn a_process_that_stood_still_is_not_dead_and_once_it_lost_its_run_it_writes_nothing() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.submit("repeatable", &[], None).await.started();
    client.follow(&id).await.until(|event| says(event, "Counting #2")).await;
    let other = server.second().await;
    let there = client.at(&other);
    server.stand_still().await;
    swept(&other, &there).await;
    assert_eq!(there.page(&id).await.state, "running", "its lock says that it lives");
    assert!(!there.page(&id).await.html.contains("?attempt="));

    // Somebody tidies up who knows nothing of locks; on a network file system a lock may be lost, too.
    for file in std::fs::read_dir(server.folder()).expect("the folder").flatten() {
        if file.file_name().to_string_lossy().contains("-worker-") {
            std::fs::remove_file(file.path()).expect("removed");
        }
    }
    let address = format!("/operations/{id}/log?attempt=1");
    until("its next attempt", async || there.page(&id).await.html.contains(&address).then_some(())).await;
    let mut events = there.follow(&id).await;
    events.until(|event| says(event, "Counting #2")).await;
    let first = there.get(&address).await.text();
    assert!(numbered(&first, "Counting") >= 1, "{first}");
    server.signal("-CONT");
    until("that it notices", async || server.said().contains("nothing was written").then_some(())).await;
    assert!(server.said().contains("stopping this run"), "{}", server.said());
    let seen = events.until(|event| says(event, "Counting #8")).await;
    assert!(!seen.iter().any(|event| event.name == "state"), "the next attempt heard nothing: {seen:?}");
    assert_eq!(there.get(&address).await.text(), first, "nor is anything in the log of the first");
    // Both show the next one.
    for client in [&client, &there] {
        let page = client.page(&id).await;
        assert!(page.state == "running" && page.html.contains(&address), "{}", page.html);
        assert!(numbered(&log_of(client, &id).await, "Counting") >= 8);
    }
}

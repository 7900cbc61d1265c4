//! Kinds that are run again by themselves when their process dies or is stopped.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::{Client, Event, SLOW, Server, liveops, text_of, until};
use crate::heavy::{log_of, numbered};

const AGAIN: &str = "run again by itself after its server stopped";
const KEY: (&str, &str) = ("secret_key", "a key of more than thirty-two bytes for two");

fn says(event: &Event, line: &str) -> bool {
    event.html().contains(&format!("{line}<"))
}

fn is_state(event: &Event, state: &str) -> bool {
    event.name == "state" && event.data["state"] == state
}

/// How often a region came whole.
fn whole(events: &[Event], region: &str) -> usize {
    events.iter().filter(|event| event.element().ends_with(region) && event.text("swap") == "outer").count()
}

async fn list_token(client: &Client) -> String {
    let list = client.get("/operations").await.text();
    crate::harness::attribute(&list, "<section id=\"operations\"", "data-liveop-token").expect("a token")
}

#[tokio::test]
async fn those_who_watch_elsewhere_see_it_wait_and_run_again_after_a_kill() {
    let mut server = Server::with(&[KEY]).await;
    // It has no kinds at all, and puts it back all the same.
    let (client, other) = (server.demo_user().await, server.watching().await);
    let there = client.at(&other);
    let id = client.submit("repeatable", &[], None).await.started();
    let mut events = there.follow(&id).await;
    let mut seen = events.until(|event| says(event, "Counting #3")).await;
    let mut rows = there.stream(&list_token(&there).await, None).await;
    let row = |event: &Event, state: &str| {
        event.html().contains(&format!("op-{id}-row"))
            && event.html().contains(&format!("data-state=\"{state}\""))
    };
    rows.until(|event| row(event, "running")).await;
    server.kill();

    seen.extend(events.until(|event| is_state(event, "waiting")).await);
    let waits = events.first_flush().await;
    for region in ["-status", "-progress", "-log-lines", "-log-more", "-controls", "-result", "-extra"] {
        assert_eq!(whole(&waits, region), 1, "{region} anew in {waits:?}");
    }
    assert!(!waits.iter().any(|event| event.html().contains("Counting")), "nothing of it stays: {waits:?}");
    let address = format!("/operations/{id}/log?attempt=1");
    let is_offered = |event: &Event| event.html().contains(&address) && event.html().contains(AGAIN);
    assert!(waits.iter().any(is_offered), "its log is offered, and it is said why: {waits:?}");
    rows.until(|event| row(event, "waiting")).await;
    assert_eq!(there.page(&id).await.state, "waiting");
    assert_eq!(there.get(&format!("/operations/{id}/log")).await.text(), "", "the next one's");
    let first = there.get(&address).await.text();
    assert!(numbered(&first, "Counting") >= 2, "{first}");

    let server = server.again().await;
    let runs = events.until(|event| says(event, "Counting #1")).await;
    assert!(runs.iter().any(|event| is_state(event, "running")), "{runs:?}");
    assert_eq!(whole(&runs, "-extra"), 1, "every region once more: {runs:?}");
    rows.until(|event| row(event, "running")).await;
    assert!(![seen, waits, runs].concat().iter().any(|event| event.name == "end"), "it did not end");
    let client = client.at(&server);
    let page = client.page(&id).await;
    let why = format!("attempt 2, {AGAIN}");
    assert!(text_of(&page.html).contains(&why) && page.html.contains(&address), "{}", page.html);
    assert!(text_of(&there.page(&id).await.html).contains(&why), "where it does not run too");
    assert_eq!(client.get(&address).await.text(), first, "it is as it was");
    client.command(&id, "cancel").await;
    let end = events.rest().await;
    assert_eq!(end.last().map(|event| event.text("state")), Some("cancelled"), "{end:?}");
    assert!(numbered(&log_of(&client, &id).await, "Counting") >= 1);
}

#[tokio::test]
async fn a_stop_puts_it_back_into_the_queue_and_the_next_server_runs_it() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "0")]).await;
    let client = server.demo_user().await;
    let id = client.submit("repeatable", &[], None).await.started();
    let other = client.simulate(SLOW).await;
    client.reaches(&other, "running").await;
    let mut events = client.follow(&id).await;
    events.until(|event| says(event, "Counting #2")).await;
    let token = client.page(&id).await.token.expect("it runs");
    let (status, _) = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    let rest = events.rest().await;
    assert!(!rest.iter().any(|event| event.name == "end"), "{rest:?}");
    {
        let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
        let sql = "SELECT state || ' ' || attempt || ' ' || repeats || ' ' || stops FROM liveops_operations WHERE id = ?1";
        let of =
            |id: &str| database.query_row(sql, [id], |row| row.get::<_, String>(0)).expect("it is there");
        assert_eq!((of(&id), of(&other)), ("waiting 2 0 1".to_owned(), "interrupted 1 0 0".to_owned()));
    }
    let server = server.again().await;
    let again = client.stream(&token, None).await.until(|event| says(event, "Counting #1")).await;
    assert!(!again.iter().any(|event| event.name == "end"), "{again:?}");
    let first = client.get(&format!("/operations/{id}/log?attempt=1")).await.text();
    assert!(numbered(&first, "Counting") >= 2, "what was shown is kept to the last line: {first}");
    assert_eq!(client.page(&other).await.state, "interrupted");
    drop(server);
}

#[tokio::test]
async fn a_watch_in_a_terminal_goes_on_with_the_next_attempt() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.submit("repeatable", &[], None).await.started();
    let mut command = liveops(server.folder());
    command.args(["watch", &id]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = command.spawn().expect("the binary starts");
    let mut lines =
        BufReader::new(watch.stdout.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    let mut until_said = |line: &str| lines.by_ref().find(|said| said.ends_with(line)).is_some();
    assert!(until_said("Counting #3"));
    let server = server.kill_and_restart().await;
    assert!(until_said(&format!("attempt 2, {AGAIN}")));
    assert!(until_said("Counting #1") && until_said("Counting #2"), "it is told from its beginning");
    client.command(&id, "cancel").await;
    assert_eq!(client.finished(&id).await.state, "cancelled");
    assert_eq!(watch.wait().expect("it ends").code(), Some(1));
    drop(server);
}

/// Until somebody runs it again: then that is why.
#[tokio::test]
async fn after_the_last_repeat_it_says_how_often_it_was_run_again() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.submit("repeatable", &[], None).await.started();
    client.follow(&id).await.until(|event| says(event, "Counting #1")).await;
    server.kill();
    {
        // As if it had been repeated twice before.
        let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
        database.execute("UPDATE liveops_operations SET repeats = 2", []).expect("written");
    }
    let mut server = server.again().await;
    client.follow(&id).await.until(|event| says(event, "Counting #1")).await;
    server.kill();
    let _server = server.again().await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "interrupted");
    assert!(text_of(&page.html).contains("though it was run again by itself 3 times"), "{}", page.html);
    client.command(&id, "restart").await;
    client.reaches(&id, "running").await;
    let page = client.page(&id).await;
    assert!(page.html.contains("attempt 3, earlier logs") && !page.html.contains(AGAIN), "{}", page.html);
    client.command(&id, "cancel").await;
}

/// Whoever started it in a terminal sees there that it did not end.
#[tokio::test]
async fn what_is_run_in_a_terminal_is_not_repeated() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut command = liveops(server.folder());
    command.args(["run", "repeatable"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = command.spawn().expect("the binary starts");
    let lines = BufReader::new(run.stdout.take().expect("a pipe")).lines();
    lines.map_while(Result::ok).find(|line| line.contains("Counting #1")).expect("it runs");
    run.kill().expect("it is ours");
    run.wait().expect("it is ours");
    let id = client.first_operation().await;
    let state = until("its end", async || {
        let state = client.page(&id).await.state;
        (state != "running").then_some(state)
    });
    assert_eq!(state.await, "interrupted");
    assert!(!client.page(&id).await.html.contains("?attempt="), "it was run once");
}

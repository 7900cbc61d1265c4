//! The whole log, as text.

use crate::harness::{Ask, Server, until};
use crate::heavy::total_lines;

#[tokio::test]
async fn no_line_is_ever_lacking() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client
        .simulate(&[("steps", "30000"), ("delay_ms", "0"), ("log_every", "1"), ("message", "row")])
        .await;
    assert_eq!(client.finished(&id).await.state, "succeeded");
    let answer = client.get(&format!("/operations/{id}/log")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let text = answer.text();
    assert!(text.ends_with('\n'));
    let mut count = 0;
    for (line, n) in text.lines().zip(1..) {
        assert_eq!(line, format!("row #{n}"));
        count = n;
    }
    assert_eq!(count, 30_000);
    let page = client.page(&id).await;
    assert_eq!(page.html.matches("class=\"liveop-line\"").count(), 200, "the page keeps the tail");
}

#[tokio::test]
async fn the_full_format_has_time_and_level_before_the_line() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let fields = [("steps", "6"), ("log_every", "2"), ("message", "row")];
    let id = client.simulate(&fields).await;
    client.finished(&id).await;
    let plain = client.get(&format!("/operations/{id}/log")).await.text();
    assert_eq!(plain, "row #2\nrow #4\nrow #6\n", "every second step, and no other line");
    let full = client.get(&format!("/operations/{id}/log?format=full")).await;
    assert_eq!(full.header("content-type"), "text/plain; charset=utf-8");
    let full = full.text();
    for (line, expected) in full.lines().zip(plain.lines()) {
        let before = line.strip_suffix(expected).unwrap_or_else(|| panic!("{expected} at the end of {line}"));
        let mut words = before.split_whitespace();
        let time = words.next().expect("a time");
        time.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{time}: {error}"));
        assert_eq!(words.next().map(str::to_lowercase).as_deref(), Some("info"), "{line}");
    }
    assert_eq!(full.lines().count(), 3);
}

/// It has an end, and nothing in it that was said after it was asked for.
#[tokio::test]
async fn it_is_what_was_said_when_it_was_asked_for() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let message = "x".repeat(2000);
    let fields = [("steps", "1000000"), ("delay_ms", "0"), ("log_every", "1"), ("message", &*message)];
    let id = client.simulate(&fields).await;
    // More than the buffers in between hold.
    const MANY: usize = 15_000;
    let total = async || total_lines(&client.page(&id).await);
    until("many lines", async || (total().await > MANY).then_some(())).await;
    let mut answer = client.open(Ask::get(&format!("/operations/{id}/log"))).await;
    let asked = total().await;
    until("more lines", async || (total().await > asked + 1000).then_some(())).await;
    let mut lines = 0;
    while let Some(chunk) = answer.chunk().await.expect("it is whole") {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
    }
    assert!(lines <= asked, "{lines} lines, and {asked} had been said");
    assert_eq!(client.command(&id, "cancel").await.status, 303);
}

#[tokio::test]
async fn each_attempt_keeps_its_own() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client
        .simulate(&[("steps", "100000"), ("delay_ms", "20"), ("log_every", "1"), ("message", "row")])
        .await;
    let log = format!("/operations/{id}/log");
    // Runs until this line is told, and gives its log.
    let until_line = async |line: usize| {
        let mut events = client.follow(&id).await;
        events.until(|event| event.html().contains(&format!("row #{line}<"))).await;
        assert_eq!(client.command(&id, "cancel").await.status, 303);
        assert_eq!(client.finished(&id).await.state, "cancelled");
        client.get(&log).await.text()
    };
    let first = until_line(5).await;
    assert!(first.lines().count() >= 5 && first.starts_with("row #1\n"), "{first}");
    assert_eq!(client.command(&id, "restart").await.status, 303);
    let second = until_line(first.lines().count() + 1).await;
    assert!(second.starts_with(&first) && second.len() > first.len(), "the latest attempt: {second}");
    assert_eq!(client.get(&format!("{log}?attempt=2")).await.text(), second);
    assert_eq!(client.get(&format!("{log}?attempt=1")).await.text(), first, "as it was");
    for unknown in ["0", "3", "-1", "x", "99999999999999999999"] {
        assert_eq!(client.get(&format!("{log}?attempt={unknown}")).await.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn it_holds_what_the_page_shows_while_it_grows() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client
        .simulate(&[("steps", "100000"), ("delay_ms", "50"), ("log_every", "1"), ("message", "row")])
        .await;
    let mut events = client.follow(&id).await;
    events.until(|event| event.html().contains("row #10<")).await;
    let log = client.get(&format!("/operations/{id}/log")).await.text();
    assert!(log.lines().count() >= 10, "who saw line 10 finds it in the log: {log}");
    assert!(client.page(&id).await.token.is_some(), "too late to prove anything");
}

/// As after a change of versions: the page is stored in another form. Of its log no more is read than a page shows.
#[tokio::test]
async fn a_page_that_cannot_be_read_has_its_log_all_the_same() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client
        .simulate(&[("steps", "6000"), ("delay_ms", "0"), ("log_every", "1"), ("message", "row")])
        .await;
    client.finished(&id).await;
    let server = server.kill_and_restart().await;
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "UPDATE liveops_projections SET projection = '{}' WHERE operation = ?1";
    assert_eq!(database.execute(sql, [&id]).expect("changed"), 1);
    // Nothing can be made of its oldest lines any more.
    let sql = "UPDATE liveops_log SET chunk = 'damaged' WHERE operation = ?1 AND last_seq < 5800";
    assert!(database.execute(sql, [&id]).expect("changed") >= 1, "all lines are in one piece");
    let page = client.at(&server).page(&id).await;
    assert_eq!(page.state, "succeeded");
    let text = page.text();
    assert!(text.contains("6,000 lines") && text.contains("5,800 more in the whole log"), "{text}");
    assert!(
        text.contains("row #6000") && text.contains("row #5801") && !text.contains("row #5800"),
        "{text}"
    );
}

//! From form to result: the CSV import, and how runs end.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::harness::{Event, Model, Server, text_of, until};

/// The files that imports made in the server's folder.
pub(crate) fn imports(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.filter(|path| name(path).starts_with("csv-import-") && name(path).ends_with(".db")).collect()
}

/// How many rows an import's file holds; none where it has no table.
pub(crate) fn count(file: &Path) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(file, flags).expect("a database");
    database.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap_or(0)
}

/// A CSV of so many rows.
pub(crate) fn csv(rows: usize) -> Vec<u8> {
    let mut text = String::from("id,name,amount\n");
    for n in 0..rows {
        text.push_str(&format!("{n},\"Name, {n}\",{}\n", n * 7 % 1000));
    }
    text.into_bytes()
}

#[tokio::test]
async fn a_csv_goes_from_form_to_result() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let mut file = csv(20_000);
    file.extend_from_slice(b"1,2\n\"two\nlines\",2,3\n\xe9,2,3\n1,2,3,4\n");
    let (id, _, mut events) = client.follow_whole(client.import("customers.csv", &file)).await;
    let page = client.page(&id).await;
    assert!(page.text().contains("customers.csv"), "{}", page.html);
    let events = events.rest().await;
    assert_eq!(
        events.last().map(|event| event.data["state"].clone()),
        Some("succeeded".into()),
        "{events:?}"
    );
    let stages = |event: &Event| event.element().ends_with("-stages") && event.html().contains("<li");
    assert!(events.iter().any(stages), "it works in stages");
    let model = Model::of(&events);
    let result = model.text("result");
    for word in ["rows imported", "rows rejected", "columns", "seconds", "20,001", "3"] {
        assert!(result.contains(word), "{word} in {result}");
    }
    let page = client.page(&id).await;
    model.assert_is(&page);
    let log = client.get(&format!("/operations/{id}/log")).await.text();
    for (line, reason) in [(20_002, "2 cells"), (20_005, "UTF-8"), (20_006, "4 cells")] {
        let found = log
            .lines()
            .find(|text| text.contains(&format!("line {line}")) || text.contains(&format!("Line {line}")));
        assert!(found.is_some_and(|text| text.contains(reason)), "line {line}, {reason}: {log}");
    }
    let files = imports(server.folder());
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(count(&files[0]), 20_001);
    let database = Connection::open(&files[0]).expect("a database");
    let two_lines: String = database
        .query_row("SELECT id FROM rows ORDER BY rowid DESC LIMIT 1", [], |row| row.get(0))
        .expect("a row");
    assert_eq!(two_lines, "two\nlines");
    let name: String =
        database.query_row("SELECT name FROM rows WHERE id = '7'", [], |row| row.get(0)).expect("a row");
    assert_eq!(name, "Name, 7");
}

#[tokio::test]
async fn a_long_import_stays_live_at_the_rate_and_says_all() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let file = csv(100_000);
    let (_, _, mut stream) = client.follow_whole(client.import("long.csv", &file)).await;
    let events = stream.rest().await;
    let flushes: Vec<_> = events.iter().filter(|event| event.id.is_some()).collect();
    // Not from when the first flush is read, which may be late: all but that one are sent after this.
    let seconds = stream.opened.elapsed().as_secs_f64();
    assert!(flushes.len() as f64 <= seconds * 10.0 + 4.0, "{} flushes in {seconds} s", flushes.len());
    assert!(flushes.len() >= 3, "it was live: {} flushes in {seconds} s", flushes.len());
    assert!(Model::of(&events).text("result").contains("100,000"));
    assert_eq!(count(&imports(server.folder())[0]), 100_000);
}

#[tokio::test]
async fn a_cancelled_import_leaves_no_rows() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.import("long.csv", &csv(1_000_000)).await;
    let mut events = client.follow(&id).await;
    // In the middle: some of the bar is done.
    events.until(|event| event.element().ends_with("-progress") && event.html().contains(" value=")).await;
    client.command(&id, "cancel").await;
    assert_eq!(client.finished(&id).await.state, "cancelled");
    for file in imports(server.folder()) {
        assert_eq!(count(&file), 0, "{file:?}");
    }
    // The same file again, as the next attempt.
    assert_eq!(client.command(&id, "restart").await.status, 303);
    client.reaches(&id, "running").await;
    client.command(&id, "cancel").await;
    assert_eq!(client.finished(&id).await.state, "cancelled");
}

#[tokio::test]
async fn files_that_are_no_csv_get_a_clear_error() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let utf16: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut with_mark = vec![0xff, 0xfe];
    with_mark.extend_from_slice(&utf16);
    let cases: &[(&str, &[u8])] = &[
        ("empty.csv", b""),
        ("utf16.csv", &utf16),
        ("marked.csv", &with_mark),
        ("zip.xlsx", b"PK\x03\x04\x14\x00\x06\x00binary"),
        ("image.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"),
    ];
    for (name, content) in cases {
        let id = client.import(name, content).await;
        let page = client.finished(&id).await;
        assert_eq!(page.state, "failed", "{name}: {}", page.text());
        assert!(!page.text().contains("unexpected"), "{name} is the user's to mend: {}", page.text());
        for file in imports(server.folder()) {
            assert_eq!(count(&file), 0, "{name}");
        }
    }
    let id = client.import("header.csv", b"a,b,c\n").await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "succeeded", "a header alone is a success with 0 rows: {}", page.text());
}

#[tokio::test]
async fn simulate_shows_its_result_and_leads_on() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let fields =
        [("steps", "12"), ("message", "counted"), ("stages", "3"), ("redirect", "/operations?page=1")];
    let id = client.simulate(&fields).await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "succeeded");
    for word in ["message", "counted", "steps", "12"] {
        assert!(page.text().contains(word), "{word}");
    }
    assert_eq!(page.attribute("data-liveop-redirect").as_deref(), Some("/operations?page=1"));
    assert!(page.html.contains("href=\"/operations?page=1\""), "elsewhere it is a link");
    assert_eq!(
        page.html.matches("<li class=\"liveop-stage\" data-state=\"done\"").count(),
        3,
        "{}",
        page.html
    );
}

#[tokio::test]
async fn the_stamp_is_the_time_of_each_step() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "20"), ("delay_ms", "100"), ("stamp", "on"), ("message", "tick")];
    let (_, _, mut events) = client.follow_whole(client.simulate(&fields)).await;
    let events = events.rest().await;
    let mut stamps: Vec<u128> = Vec::new();
    for event in events.iter().filter(|event| event.element().ends_with("-status")) {
        let text = text_of(event.html());
        if let Some(at) = text.find("tick ts=") {
            let digits: String = text[at + 8..].chars().take_while(char::is_ascii_digit).collect();
            stamps.push(digits.parse().expect("microseconds"));
        }
    }
    stamps.dedup();
    assert!(stamps.len() >= 10, "{stamps:?}");
    assert!(stamps.is_sorted(), "{stamps:?}");
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros();
    assert!(now - stamps[stamps.len() - 1] < 30_000_000, "Unix microseconds: {stamps:?} at {now}");
}

#[tokio::test]
async fn an_unexpected_failure_keeps_its_detail_to_itself() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let mut sentences = Vec::new();
    for outcome in ["fail", "panic"] {
        let fields = [("steps", "2"), ("delay_ms", "20"), ("outcome", outcome), ("message", "Zebra-7531")];
        let (id, _, mut events) = client.follow_whole(client.simulate(&fields)).await;
        let events = events.rest().await;
        let result = Model::of(&events).region("result");
        let text = text_of(&result);
        let lower = text.to_lowercase();
        for detail in ["zebra", "panic", ".rs", "simulate", "unwrap", "error:", "thread"] {
            assert!(!lower.contains(detail), "{detail} in {text}");
        }
        assert!(text.contains(&id), "the operation's id, to tell support: {text}");
        sentences.push(text.replace(&id, ""));
        let page = client.page(&id).await;
        assert_eq!(page.state, "failed");
        assert!(page.html.contains(&result), "the same after a reload");
        until("the detail in the server's log", async || server.said().contains(&id).then_some(())).await;
    }
    assert_eq!(sentences[0], sentences[1], "a general sentence");
    let id = client.simulate(&[("steps", "1")]).await;
    assert_eq!(client.finished(&id).await.state, "succeeded", "the server goes on");
}

#[tokio::test]
async fn an_error_shows_its_own_message() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let fields = [("steps", "1"), ("outcome", "error"), ("message", "The file is from last year")];
    let id = client.simulate(&fields).await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "failed");
    assert!(page.text().contains("The file is from last year"));
}

#[tokio::test]
async fn the_examples_start_with_one_click_and_end_as_their_names_say() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    for (kind, state) in
        [("quick", "succeeded"), ("failing", "failed"), ("chain", "succeeded"), ("redirect", "succeeded")]
    {
        let id = client.submit(kind, &[], None).await.started();
        let page = client.finished(&id).await;
        assert_eq!(page.state, state, "{kind}");
        assert_eq!(page.attribute("data-liveop-next").is_some(), kind == "chain", "{kind}");
        assert_eq!(page.attribute("data-liveop-redirect").is_some(), kind == "redirect", "{kind}");
    }
}

#[tokio::test]
async fn a_million_steps_without_delay_are_quick() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1000000"), ("delay_ms", "0"), ("log_every", "0")]).await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "succeeded");
    assert_eq!(client.get(&format!("/operations/{id}/log")).await.text(), "", "log_every 0 writes none");
}

//! kill -9 and SIGTERM in the middle.

use std::time::{Duration, Instant};

use crate::harness::{Client, SLOW, Server, text_of, until};
use crate::start::{count, csv, imports};

#[tokio::test]
async fn after_a_kill_everything_answered_is_there_and_nothing_claims_to_run() {
    let server = Server::with(&[("workers", "3")]).await;
    let client = server.demo_user().await;
    let done = client.simulate(&[("steps", "3"), ("log_every", "1"), ("message", "row")]).await;
    let done_page = client.finished(&done).await;
    let logging = client
        .simulate(&[("steps", "100000"), ("delay_ms", "20"), ("log_every", "1"), ("message", "row")])
        .await;
    let mut log_events = client.follow(&logging).await;
    let slow = client.simulate(SLOW).await;
    client.reaches(&slow, "running").await;
    let import = client.import("half.csv", &csv(1_000_000)).await;
    let mut import_events = client.follow(&import).await;
    let some = |event: &crate::harness::Event| {
        event.element().ends_with("-progress") && event.html().contains(" value=")
    };
    import_events.until(some).await;
    // What was seen a second ago is in the store, watched or not; later where commits take longer than that.
    log_events.until(|event| event.html().contains("row #20<")).await;
    log_events.until(|event| event.html().contains("row #100<")).await;
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "SELECT 1 FROM liveops_log WHERE operation = ?1 AND last_seq >= 20";
    let is_stored = async || database.query_row(sql, [&logging], |_| Ok(())).ok();
    until("the twentieth line in the store", is_stored).await;
    drop(database);
    let mut waiting = Vec::new();
    for n in 0..5 {
        let answer =
            client.submit("simulate", &[("steps", "2"), ("message", &format!("waiting {n}"))], None).await;
        waiting.push(answer.started());
    }
    let server = server.kill_and_restart().await;
    let begin = Instant::now();
    for id in [&logging, &slow, &import] {
        let page = settled(&client, id).await;
        assert_eq!(page, "interrupted");
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    }
    for id in &waiting {
        assert_eq!(client.finished(id).await.state, "succeeded", "a waiting one survives any restart");
    }
    assert_eq!(
        section(&client.page(&done).await.html),
        section(&done_page.html),
        "what was over is as it was"
    );
    let log = client.get(&format!("/operations/{logging}/log")).await.text();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.len() >= 20, "{} lines", lines.len());
    for (line, n) in lines.iter().zip(1..) {
        assert_eq!(*line, format!("row #{n}"), "no hole, no half line");
    }
    let page = client.page(&logging).await;
    assert!(text_of(&page.html).contains(&format!("row #{}", lines.len())), "page and log agree");
    for file in imports(server.folder()) {
        assert_eq!(count(&file), 0, "no half-imported rows in {file:?}");
    }
    assert_eq!(client.command(&slow, "restart").await.status, 303, "an interrupted one can run again");
    client.reaches(&slow, "running").await;
}

/// The state once it does not claim to be running.
async fn settled(client: &Client, id: &str) -> String {
    until("an end of what the dead process ran", async || {
        let state = client.page(id).await.state;
        (!["running", "cancelling"].contains(&state.as_str())).then_some(state)
    })
    .await
}

fn section(html: &str) -> String {
    html[html.find("<section").expect("a container")..].to_owned()
}

#[tokio::test]
async fn a_kill_right_after_the_answer_loses_nothing() {
    let mut server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let mut ids = vec![client.simulate(SLOW).await];
    client.reaches(&ids[0], "running").await;
    for round in 0..3 {
        for _ in 0..5 {
            ids.push(client.simulate(&[("steps", "1"), ("delay_ms", "1")]).await);
        }
        let csv_id = client.import("small.csv", b"a\n1\n").await;
        ids.push(csv_id);
        server.kill();
        server = server.again().await;
        for id in &ids {
            let state = settled(&client, id).await;
            assert!(
                ["waiting", "succeeded", "interrupted"].contains(&state.as_str()),
                "{round}: {id} {state}"
            );
        }
    }
    for id in &ids[1..] {
        let state = client.finished(id).await.state;
        assert!(["succeeded", "interrupted"].contains(&state.as_str()), "{id} {state}");
    }
    let list = client.get("/operations").await.text();
    assert!(ids.iter().all(|id| list.contains(id.as_str())), "all are listed once");
}

#[tokio::test]
async fn a_stream_after_the_restart_tells_the_interruption() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let token = client.page(&id).await.token.expect("it runs");
    let mut events = client.stream(&token, None).await;
    let cursor = events.first_flush().await.last().and_then(|event| event.id.clone()).expect("a cursor");
    let server = server.kill_and_restart().await;
    // The same token: the key lies beside the database.
    let rest = client.stream(&token, Some(&cursor)).await.rest().await;
    let end = rest.last().expect("an end");
    assert_eq!((end.name.as_str(), end.text("state")), ("end", "interrupted"), "{rest:?}");
    assert!(rest.iter().any(|event| event.element().ends_with("-result")), "{rest:?}");
    drop(server);
}

#[tokio::test]
async fn sigterm_records_what_runs_and_exits_in_time() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "5")]).await;
    let client = server.demo_user().await;
    let slow = client.simulate(SLOW).await;
    client.reaches(&slow, "running").await;
    let quick = client.simulate(&[("steps", "10"), ("delay_ms", "100")]).await;
    // Or over already.
    until("its run", async || (client.page(&quick).await.state != "waiting").then_some(())).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut events = client.follow(&slow).await;
        events.first_flush().await;
        streams.push(events);
    }
    let (status, took) = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    assert!(took < Duration::from_secs(40), "the grace is 5 s, the operation takes a minute: {took:?}");
    for mut events in streams {
        events.rest().await;
    }
    let server = server.again().await;
    let page = client.page(&slow).await;
    assert_eq!(page.state, "interrupted", "recorded at once, not found later");
    assert_eq!(client.page(&quick).await.state, "succeeded", "what could end in the grace did");
    drop(server);
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "50")]).await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1")]).await;
    client.finished(&id).await;
    let (status, took) = server.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    assert!(took < Duration::from_secs(40), "without the grace of 50 s: {took:?}");
}

/// Nobody worked on it while the server was down.
#[tokio::test]
async fn an_interrupted_run_took_as_long_as_its_process_lived() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let stored = until("its page in the store", async || {
        let database = rusqlite::Connection::open(server.folder().join("liveops.db")).ok()?;
        let sql = "SELECT projection FROM liveops_projections WHERE operation = ?1";
        database.query_row(sql, [&id], |row| row.get::<_, String>(0)).ok()
    })
    .await;
    server.kill();
    // As if that had been three hours ago, two hours after it began.
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let mut page: serde_json::Value = serde_json::from_str(&stored).expect("JSON");
    for key in ["updated", "measured", "started"] {
        let time: jiff::Timestamp = page[key].as_str().and_then(|text| text.parse().ok()).expect("a time");
        page[key] = (time - hours(5)).to_string().into();
    }
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "UPDATE liveops_projections SET projection = ?2 WHERE operation = ?1";
    database.execute(sql, [&id, &page.to_string()]).expect("written");
    let sql = "UPDATE liveops_operations SET started = started - 5 * 3600 * 1000000 WHERE id = ?1";
    database.execute(sql, [&id]).expect("written");
    let files = std::fs::read_dir(server.folder()).expect("a folder").flatten();
    let mut workers = files.filter(|file| file.file_name().to_string_lossy().contains("-worker-"));
    let worker = std::fs::File::options().write(true).open(workers.next().expect("its file").path());
    worker.expect("ours").set_modified(std::time::SystemTime::now() - hours(3)).expect("a time");
    let server = server.again().await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "interrupted");
    assert!(page.text().contains("2 h 0 min"), "{}", page.text());
    let list = text_of(&client.get("/operations").await.text());
    assert!(list.contains("2 h 0 min"), "{list}");
    drop(server);
}

//! The stream: what it answers, in which order, how often.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use crate::harness::{Ask, Client, Event, Model, PATIENCE, SLOW, Server, attribute, soon};

const REGIONS: [&str; 8] =
    ["stages", "status", "progress", "log-more", "log-lines", "result", "extra", "controls"];

#[tokio::test]
async fn the_head_and_the_first_events_come_at_once() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let token = client.page(&id).await.token.expect("it runs");
    let begin = Instant::now();
    let mut tcp = client.begin(&client.head(&format!("GET /stream?token={token}"), &[])).await;
    let mut text = String::new();
    while !text.contains("event: fragment\n") {
        let mut buffer = [0; 4096];
        let read = soon("the first bytes", tcp.read(&mut buffer)).await.expect("read");
        assert_ne!(read, 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap_or_default());
    }
    // Not only when the first ping pushes them out of some buffer.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for header in
        ["content-type: text/event-stream", "x-accel-buffering: no", "x-content-type-options: nosniff"]
    {
        assert!(head.contains(&format!("\r\n{header}")), "{header} in {head}");
    }
    let cache = head.lines().find(|line| line.starts_with("cache-control:")).expect("cache-control");
    assert!(cache.contains("no-store") && cache.contains("no-transform"), "{cache}");
    assert!(!head.contains("content-length") && !head.contains("content-encoding"), "{head}");
    let state = body.find("event: state\n").expect("the state comes first");
    assert!(state < body.find("event: fragment\n").expect("seen"), "{body}");
    assert!(body.contains(&format!("data: {{\"operation\":\"{id}\",\"state\":\"running\"}}\n\n")), "{body}");
}

#[tokio::test]
async fn a_new_stream_sends_every_region_whole_and_one_cursor() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let mut events = client.follow(&id).await;
    let first = events.first_flush().await;
    assert_eq!(first[0].name, "state", "{first:?}");
    let fragments = &first[1..];
    for region in REGIONS {
        let element = format!("op-{id}-{region}");
        let found: Vec<_> = fragments.iter().filter(|event| event.element() == element).collect();
        assert_eq!(found.len(), 1, "{region} in {first:?}");
        assert_eq!(found[0].text("swap"), "outer", "{region}");
        assert!(found[0].html().starts_with(&format!("<div id=\"{element}\"")), "{}", found[0].html());
    }
    assert!(fragments.iter().all(|event| event.name == "fragment"), "{first:?}");
    let with_cursor = first.iter().filter(|event| event.id.is_some()).count();
    assert_eq!(with_cursor, 1, "only the last event of a flush carries its id");
    assert_eq!(events.retries().len(), 1, "retry is sent once: {:?}", events.retries());
}

#[tokio::test]
async fn retry_is_sent_once_and_differs_between_streams() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "30"), ("delay_ms", "20")];
    let (_, token, _) = client.follow_whole(client.simulate(&fields)).await;
    let mut values: Vec<u64> = Vec::new();
    for _ in 0..8 {
        let mut events = client.stream(&token, None).await;
        events.rest().await;
        assert_eq!(events.retries().len(), 1, "{:?}", events.retries());
        values.extend(events.retries());
    }
    values.sort_unstable();
    values.dedup();
    assert!(values.len() > 1, "the jitter differs per stream: {values:?}");
}

#[tokio::test]
async fn the_ending_is_one_flush_and_the_end_is_last() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "5"), ("delay_ms", "100"), ("message", "Counting"), ("redirect", "/operations")];
    let (id, _, mut events) = client.follow_whole(client.simulate(&fields)).await;
    let events = events.rest().await;
    let last = events.last().expect("an end");
    assert_eq!(last.name, "end");
    assert!(last.id.is_some(), "the end carries the cursor");
    let expected = serde_json::json!({
        "operation": id, "state": "succeeded", "url": format!("/operations/{id}"), "redirect": "/operations",
    });
    assert_eq!(last.data, expected);
    let before =
        events[..events.len() - 1].iter().rposition(|event| event.id.is_some()).expect("earlier flushes");
    let flush = &events[before + 1..];
    assert!(
        flush.iter().any(|event| event.name == "state" && event.data["state"] == "succeeded"),
        "{flush:?}"
    );
    for region in ["result", "controls", "status"] {
        assert!(
            flush.iter().any(|event| event.element().ends_with(&format!("-{region}"))),
            "{region}: {flush:?}"
        );
    }
    let changed_before = events[..=before].iter().filter(|event| event.name == "state");
    assert!(
        changed_before.clone().all(|event| event.data["state"] != "succeeded"),
        "the state comes with the result"
    );
    let model = Model::of(&events);
    assert!(model.text("result").contains("Counting"), "{}", model.region("result"));
    model.assert_is(&client.page(&id).await);
}

#[tokio::test]
async fn a_new_stream_of_a_finished_operation_gets_everything_and_the_end() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "5"), ("delay_ms", "50")];
    let (_, token, mut events) = client.follow_whole(client.simulate(&fields)).await;
    let live = events.rest().await;
    let end = live.last().and_then(|event| event.id.clone()).expect("a cursor");
    let again = client.stream(&token, None).await.rest().await;
    assert_eq!(Model::of(&again), Model::of(&live));
    assert_eq!(again[0].name, "state");
    let on_end = Ask::get(&format!("/stream?token={token}")).header("last-event-id", &end);
    let answer = client.send(on_end).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0), "EventSource stops at 204");
    let answer = client.get(&format!("/stream?token={token}&last_event_id={end}")).await;
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn only_get_opens_a_stream() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let token = client.page(&id).await.token.expect("just started");
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = client.send(Ask::new(method, &format!("/stream?token={token}"))).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "GET", "{method}");
    }
}

#[tokio::test]
async fn flushes_keep_to_the_rate_and_the_last_word_is_not_lost() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields =
        [("steps", "300"), ("delay_ms", "10"), ("log_every", "1"), ("stamp", "on"), ("message", "m")];
    let events = assert_rate(&client, &fields, 3.0, 10.0).await;
    assert_eq!(Model::of(&events).line_numbers().last(), Some(&300));
}

#[tokio::test]
async fn the_rate_is_a_setting() {
    let server = Server::with(&[("throttle_hz", "2"), ("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "250"), ("delay_ms", "10"), ("stamp", "on")];
    assert_rate(&client, &fields, 2.5, 2.0).await;
}

/// At most `hertz` flushes a second, and at least half as many, while everything changes all the
/// time. `least` is how many seconds its steps take; where the machine stalls, they take longer.
async fn assert_rate(client: &Client, fields: &[(&str, &str)], least: f64, hertz: f64) -> Vec<Event> {
    let (_, _, mut stream) = client.follow_whole(client.simulate(fields)).await;
    let events = stream.rest().await;
    // Not from when the first flush is read, which may be late: all but that one are sent after this.
    let seconds = stream.opened.elapsed().as_secs_f64();
    let count = events.iter().filter(|event| event.id.is_some()).count() as f64;
    // Beside the rate: the first sight, the changes of state and the ending do not wait.
    assert!(count <= seconds * hertz + 4.0, "{count} flushes in {seconds} s");
    assert!(count >= least * hertz * 0.5, "{count} flushes in {seconds} s");
    events
}

#[tokio::test]
async fn a_quiet_stream_pings() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let mut events = client.follow(&id).await;
    let mut quiet_since = Instant::now();
    let ping = loop {
        let event = events.any().await.expect("a ping");
        if event.name == "ping" {
            break event;
        }
        quiet_since = event.at;
    };
    assert_eq!(ping.data, serde_json::json!({}));
    assert_eq!(ping.id, None, "a ping moves no cursor");
    let quiet = ping.at - quiet_since;
    // The contract's 15 s, and what a busy machine adds.
    assert!(quiet < Duration::from_secs(20), "{quiet:?}");
}

#[tokio::test]
async fn the_state_is_told_at_each_change() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let first = client.simulate(SLOW).await;
    client.reaches(&first, "running").await;
    let second = client.simulate(&[("steps", "3"), ("delay_ms", "100")]).await;
    let mut events = client.follow(&second).await;
    events.first_flush().await;
    client.command(&first, "cancel").await;
    let mut states: Vec<String> = Vec::new();
    for event in events.rest().await.iter().filter(|event| event.name == "state") {
        assert_eq!(event.data["operation"], second.as_str());
        states.push(event.text("state").to_owned());
    }
    assert_eq!(states, ["running", "succeeded"]);
}

#[tokio::test]
async fn a_reader_that_stands_still_costs_the_others_nothing() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    // Each flush is far larger than what sockets hold after a few of them.
    let long = "x".repeat(20_000);
    let fields = [("steps", "400"), ("delay_ms", "5"), ("log_every", "1"), ("message", long.as_str())];
    let (id, token, mut still) = client.follow_whole(client.simulate(&fields)).await;
    let begin = Instant::now();
    let quick = client.stream(&token, None).await.rest().await;
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(quick.last().map(|event| event.name.as_str()), Some("end"));
    let late = still.rest().await;
    assert_eq!(Model::of(&late), Model::of(&quick), "the reader that stood still comes to the same page");
    assert_eq!(client.finished(&id).await.state, "succeeded");
}

#[tokio::test]
async fn the_page_embeds_a_token_for_its_own_channel_only() {
    let server = Server::start().await;
    let client: Client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let now = || std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let before = now();
    let page = client.page(&id).await;
    let after = now();
    assert_eq!(page.attribute("data-liveop-channel"), Some(format!("liveop.{id}")));
    assert_eq!(page.attribute("data-liveop-stream").as_deref(), Some("/stream"));
    assert_eq!(page.attribute("data-liveop-page"), Some(format!("/operations/{id}")));
    assert_eq!(page.attribute("class").as_deref(), Some("liveop"));
    let token = page.token.expect("it is not over");
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!((parts.len(), parts[0]), (3, "v1"));
    let decode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).expect("base64url without padding")
    };
    assert_eq!(decode(parts[2]).len(), 32, "HMAC-SHA256");
    let payload: serde_json::Value = serde_json::from_slice(&decode(parts[1])).expect("JSON");
    assert_eq!(payload["c"], serde_json::json!([format!("liveop.{id}")]));
    assert!(payload["u"].is_string(), "{payload}");
    let expires = payload["exp"].as_u64().expect("Unix seconds");
    assert!((before + 300..=after + 300).contains(&expires), "{expires}, rendered from {before} to {after}");
    assert_eq!(
        attribute(&page.html, "<meta name=\"liveops-csrf\"", "content").map(|csrf| csrf.is_empty()),
        Some(false)
    );
}

#[tokio::test]
async fn an_ending_sends_again_only_what_it_changes() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let mut events = client.follow(&id).await;
    events.first_flush().await;
    client.command(&id, "cancel").await;
    let rest = events.rest().await;
    let came = |region: &str| rest.iter().any(|event| event.element().ends_with(region));
    assert!(came("-status") && came("-result") && came("-controls"), "{rest:?}");
    assert!(!came("-stages") && !came("-log-lines") && !came("-extra"), "{rest:?}");
}

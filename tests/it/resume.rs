//! Resuming: from any cursor, whatever the cursor, to the same page.

use crate::harness::{Ask, Event, Events, Model, Server};

#[tokio::test]
async fn from_every_cursor_the_rest_completes_the_page() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields =
        [("steps", "60"), ("delay_ms", "50"), ("log_every", "1"), ("stages", "3"), ("message", "row")];
    let (id, token, mut events) = client.follow_whole(client.simulate(&fields)).await;
    let mut model = Model::new(200);
    let mut resumed: Vec<(Model, String, Events)> = Vec::new();
    while let Some(event) = events.next().await {
        model.apply(&event);
        if let Some(cursor) = event.id.filter(|_| event.name != "end") {
            // Live: opened now, while the operation goes on.
            let stream = client.stream(&token, Some(&cursor)).await;
            resumed.push((model.clone(), cursor, stream));
        }
    }
    assert!(resumed.len() > 10, "{} flushes", resumed.len());
    assert_eq!(model.line_numbers(), (1..=60).collect::<Vec<_>>());
    let page = client.page(&id).await;
    model.assert_is(&page);
    for (seen, cursor, mut live) in resumed {
        assert_completes(&seen, &live.rest().await, &model, &format!("live from {cursor}"));
        let late = client.stream(&token, Some(&cursor)).await.rest().await;
        assert_completes(&seen, &late, &model, &format!("afterwards from {cursor}"));
    }
}

/// `rest` on top of `seen` gives `whole`, and brings no line that was seen (the model refuses it).
fn assert_completes(seen: &Model, rest: &[Event], whole: &Model, what: &str) {
    let mut model = seen.clone();
    rest.iter().for_each(|event| model.apply(event));
    assert_eq!(model, *whole, "{what}");
}

#[tokio::test]
async fn a_resume_sends_only_what_changed() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let fields = [("steps", "10000"), ("delay_ms", "100"), ("log_every", "1"), ("message", "row")];
    let id = client.simulate(&fields).await;
    let token = client.page(&id).await.token.expect("just started");
    let mut events = client.stream(&token, None).await;
    let has_lines = |event: &Event| event.element().ends_with("-log-lines") && event.html().contains("row #");
    events.until(has_lines).await;
    let seen = events.first_flush().await;
    let cursor = seen.last().and_then(|event| event.id.clone()).expect("a cursor");
    drop(events);
    let resumed = client.stream(&token, Some(&cursor)).await.first_flush().await;
    for unchanged in ["-result", "-controls", "-extra", "-stages"] {
        assert!(
            !resumed.iter().any(|event| event.element().ends_with(unchanged)),
            "{unchanged}: {resumed:?}"
        );
    }
    assert_eq!(resumed[0].name, "state", "each stream tells it before its first fragment: {resumed:?}");
    assert_eq!(resumed.iter().filter(|event| event.name == "state").count(), 1, "{resumed:?}");
    let lines = resumed.iter().find(|event| event.element().ends_with("-log-lines"));
    if let Some(lines) = lines {
        assert_eq!(lines.text("swap"), "append");
        assert!(!lines.html().contains("-log-1\""), "{}", lines.html());
    }
    client.command(&id, "cancel").await;
}

#[tokio::test]
async fn odd_cursors_mean_everything() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "2"), ("delay_ms", "60000"), ("log_every", "1")]).await;
    client.reaches(&id, "running").await;
    let token = client.page(&id).await.token.expect("it runs");
    let first = client.stream(&token, None).await.first_flush().await;
    let cursor = first.last().and_then(|event| event.id.clone()).expect("a cursor");
    let other = client.simulate(&[("steps", "0")]).await;
    let foreign_token = client.page(&other).await.token;
    let foreign = match foreign_token {
        Some(token) => {
            client.stream(&token, None).await.rest().await.last().and_then(|event| event.id.clone())
        }
        None => None,
    };
    let future = cursor.rsplit_once('-').map(|(head, _)| format!("{head}-999999"));
    let long = "9".repeat(5000);
    let mut odd =
        vec!["", "0", "nonsense", "-1", "1-1-1-1", "../..", "18446744073709551616", "%00", "{}", &long];
    odd.extend(foreign.as_deref());
    odd.extend(future.as_deref());
    for odd in odd {
        let flush = client.stream(&token, Some(odd)).await.first_flush().await;
        assert_eq!(flush.len(), first.len(), "{odd:?} means everything: {flush:?}");
        assert_eq!(flush[0].name, "state", "{odd:?}");
    }
    // Bytes that are no UTF-8 cannot be sent by the client's header type as text: as the query.
    for odd in ["%FF%FE", "%00", "a%0D%0Ab", "%F0%9F%92%A9"] {
        let ask = Ask::get(&format!("/stream?token={token}&last_event_id={odd}"));
        let mut stream = Events::new(client.open(ask).await);
        assert_eq!(stream.first_flush().await.len(), first.len(), "{odd}");
    }
    client.command(&id, "cancel").await;
}

#[tokio::test]
async fn the_header_wins_over_the_query() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let (_, token, mut events) = client.follow_whole(client.simulate(&[("steps", "3")])).await;
    let events = events.rest().await;
    let end = events.last().and_then(|event| event.id.clone()).expect("a cursor");
    let both = |header: &str, query: &str| {
        Ask::get(&format!("/stream?token={token}&last_event_id={query}")).header("last-event-id", header)
    };
    assert_eq!(client.send(both(&end, "nonsense")).await.status, 204);
    let answer = client.send(both("nonsense", &end)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("event: end"), "{}", answer.text());
}

#[tokio::test]
async fn who_is_further_behind_than_the_tail_gets_the_tail_anew() {
    let server = Server::with(&[("log_tail", "10")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "10000"), ("delay_ms", "20"), ("log_every", "1"), ("message", "row")];
    let id = client.simulate(&fields).await;
    let token = client.page(&id).await.token.expect("just started");
    let mut events = client.stream(&token, None).await;
    let mut model = Model::new(10);
    let newest = |model: &Model| model.line_numbers().last().copied().unwrap_or(0);
    let (mut early, mut is_asked) = (None, false);
    while let Some(event) = events.next().await {
        model.apply(&event);
        let cursor = event.id.filter(|_| newest(&model) > 0);
        match &early {
            None => early = cursor.map(|cursor| (model.clone(), cursor)),
            Some((seen, _)) if !is_asked && newest(&model) > newest(seen) + 20 => {
                is_asked = true;
                client.command(&id, "cancel").await;
            }
            Some(_) => {}
        }
    }
    let count = newest(&model);
    assert_eq!(model.line_numbers(), (count - 9..=count).collect::<Vec<_>>());
    let page = client.page(&id).await;
    assert_eq!(page.attribute("data-liveop-log-tail").as_deref(), Some("10"));
    model.assert_is(&page);
    let (mut seen, cursor) = early.expect("a flush with lines");
    assert!(newest(&seen) + 20 < count, "it is far behind");
    let late = client.stream(&token, Some(&cursor)).await.rest().await;
    let lines: Vec<_> = late.iter().filter(|event| event.element().ends_with("-log-lines")).collect();
    assert_eq!(lines.len(), 1, "{late:?}");
    assert_eq!(lines[0].text("swap"), "outer");
    late.iter().for_each(|event| seen.apply(event));
    assert_eq!(seen, model);
    let more = model.text("log-more");
    let hidden = count - 10;
    assert!(
        more.contains(&format!("{count} lines")) && more.contains(&format!("{hidden} more")),
        "{hidden} of {count} are not shown: {more}"
    );
    assert!(model.region("log-more").contains(&format!("href=\"/operations/{id}/log\"")));
    let log = client.get(&format!("/operations/{id}/log")).await.text();
    let whole: String = (1..=count).map(|n| format!("row #{n}\n")).collect();
    assert_eq!(log, whole, "the whole log never lacks a line");
}

#[tokio::test]
async fn a_new_attempt_sends_everything_anew() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "3"), ("delay_ms", "50"), ("log_every", "1"), ("message", "row")];
    let (id, token, mut events) = client.follow_whole(client.simulate(&fields)).await;
    let first = events.rest().await;
    let end = first.last().and_then(|event| event.id.clone()).expect("a cursor");
    assert_eq!(client.command(&id, "restart").await.location(), format!("/operations/{id}"));
    let again = client.stream(&token, Some(&end)).await.rest().await;
    assert_eq!(again[0].name, "state", "{again:?}");
    for region in ["stages", "status", "progress", "log-more", "log-lines", "result", "extra", "controls"] {
        let element = format!("op-{id}-{region}");
        let found = again.iter().find(|event| event.element() == element);
        assert_eq!(found.map(|event| event.text("swap")), Some("outer"), "{region}");
    }
    assert_eq!(Model::of(&again).line_numbers(), [1, 2, 3]);
    assert_ne!(
        again.last().and_then(|event| event.id.clone()),
        Some(end),
        "the old cursor is of the old attempt"
    );
}

//! The list: what it shows, and how it stays live.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Answer, Ask, Client, Event, Events, SLOW, Server, attribute, text_of};

/// A list's container.
const CONTAINER: &str = "<section id=\"operations\"";

async fn list(client: &Client, path: &str) -> Answer {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

fn of(page: &Answer, name: &str) -> String {
    attribute(&page.text(), CONTAINER, name).unwrap_or_else(|| panic!("no {name} in {}", page.text()))
}

async fn follow(client: &Client) -> Events {
    let token = of(&list(client, "/operations").await, "data-liveop-token");
    client.stream(&token, None).await
}

fn row(id: &str) -> String {
    format!("op-{id}-row")
}

/// The operation whose row a fragment brings, whatever its swap is.
fn operation(event: &Event) -> String {
    let element = match event.text("swap") {
        "prepend" => {
            assert_eq!(event.element(), "operations-rows");
            attribute(event.html(), "<tr", "id").unwrap_or_else(|| panic!("no id: {event:?}"))
        }
        "outer" => event.element().to_owned(),
        other => panic!("{other}: {event:?}"),
    };
    element.strip_prefix("op-").and_then(|id| id.strip_suffix("-row")).expect("a row").to_owned()
}

fn is(event: &Event, swap: &str, id: &str, state: &str) -> bool {
    event.text("swap") == swap
        && operation(event) == id
        && event.html().contains(&format!("data-state=\"{state}\""))
}

#[tokio::test]
async fn the_page_has_a_live_container() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let page = list(&client, "/operations").await;
    assert!(of(&page, "data-liveop-channel").starts_with("liveops.user."));
    assert!(of(&page, "data-liveop-token").starts_with("v1."));
    assert_eq!(of(&page, "data-liveop-stream"), "/stream");
    assert_eq!(of(&page, "data-liveop-page"), "/operations");
    assert!(page.text().contains("id=\"operations-rows\""), "{}", page.text());
    assert!(
        !page.text().contains("data-liveop-known-only") && !page.text().contains("http-equiv=\"refresh\"")
    );
    let id = client.simulate(SLOW).await;
    let page = list(&client, "/operations").await;
    assert!(page.text().contains(&format!("<tr id=\"{}\"", row(&id))), "{}", page.text());
    assert!(
        page.text().contains("<noscript><meta http-equiv=\"refresh\""),
        "without scripts it loads itself"
    );
    for odd in ["0", "-1", "x", "", "99999999999999999999", "7"] {
        let page = list(&client, &format!("/operations?page={odd}")).await;
        assert!(page.text().contains(&row(&id)), "{odd} is the first page");
        assert_eq!(of(&page, "data-liveop-page"), "/operations?page=1");
        assert!(page.text().contains("id=\"operations-rows\" data-liveop-known-only"), "{odd}");
    }
}

#[tokio::test]
async fn a_stream_starts_with_the_newest_rows_oldest_first_also_on_a_resume() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let mut ids = Vec::new();
    for _ in 0..53 {
        ids.push(client.simulate(&[("steps", "0")]).await);
    }
    for id in &ids {
        client.finished(id).await;
    }
    let token = of(&list(&client, "/operations").await, "data-liveop-token");
    let mut cursor = None;
    for _ in 0..2 {
        let mut events = client.stream(&token, cursor.as_deref()).await;
        let first = events.first_flush().await;
        assert!(
            first.iter().all(|event| event.name == "fragment" && event.text("swap") == "prepend"),
            "{first:?}"
        );
        let got: Vec<_> = first.iter().map(operation).collect();
        assert_eq!(got, ids[3..], "50 rows, the oldest of them first");
        assert_eq!(first.iter().filter(|event| event.id.is_some()).count(), 1);
        assert_eq!(events.retries().len(), 1);
        cursor = first.last().and_then(|event| event.id.clone());
    }
    // The page has the same rows, in the other order.
    let html = list(&client, "/operations").await.text();
    let places: Vec<_> = ids[3..].iter().rev().map(|id| html.find(&row(id)).expect("its row")).collect();
    assert!(places.is_sorted() && !html.contains(&row(&ids[2])), "newest first");
    let older = list(&client, "/operations?page=2").await;
    assert!(ids[..3].iter().all(|id| older.text().contains(&row(id))));
    assert!(older.text().contains("href=\"/operations\"") && html.contains("href=\"/operations?page=2\""));
}

#[tokio::test]
async fn new_rows_come_at_the_top_and_change_where_they_are() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let mut events = follow(&client).await;
    // Nothing yet, but the stream says that it is there.
    assert_eq!(events.any().await.map(|event| event.name), Some("ping".into()));
    let id = client.simulate(&[("steps", "1000"), ("delay_ms", "50"), ("message", "Counting")]).await;
    // About twice a second it moves, less often where the store is slow.
    let mut bars: Vec<u32> = Vec::new();
    let mut seen = events
        .until(|event| {
            bars.extend(
                attribute(event.html(), "<progress", "value").and_then(|value| value.parse::<u32>().ok()),
            );
            bars.dedup();
            bars.len() == 3
        })
        .await;
    assert!(bars.is_sorted(), "{bars:?}");
    client.command(&id, "cancel").await;
    seen.extend(events.until(|event| is(event, "outer", &id, "cancelled")).await);
    assert!(seen.iter().all(|event| event.name == "fragment" && operation(event) == id), "{seen:?}");
    assert_eq!(seen[0].text("swap"), "prepend", "{seen:?}");
    assert!(seen[1..].iter().all(|event| event.text("swap") == "outer"), "{seen:?}");
    let done = client.simulate(&[("steps", "40")]).await;
    let seen = events.until(|event| operation_is_over(event, &done)).await;
    let last = text_of(seen.last().expect("the end").html());
    assert!(last.contains("Done") && last.contains("steps: 40"), "{last}");
    // The page has the same.
    let page = list(&client, "/operations").await.text();
    assert!(page.contains(seen.last().expect("the end").html()), "{page}");
    // It goes on after that.
    let failing =
        client.simulate(&[("steps", "1"), ("outcome", "error"), ("message", "No such table")]).await;
    let seen = events
        .until(|event| operation(event) == failing && event.html().contains("data-state=\"failed\""))
        .await;
    assert!(text_of(seen.last().expect("the end").html()).contains("No such table"));
}

#[tokio::test]
async fn a_row_says_how_many_are_before_it_and_moves_up() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.user("ada").await;
    let first = client.simulate(SLOW).await;
    client.reaches(&first, "running").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.simulate(SLOW).await);
    }
    let mut events = follow(&client).await;
    let start = events.first_flush().await;
    let text = text_of(start.last().expect("the newest").html());
    assert!(text.contains("Waiting") && text.contains("2 before it"), "{text}");
    assert!(text_of(&list(&client, "/operations").await.text()).contains("2 before it"));
    client.command(&ids[0], "cancel").await;
    events.until(|event| operation(event) == ids[2] && text_of(event.html()).contains("1 before it")).await;
}

#[tokio::test]
async fn rows_on_older_pages_change_too() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let slow = client.simulate(SLOW).await;
    let over = client.simulate(&[("steps", "0")]).await;
    client.finished(&over).await;
    for _ in 0..50 {
        let id = client.simulate(&[("steps", "0")]).await;
        client.finished(&id).await;
    }
    let mut events = follow(&client).await;
    let first = events.first_flush().await;
    assert!(first.iter().all(|event| ![&slow, &over].contains(&&operation(event))));
    client.command(&slow, "cancel").await;
    events.until(|event| is(event, "outer", &slow, "cancelled")).await;
    // One that was over long ago runs again, for a moment only: each time it may be over before
    // anybody looks.
    for _ in 0..5 {
        client.command(&over, "restart").await;
        client.finished(&over).await;
    }
    events.until(|event| is(event, "outer", &over, "succeeded")).await;
}

#[tokio::test]
async fn what_another_process_runs_is_followed() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.user("ada").await;
    let mut events = follow(&client).await;
    let other = server.second().await;
    let there = Client::new(other.address);
    assert_eq!(there.log_in("ada", "ada password").await.status, 303);
    // Either may run it; with both busy, one of the two runs in the other process.
    let fields = [("steps", "1000"), ("delay_ms", "50")];
    let ids = [there.simulate(&fields).await, there.simulate(&fields).await];
    let mut bars = BTreeMap::<String, BTreeSet<String>>::new();
    while ids.iter().any(|id| bars.get(id).is_none_or(|bars| bars.len() < 3)) {
        let event = events.next().await.expect("it never ends by itself");
        let id = operation(&event);
        assert!(ids.contains(&id), "{event:?}");
        bars.entry(id).or_default().extend(attribute(event.html(), "<progress", "value"));
    }
    for id in &ids {
        there.command(id, "cancel").await;
    }
    while !bars.is_empty() {
        let event = events.next().await.expect("it never ends by itself");
        if event.html().contains("data-state=\"cancelled\"") {
            bars.remove(&operation(&event));
        }
    }
}

#[tokio::test]
async fn a_list_is_its_users_only() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let id = ada.simulate(SLOW).await;
    let page = list(&ada, "/operations").await;
    let (token, channel) = (of(&page, "data-liveop-token"), of(&page, "data-liveop-channel"));
    assert!(!list(&bob, "/operations").await.text().contains(&row(&id)));
    let operation = ada.page(&id).await.token.expect("it runs");
    let theirs = of(&list(&bob, "/operations").await, "data-liveop-channel");
    let mut refused = Vec::new();
    for (who, address) in [
        (&bob, format!("/stream?token={token}")),
        (&bob, format!("/stream?token={token}&channel={channel}")),
        (&ada, format!("/stream?token={token}&channel={theirs}")),
        (&ada, format!("/stream?token={token}&channel=liveop.{id}")),
        (&ada, format!("/stream?token={operation}&channel={channel}")),
        (&ada, format!("/stream?token={}x", token)),
    ] {
        let answer = who.get(&address).await;
        assert_eq!(answer.status, 403, "{address}");
        refused.push(answer.body);
    }
    assert!(refused.windows(2).all(|pair| pair[0] == pair[1]), "one answer for all of them");
    assert_eq!(Client::new(server.address).get(&format!("/stream?token={token}")).await.status, 401);
    assert_eq!(ada.send(Ask::new("POST", &format!("/stream?token={token}"))).await.status, 405);
    // Bob's own stream tells nothing of it.
    let mut events = follow(&bob).await;
    let own = bob.simulate(&[("steps", "0")]).await;
    let seen = events.until(|event| operation_is_over(event, &own)).await;
    assert!(seen.iter().all(|event| !event.html().contains(&id)), "{seen:?}");
}

fn operation_is_over(event: &Event, id: &str) -> bool {
    operation(event) == id && event.html().contains("data-state=\"succeeded\"")
}

#[tokio::test]
async fn signing_out_ends_it() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let mut events = follow(&client).await;
    let csrf = client.csrf().await;
    client.send(Ask::post("/logout").form(&[("csrf_token", &csrf)])).await;
    assert!(events.next().await.is_none(), "it closes without a word");
}

#[tokio::test]
async fn hostile_titles_stay_text_in_rows() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let mut events = follow(&client).await;
    let hostile = "</td><script>alert(1)</script>";
    let id = client.simulate(&[("steps", "1"), ("outcome", "error"), ("message", hostile)]).await;
    let seen = events.until(|event| event.html().contains("data-state=\"failed\"")).await;
    let last = seen.last().expect("the end");
    assert_eq!(operation(last), id);
    assert!(!last.html().contains("<script") && text_of(last.html()).contains(hostile), "{}", last.html());
}

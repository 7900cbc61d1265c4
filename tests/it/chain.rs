//! Handing over to the next operation.

use crate::harness::{Ask, SLOW, Server, text_of};

#[tokio::test]
async fn the_chain_is_told_just_before_the_end() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let mut place = client.take_place().await;
    let fields = [
        ("steps", "3"),
        ("delay_ms", "50"),
        ("chain", "2"),
        ("message", "linked"),
        ("redirect", "/operations"),
    ];
    let mut id = client.simulate(&fields).await;
    let mut seen = vec![id.clone()];
    for link in 0..2 {
        let mut events = client.follow(&id).await;
        events.first_flush().await;
        // The next link waits behind this one.
        let behind = client.simulate(SLOW).await;
        client.command(&place, "cancel").await;
        place = behind;
        let events = events.rest().await;
        let [.., chain, end] = events.as_slice() else { panic!("too short: {events:?}") };
        assert_eq!((chain.name.as_str(), end.name.as_str()), ("chain", "end"), "link {link}");
        assert!(chain.id.is_none() && end.id.is_some(), "one flush");
        let next = chain.text("next").to_owned();
        let expected = serde_json::json!({
            "operation": id, "next": next, "url": format!("/operations/{next}"),
        });
        assert_eq!(chain.data, expected);
        assert_eq!(end.data["state"], "succeeded");
        assert_eq!(end.data["redirect"], serde_json::Value::Null, "only the last one leads on");
        let page = client.page(&id).await;
        assert!(
            page.html.contains(&format!("href=\"/operations/{next}\"")),
            "the page links to the next one"
        );
        assert_eq!(page.attribute("data-liveop-next"), Some(format!("/operations/{next}")));
        assert_eq!(page.attribute("data-liveop-redirect"), None);
        assert!(!seen.contains(&next));
        seen.push(next.clone());
        // Committed before it was told.
        assert_eq!(client.get(&format!("/operations/{next}")).await.status, 200);
        id = next;
    }
    client.command(&place, "cancel").await;
    let last = client.finished(&id).await;
    assert_eq!(last.state, "succeeded");
    assert_eq!(last.attribute("data-liveop-next"), None);
    assert_eq!(last.attribute("data-liveop-redirect").as_deref(), Some("/operations"));
    let list = client.get("/operations").await.text();
    assert!(seen.iter().all(|id| list.contains(id.as_str())), "all three are the user's");
    assert_eq!(list.matches("<tr id=\"op-").count(), 3 + 3, "and the three that took the place");
}

#[tokio::test]
async fn what_fails_hands_nothing_over() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    for outcome in ["error", "fail", "panic"] {
        let place = client.take_place().await;
        let fields =
            [("steps", "1"), ("delay_ms", "50"), ("chain", "1"), ("outcome", outcome), ("message", "x")];
        let id = client.simulate(&fields).await;
        let mut events = client.follow(&id).await;
        events.first_flush().await;
        client.command(&place, "cancel").await;
        let events = events.rest().await;
        assert!(events.iter().all(|event| event.name != "chain"), "{outcome}");
        assert_eq!(
            events.last().map(|event| event.data["state"].clone()),
            Some("failed".into()),
            "{outcome}"
        );
    }
    let list = client.get("/operations").await.text();
    assert_eq!(list.matches("<tr id=\"op-").count(), 3 + 3, "and the three that took the place");
}

#[tokio::test]
async fn a_reconnect_after_the_handover_is_told_again() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let place = client.take_place().await;
    let id = client.simulate(&[("steps", "1"), ("delay_ms", "100"), ("chain", "1")]).await;
    let token = client.page(&id).await.token.expect("it waits");
    let mut live = client.stream(&token, None).await;
    live.first_flush().await;
    client.command(&place, "cancel").await;
    let live = live.rest().await;
    let again = client.stream(&token, None).await.rest().await;
    let chain = |events: &[crate::harness::Event]| {
        events.iter().find(|event| event.name == "chain").map(|event| event.data.clone()).expect("a chain")
    };
    assert_eq!(chain(&live), chain(&again));
}

/// Titles in a page's breadcrumb, with what is said of those that did not end well.
fn breadcrumb(html: &str) -> Vec<String> {
    let (_, nav) = html.split_once("<nav class=\"liveop-chain\"").expect("a breadcrumb");
    let nav = nav.split("</nav>").next().expect("its end");
    nav.split("<li>").skip(1).map(text_of).collect()
}

#[tokio::test]
async fn a_chain_of_ten_is_a_breadcrumb_without_scripts() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut id = client.simulate(&[("steps", "0"), ("chain", "9"), ("message", "<i>link</i>")]).await;
    for link in 1.. {
        let page = client.finished(&id).await;
        assert_eq!(page.state, "succeeded");
        let Some(next) = page.attribute("data-liveop-next") else {
            assert_eq!(link, 10, "the last one");
            assert_eq!(breadcrumb(&page.html).len(), 10);
            assert!(page.html.contains("<bdi>&lt;i&gt;link"), "escaped");
            assert!(!page.html.contains("<i>link"), "escaped");
            break;
        };
        id = next.rsplit('/').next().expect("an address").to_owned();
    }
}

#[tokio::test]
async fn cancelling_one_in_the_middle_ends_the_chain() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    // Each link takes long enough for it to be seen, and the second one to be cancelled, also by a machine that stands still.
    let id = client.simulate(&[("steps", "50"), ("delay_ms", "100"), ("chain", "9")]).await;
    let csrf = client.csrf().await;
    let events = client.follow(&id).await.rest().await;
    let chain = events.iter().find(|event| event.name == "chain").expect("it hands over");
    let id = chain.text("next").to_owned();
    let cancel = Ask::post(&format!("/operations/{id}/cancel")).form(&[("csrf_token", &csrf)]);
    assert_eq!(client.send(cancel).await.status, 303);
    let page = client.finished(&id).await;
    assert_eq!(page.state, "cancelled");
    assert_eq!(page.attribute("data-liveop-next"), None);
    let chain = breadcrumb(&page.html);
    assert_eq!(chain.len(), 2, "{chain:?}");
    assert_eq!(client.get("/operations").await.text().matches("<tr id=\"op-").count(), 2, "no third");
    // The one before it says what became of it.
    let earlier = page.html.split("<nav class=\"liveop-chain\"").nth(1).expect("a breadcrumb");
    let first = crate::harness::attribute(earlier, "<a", "href").expect("the first one");
    let chain = breadcrumb(&client.get(&first).await.text());
    assert!(
        chain.len() == 2 && chain[1].contains("Cancelled") && !chain[0].contains("Cancelled"),
        "{chain:?}"
    );
}

//! What one process runs, followed in another that shares its database.

use crate::harness::{Ask, Event, SLOW, Server, soon};

const KEY: (&str, &str) = ("secret_key", "a key of more than thirty-two bytes for two");

fn states(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|event| event.name == "state").map(|event| event.text("state")).collect()
}

/// The states of one that was cancelled while it ran: it may be over before anybody sees that it was asked to stop.
fn assert_ran_and_was_cancelled(states: &[&str]) {
    let is_told = matches!(states, ["running", "cancelled"] | ["running", "cancelling", "cancelled"]);
    assert!(is_told, "{states:?}");
}

/// How often a region came whole.
fn whole(events: &[Event], region: &str) -> usize {
    events.iter().filter(|event| event.element().ends_with(region) && event.text("swap") == "outer").count()
}

#[tokio::test]
async fn each_state_is_told_once_and_regions_come_when_they_changed() {
    let server = Server::with(&[("workers", "1"), KEY]).await;
    let (client, other) = (server.demo_user().await, server.watching().await);
    let there = client.at(&other);
    for _ in 0..3 {
        let first = client.simulate(SLOW).await;
        client.reaches(&first, "running").await;
        let id = client.simulate(&[("steps", "10000"), ("delay_ms", "50"), ("stages", "2")]).await;
        let mut events = there.follow(&id).await;
        let mut seen = events.first_flush().await;
        assert_eq!(states(&seen), ["waiting"]);
        client.command(&first, "cancel").await;
        // It runs until it was seen to run for a while.
        let mut bars = 0;
        let has_moved = |event: &Event| {
            bars += usize::from(event.element().ends_with("-progress"));
            bars == 3
        };
        seen.extend(events.until(has_moved).await);
        client.command(&id, "cancel").await;
        seen.extend(events.rest().await);
        assert_eq!(states(&seen)[0], "waiting");
        assert_ran_and_was_cancelled(&states(&seen)[1..]);
        // Nothing is ever said in it: once as it waits, and once as it begins.
        assert_eq!(whole(&seen, "-extra"), 2);
        assert_eq!(whole(&seen, "-log-lines"), 2);
    }
}

#[tokio::test]
async fn a_stream_that_opens_right_after_the_claim_tells_running_once() {
    let server = Server::with(&[KEY]).await;
    let (client, other) = (server.demo_user().await, server.watching().await);
    let there = client.at(&other);
    for _ in 0..5 {
        let id = client.simulate(&[("steps", "10000"), ("delay_ms", "50"), ("log_every", "1")]).await;
        client.reaches(&id, "running").await;
        let mut events = there.follow(&id).await;
        let is_line = |event: &Event| event.text("swap") == "append";
        let mut seen = events.until(is_line).await;
        client.command(&id, "cancel").await;
        seen.extend(events.rest().await);
        assert_ran_and_was_cancelled(&states(&seen));
        assert_eq!(whole(&seen, "-extra"), 1);
    }
}

#[tokio::test]
async fn a_page_says_cancelling_as_soon_as_any_process_was_asked() {
    let server = Server::with(&[KEY]).await;
    let (client, other) = (server.demo_user().await, server.watching().await);
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    assert_eq!(client.at(&other).command(&id, "cancel").await.status, 303);
    for who in [&client.at(&other), &client] {
        let page = who.page(&id).await;
        assert!(["cancelling", "cancelled"].contains(&page.state.as_str()), "{}", page.state);
        assert!(page.state == "cancelled" || page.html.contains("Cancelling…"), "{}", page.html);
    }
    client.finished(&id).await;
}

/// Its process hears of it when it goes on, and nothing is said twice then.
#[tokio::test]
async fn a_stream_says_cancelling_at_once_also_where_the_runs_own_process_stands_still() {
    let server = Server::with(&[KEY]).await;
    let (client, other) = (server.demo_user().await, server.watching().await);
    let there = client.at(&other);
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let mut events = there.follow(&id).await;
    let mut seen = events.first_flush().await;
    server.stand_still().await;
    assert_eq!(there.command(&id, "cancel").await.status, 303);
    let told = events.until(|event| event.name == "state");
    seen.extend(soon("the state", told).await);
    let asked = events.first_flush().await;
    for (region, times) in
        [("-status", 1), ("-controls", 1), ("-log-lines", 0), ("-extra", 0), ("-result", 0)]
    {
        assert_eq!(whole(&asked, region), times, "{region} in {asked:?}");
    }
    assert!(asked.iter().any(|event| event.html().contains("Cancelling…")), "{asked:?}");
    let cursor = asked.last().and_then(|event| event.id.clone()).expect("a cursor");
    let token = there.page(&id).await.token.expect("it runs");
    let mut again = there.stream(&token, Some(&cursor)).await;
    let list = there.get("/operations").await.text();
    assert!(list.contains("data-state=\"cancelling\"") && !list.contains("data-state=\"running\""), "{list}");
    server.signal("-CONT");
    seen.extend(asked);
    seen.extend(events.rest().await);
    assert_eq!(states(&seen), ["running", "cancelling", "cancelled"]);
    assert_eq!(whole(&seen, "-extra"), 1);
    // Who came back with that cursor lacked nothing until it went on: no line, no region of its own.
    let again = again.rest().await;
    assert_eq!(
        (states(&again).last().copied(), whole(&again, "-extra")),
        (Some("cancelled"), 0),
        "{again:?}"
    );
}

/// A server without the kind offers nothing that it would refuse.
#[tokio::test]
async fn what_cannot_be_run_here_is_not_offered() {
    let server = Server::with(&[KEY]).await;
    let (client, other) = (server.demo_user().await, server.watching().await);
    let there = client.at(&other);
    for outcome in ["ok", "error"] {
        let id = client.simulate(&[("steps", "0"), ("outcome", outcome)]).await;
        client.finished(&id).await;
        let (has, lacks) = (client.page(&id).await.html, there.page(&id).await.html);
        for offer in ["/restart\"", "/operations/new/simulate"] {
            assert!(has.contains(offer) && !lacks.contains(offer), "{offer} {outcome}");
        }
        let csrf = there.csrf().await;
        let restart = Ask::post(&format!("/operations/{id}/restart"));
        let answer = there.send(restart.form(&[("csrf_token", &csrf)])).await;
        assert_eq!(answer.status, 409);
        let page = answer.text();
        assert!(
            page.contains("does not have this kind") && page.contains(&format!("href=\"/operations/{id}\"")),
            "{page}"
        );
    }
}

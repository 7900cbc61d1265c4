//! Stopping, and running again.

use crate::harness::{Ask, SLOW, Server, text_of};

#[tokio::test]
async fn a_running_one_stops_at_once() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let mut events = client.follow(&id).await;
    events.first_flush().await;
    let answer = client.command(&id, "cancel").await;
    assert_eq!(answer.location(), format!("/operations/{id}"));
    let rest = events.rest().await;
    let states: Vec<&str> =
        rest.iter().filter(|event| event.name == "state").map(|event| event.text("state")).collect();
    assert!(states == ["cancelling", "cancelled"] || states == ["cancelled"], "{states:?}");
    assert_eq!(rest.last().map(|event| event.data["state"].clone()), Some("cancelled".into()));
    let page = client.page(&id).await;
    assert_eq!(page.state, "cancelled");
    assert!(page.html.contains(&format!("action=\"/operations/{id}/restart\"")), "it can run again");
    assert!(!page.html.contains(&format!("action=\"/operations/{id}/cancel\"")));
}

#[tokio::test]
async fn a_waiting_one_never_runs() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let first = client.simulate(SLOW).await;
    client.reaches(&first, "running").await;
    let second = client.simulate(&[("steps", "1"), ("log_every", "1")]).await;
    let mut events = client.follow(&second).await;
    assert_eq!(events.first_flush().await[0].data["state"], "waiting");
    assert_eq!(client.command(&second, "cancel").await.status, 303);
    let rest = events.rest().await;
    assert!(rest.iter().all(|event| event.data["state"] != "running"), "{rest:?}");
    assert_eq!(client.page(&second).await.state, "cancelled");
    client.command(&first, "cancel").await;
    client.finished(&first).await;
    assert_eq!(client.page(&second).await.state, "cancelled", "nor when there is room");
    assert_eq!(client.get(&format!("/operations/{second}/log")).await.text(), "");
}

#[tokio::test]
async fn the_shim_gets_204() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let csrf = client.csrf().await;
    let ask = Ask::post(&format!("/operations/{id}/cancel")).header("x-liveops", "1");
    let answer = client.send(ask.clone().form(&[("csrf_token", &csrf)])).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(client.finished(&id).await.state, "cancelled");
    let answer = client.send(ask.form(&[("csrf_token", &csrf)])).await;
    assert_eq!(answer.status, 204, "the same answer once it is over");
}

#[tokio::test]
async fn a_finished_one_is_left_as_it_is() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1"), ("message", "done")]).await;
    let before = client.finished(&id).await;
    let answer = client.command(&id, "cancel").await;
    assert_eq!(answer.location(), format!("/operations/{id}"));
    let after = client.page(&id).await;
    assert_eq!(after.state, "succeeded");
    let section = |html: &str| html[html.find("<section").expect("a container")..].to_owned();
    assert_eq!(section(&before.html), section(&after.html));
}

#[tokio::test]
async fn a_restart_is_the_next_attempt_under_the_same_address() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let fields = [("steps", "3"), ("log_every", "1"), ("message", "again"), ("outcome", "error")];
    let id = client.simulate(&fields).await;
    assert_eq!(client.finished(&id).await.state, "failed");
    let answer = client.command(&id, "restart").await;
    assert_eq!(answer.location(), format!("/operations/{id}"));
    let page = client.finished(&id).await;
    assert_eq!(page.state, "failed", "with the same input");
    assert!(page.text().contains("again"));
    let log = format!("/operations/{id}/log");
    assert_eq!(client.get(&format!("{log}?attempt=1")).await.text(), client.get(&log).await.text());
    assert_eq!(client.get(&format!("{log}?attempt=2")).await.status, 200);
    let by_shim = Ask::post(&format!("/operations/{id}/restart")).header("x-liveops", "1");
    let answer = client.send(by_shim.header("x-csrf-token", &client.csrf().await)).await;
    assert_eq!(answer.status, 303, "restart is an ordinary form post");
    client.finished(&id).await;
    assert_eq!(client.get("/operations").await.text().matches("<tr id=\"op-").count(), 1, "one operation");
}

#[tokio::test]
async fn what_is_not_over_cannot_be_restarted() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let running = client.simulate(SLOW).await;
    client.reaches(&running, "running").await;
    let waiting = client.simulate(SLOW).await;
    for (id, state) in [(&running, "running"), (&waiting, "waiting")] {
        assert_eq!(client.command(id, "restart").await.status, 409, "{state}");
        assert_eq!(client.page(id).await.state, state, "and goes on");
    }
}

#[tokio::test]
async fn a_waiting_one_says_how_many_are_before_it() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(client.simulate(SLOW).await);
        if ids.len() == 1 {
            client.reaches(&ids[0], "running").await;
        }
    }
    let last = &ids[3];
    let page = client.page(last).await;
    assert_eq!(page.state, "waiting");
    assert_eq!(before(&page.html), Some(2), "{}", page.html);
    let mut events = client.follow(last).await;
    let mut seen = Vec::new();
    let mut states = Vec::new();
    for id in &ids[..3] {
        client.command(id, "cancel").await;
        client.finished(id).await;
        // Each that leaves the queue, or begins, brings it nearer.
        let wanted = |number: Option<u64>, states: &[String]| match id {
            id if *id == ids[2] => states.last().is_some_and(|state| state == "running"),
            id if *id == ids[1] => number == Some(0),
            _ => number == Some(1),
        };
        events
            .until(|event| {
                if event.name == "state" {
                    states.push(event.text("state").to_owned());
                }
                if let Some(number) = before(event.html()) {
                    seen.push(number);
                }
                wanted(seen.last().copied(), &states)
            })
            .await;
    }
    assert!(seen.is_sorted_by(|a, b| a >= b), "the number only goes down: {seen:?}");
}

/// How many are before it, from the status region in some HTML.
fn before(html: &str) -> Option<u64> {
    let status = &html[html.find("-status\"")?..];
    let text = text_of(status);
    let at = text.find(" before it")?;
    text[..at].rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

//! What one process runs, followed in another that shares its database.

use crate::harness::{Event, Server};

const SLOW: &[(&str, &str)] = &[("steps", "1"), ("delay_ms", "60000")];
const KEY: (&str, &str) = ("secret_key", "a key of more than thirty-two bytes for two");

fn states(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|event| event.name == "state").map(|event| event.text("state")).collect()
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
        let id = client.simulate(&[("steps", "30"), ("delay_ms", "50"), ("stages", "2")]).await;
        let mut events = there.follow(&id).await;
        let mut seen = events.first_flush().await;
        assert_eq!(states(&seen), ["waiting"]);
        client.command(&first, "cancel").await;
        seen.extend(events.rest().await);
        assert_eq!(states(&seen), ["waiting", "running", "succeeded"]);
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
        let id = client.simulate(&[("steps", "20"), ("delay_ms", "50"), ("log_every", "1")]).await;
        client.reaches(&id, "running").await;
        let events = there.follow(&id).await.rest().await;
        assert_eq!(states(&events), ["running", "succeeded"]);
        assert_eq!(whole(&events, "-extra"), 1);
    }
}

//! Signing out while the database cannot be written.

use super::FULL;
use crate::harness::{Ask, Client, Server, until};

#[tokio::test]
async fn who_signs_out_on_a_full_disk_is_signed_out_in_the_browser_at_least() {
    let server = Server::start().await;
    let client = server.user("alice").await;
    let csrf = client.csrf().await;
    let cookie = client.cookie("liveops_session").expect("signed in");
    let held = (FULL.does)(&server);
    let answer = client.send(Ask::post("/logout").form(&[("csrf_token", &csrf)])).await;
    assert_eq!(answer.status, 503, "its session lives on, and that is not passed over: {}", answer.text());
    assert_eq!(client.cookie("liveops_session"), None);
    assert_eq!(client.get("/operations").await.location(), "/login?next=%2Foperations");
    (FULL.undone)(&server, held);
    // Whoever has the cookie still can end it.
    let again = Client::new(server.address);
    until("a database that can be written", async || {
        again.set_cookie("liveops_session", &cookie);
        (again.log_out().await.status == 303).then_some(())
    })
    .await;
    again.set_cookie("liveops_session", &cookie);
    assert_eq!(again.get("/operations").await.status, 303);
}

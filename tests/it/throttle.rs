//! Guessing passwords: ten wrong tries in ten minutes for one account from one address.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::harness::{Answer, Ask, Client, Server, text_of};

/// A try from wherever the header says.
async fn attempt(client: &Client, forwarded: &str, name: &str, password: &str) -> Answer {
    let csrf = client.get("/login").await.csrf();
    let fields = [("csrf_token", csrf.as_str()), ("username", name), ("password", password)];
    let ask = Ask::post("/login").form(&fields);
    client.send(if forwarded.is_empty() { ask } else { ask.header("x-forwarded-for", forwarded) }).await
}

/// So many wrong tries, all at once.
async fn guess(client: &Arc<Client>, name: &'static str, times: usize) -> Vec<u16> {
    // Of one visit: the first page sets its cookie, and without it each page would be the first.
    assert_eq!(client.get("/login").await.status, 200);
    let mut tries = JoinSet::new();
    for n in 0..times {
        let client = Arc::clone(client);
        tries.spawn(async move { attempt(&client, "", name, &format!("wrong {n}")).await.status });
    }
    tries.join_all().await
}

fn assert_throttled(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn the_eleventh_try_is_refused_even_if_it_is_right() {
    let server = Server::start().await;
    let alice = server.user("alice").await;
    server.user("bob").await;
    let client = Arc::new(Client::new(server.address));
    // More at once than are allowed: ten are checked.
    let mut statuses = guess(&client, "alice", 15).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[422; 10].as_slice(), &[429; 5]].concat());
    let sessions = || -> i64 {
        let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
        database.query_row("SELECT count(*) FROM liveops_sessions", [], |row| row.get(0)).expect("a number")
    };
    let before = sessions();
    let right = client.log_in("alice", "alice password").await;
    assert_throttled(&right);
    assert_eq!(client.cookie("liveops_session"), None);
    assert_eq!(sessions(), before, "nor was one begun that nobody has: its password was not even looked at");
    // A page of the site that says what to do.
    assert!(right.header("content-type").starts_with("text/html"));
    assert!(right.text().contains("class=\"site\""), "{}", right.text());
    let text = text_of(&right.text());
    assert!(text.contains("minutes") && text.contains("Sign in"), "{text}");
    assert_throttled(
        &client
            .send(Ask::post("/login").header("x-forwarded-for", "9.9.9.9").form(&[
                ("csrf_token", &client.get("/login").await.csrf()),
                ("username", "alice"),
                ("password", "alice password"),
            ]))
            .await,
    );
    // Others get in, and who is in stays.
    assert_eq!(client.log_in("bob", "bob password").await.status, 303);
    assert_eq!(alice.get("/operations").await.status, 200);
}

#[tokio::test]
async fn an_unknown_account_counts_alike() {
    let server = Server::start().await;
    let client = Arc::new(Client::new(server.address));
    assert_eq!(guess(&client, "nobody", 10).await, [422; 10]);
    assert_throttled(&client.log_in("nobody", "x").await);
}

#[tokio::test]
async fn a_right_password_clears_the_count() {
    let server = Server::start().await;
    server.user("alice").await;
    let client = Arc::new(Client::new(server.address));
    for _ in 0..2 {
        assert_eq!(guess(&client, "alice", 9).await, [422; 9]);
        assert_eq!(client.log_in("alice", "alice password").await.status, 303);
    }
    // Forms without a valid token are no tries.
    for _ in 0..11 {
        let ask = Ask::post("/login").form(&[("username", "alice"), ("password", "x")]);
        assert_eq!(client.send(ask).await.status, 403);
    }
    assert_eq!(client.log_in("alice", "alice password").await.status, 303);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_address_is_the_forwarded_one() {
    let server = Server::with(&[("trusted_proxies", "127.0.0.0/8,10.0.0.7")]).await;
    server.user("alice").await;
    let client = Client::new(server.address);
    // What the client wrote itself, to the left, does not make it another one.
    for n in 0..10 {
        let forwarded = format!("9.9.9.{n}, 192.0.2.1, 10.0.0.7");
        assert_eq!(attempt(&client, &forwarded, "alice", "wrong").await.status, 422);
    }
    for forwarded in ["192.0.2.1", "192.0.2.1:4711", "8.8.8.8,192.0.2.1", "nonsense, 192.0.2.1,10.0.0.7"] {
        assert_throttled(&attempt(&client, forwarded, "alice", "alice password").await);
    }
    for forwarded in ["192.0.2.2", "", "192.0.2.1, nonsense", "2001:db8::1"] {
        let answer = attempt(&client, forwarded, "alice", "alice password").await;
        assert_eq!(answer.status, 303, "{forwarded:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_network_of_version_6_counts_as_one_address() {
    let server = Server::with(&[("trusted_proxies", "127.0.0.1")]).await;
    server.user("alice").await;
    let client = Client::new(server.address);
    for n in 0..10 {
        let forwarded = format!("2001:db8:0:1:{n}::1");
        assert_eq!(attempt(&client, &forwarded, "alice", "wrong").await.status, 422);
    }
    assert_throttled(&attempt(&client, "2001:db8:0:1:ffff::", "alice", "alice password").await);
    assert_eq!(attempt(&client, "2001:db8:0:2::1", "alice", "alice password").await.status, 303);
}

//! How many operations run, and how many streams are open, at once.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::harness::{Answer, Ask, Client, SLOW, Server, finish, liveops, until};

#[tokio::test]
async fn a_user_runs_as_many_at_once_as_the_setting_says_in_all_processes() {
    let server = Server::with(&[("running_per_user", "2")]).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let other = server.second().await;
    let there = Client::new(other.address);
    assert_eq!(there.log_in("ada", "ada password").await.status, 303);
    // One of hers runs in a process of its own, another one in a server.
    let mut command = liveops(server.folder());
    command.args(["run", "simulate", "--owner", "ada", "--field", "steps=1", "--field", "delay_ms=60000"]);
    let mut elsewhere = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(elsewhere.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(line.starts_with("operation "), "it runs: {line}");
    let first = ada.simulate(SLOW).await;
    ada.reaches(&first, "running").await;
    // A place is free here and in the other process, but not for her.
    let held = [ada.simulate(SLOW).await, there.simulate(SLOW).await];
    let theirs = bob.simulate(SLOW).await;
    bob.reaches(&theirs, "running").await;
    for id in &held {
        assert_eq!(ada.page(id).await.attribute("data-liveop-state").as_deref(), Some("waiting"));
    }
    ada.command(&first, "cancel").await;
    ada.reaches(&held[0], "running").await;
    assert_eq!(ada.page(&held[1]).await.attribute("data-liveop-state").as_deref(), Some("waiting"));
    elsewhere.kill().expect("ours");
    elsewhere.wait().expect("ours");
    ada.reaches(&held[1], "running").await;
}

/// What `/stream` answers to a request that a proxy forwards from this address; an answer that is open is kept so.
async fn stream_from(client: &Client, token: &str, forwarded: &str) -> reqwest::Response {
    let ask = Ask::get(&format!("/stream?token={token}"));
    client.open(ask.header("x-forwarded-for", forwarded)).await
}

#[tokio::test]
async fn an_address_has_so_many_streams_whoever_is_signed_in_there() {
    let settings = [("trusted_proxies", "127.0.0.0/8"), ("streams_per_address", "3")];
    let server = Server::verbose(&settings).await;
    let mut people = Vec::new();
    for name in ["ada", "bob"] {
        let client = server.user(name).await;
        let id = client.simulate(SLOW).await;
        let token = client.page(&id).await.token.expect("just started");
        people.push((client, token));
    }
    let [(ada, hers), (bob, his)] = &people[..] else { panic!("two people") };
    let mut open = Vec::new();
    for (client, token, forwarded) in [
        (ada, hers, "192.0.2.1"),
        (bob, his, "198.51.100.7, 192.0.2.1"),
        (bob, his, "192.0.2.1:4711"),
        (ada, hers, "2001:db8:0:1::1"),
        (ada, hers, "2001:db8:0:1:2::"),
        (bob, his, "2001:db8:0:1:ffff::1"),
    ] {
        let answer = stream_from(client, token, forwarded).await;
        assert_eq!(answer.status(), 200, "{forwarded}");
        open.push(answer);
    }
    // What a client writes itself, to the left, does not make it another one.
    for forwarded in ["192.0.2.1", "203.0.113.9, 192.0.2.1", "2001:db8:0:1:3::", "::ffff:192.0.2.1"] {
        let refused = stream_from(ada, hers, forwarded).await;
        assert_eq!(refused.status(), 429, "{forwarded}");
        let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!(wait > 0, "{wait}");
        let page = refused.text().await.expect("a page");
        assert!(page.contains("class=\"site\"") && page.contains("your address"), "{page}");
    }
    // The log names the address and the way out, once.
    let said = until("the warning", async || {
        let said = server.said();
        said.contains("trusted_proxies").then_some(said)
    })
    .await;
    assert!(said.contains("WARN") && said.contains("client=192.0.2.1"), "{said}");
    assert_eq!(said.matches("name it in trusted_proxies").count(), 1, "{said}");
    for forwarded in ["192.0.2.2", "2001:db8:0:2::1"] {
        open.push(stream_from(ada, hers, forwarded).await);
        assert_eq!(open[open.len() - 1].status(), 200, "another address: {forwarded}");
    }
    // A stream that its reader left gives its place back, to anybody there.
    drop(open.remove(0));
    let again = until("a place", async || {
        let answer = stream_from(bob, his, "192.0.2.1").await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    assert_eq!(stream_from(ada, hers, "192.0.2.1").await.status(), 429, "one place for one stream");
    drop(again);
}

/// Nobody is believed who is no trusted proxy.
#[tokio::test]
async fn without_a_trusted_proxy_the_address_is_the_peers() {
    let server = Server::with(&[("streams_per_address", "1")]).await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let token = client.page(&id).await.token.expect("just started");
    let open = stream_from(&client, &token, "192.0.2.1").await;
    assert_eq!(open.status(), 200);
    assert_eq!(stream_from(&client, &token, "192.0.2.2").await.status(), 429);
}

#[tokio::test]
async fn a_user_has_as_many_waiting_as_the_setting_says_and_one_more_is_refused() {
    let server = Server::with(&[("workers", "1"), ("waiting_per_user", "2")]).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let over = ada.simulate(&[]).await;
    ada.finished(&over).await;
    let runs = ada.simulate(SLOW).await;
    ada.reaches(&runs, "running").await;
    let waits = ada.simulate(&[("message", "waits")]).await;
    ada.import("a.csv", b"a,b\n1,2\n").await;
    let uploads = || std::fs::read_dir(server.folder().join("liveops.db-uploads")).expect("a folder").count();
    let kept = uploads();

    let wait = |answer: &Answer| answer.header("retry-after").parse::<u64>().expect("seconds");
    let refused = ada.submit("simulate", &[("message", "what was typed")], None).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(wait(&refused) > 0);
    let page = refused.text();
    assert!(page.contains("value=\"what was typed\"") && page.contains("Nothing was started"), "{page}");
    assert!(
        page.contains("As many of your operations wait as may: 2.") && page.contains("name=\"submission\""),
        "{page}"
    );
    let refused = ada.submit("csv_import", &[], Some(("b.csv", b"a,b\n1,2\n"))).await;
    assert_eq!(refused.status, 429);
    until("that its file is gone", async || (uploads() == kept).then_some(())).await;
    let refused = ada.command(&over, "restart").await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(wait(&refused) > 0 && refused.text().contains("Back to the operation"), "{}", refused.text());
    assert_eq!(ada.page(&over).await.state, "succeeded", "it stays as it was");

    bob.simulate(&[]).await;
    ada.command(&waits, "cancel").await;
    assert_eq!(ada.command(&over, "restart").await.status, 303, "there is room");
    assert_eq!(ada.command(&waits, "restart").await.status, 429, "for one");
    // Who is at the machine itself does not wait.
    let mut run = liveops(server.folder());
    run.args(["run", "simulate", "--owner", "ada", "--field", "steps=1", "--field", "delay_ms=0"]);
    assert_eq!(finish(run, "").status.code(), Some(0));
}

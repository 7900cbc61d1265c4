//! The same form sent twice starts one operation.

use crate::harness::{Answer, Client, Server, form_values};

async fn count(client: &Client) -> usize {
    client.get("/operations").await.text().matches("<tr id=\"op-").count()
}

async fn send(client: &Client, fields: &[(&str, &str)]) -> Answer {
    client.submit("simulate", &[&[("steps", "1"), ("delay_ms", "0")], fields].concat(), None).await
}

#[tokio::test]
async fn a_form_carries_a_fresh_key_right_after_the_token() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut keys = Vec::new();
    for kind in ["simulate", "csv_import", "quick"] {
        let path = format!("/operations/new/{kind}");
        let page = client.get(&path).await.text();
        let values = form_values(&page, &format!("action=\"{path}\"")).expect("the form");
        assert_eq!((values[0].0.as_str(), values[1].0.as_str()), ("csrf_token", "submission"), "{values:?}");
        keys.push(values[1].1.clone());
    }
    keys.sort();
    keys.dedup();
    assert!(keys.len() == 3 && keys.iter().all(|key| key.len() >= 20), "{keys:?}");
}

#[tokio::test]
async fn the_same_key_and_input_start_once() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let first = send(&client, &[("submission", "one")]).await.started();
    client.finished(&first).await;
    assert_eq!(send(&client, &[("submission", "one")]).await.started(), first, "long over");
    let other_input = send(&client, &[("submission", "one"), ("message", "other")]).await.started();
    assert_ne!(other_input, first);
    let other_key = send(&client, &[("submission", "two")]).await.started();
    assert_ne!(other_key, first);
    let other_kind = client.submit("quick", &[("submission", "one")], None).await.started();
    assert_ne!(other_kind, first);
    assert_eq!(count(&client).await, 4);
    let server = server.kill_and_restart().await;
    assert_eq!(send(&client, &[("submission", "one")]).await.started(), first, "after a restart");
    let bob = server.user("bob").await;
    assert_ne!(send(&bob, &[("submission", "one")]).await.started(), first, "another user's");
    assert_eq!((count(&client).await, count(&bob).await), (4, 1));
}

#[tokio::test]
async fn without_a_key_each_post_starts() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let post = async || {
        let ask = crate::harness::Ask::post("/operations/new/quick").form(&[("csrf_token", &csrf)]);
        client.send(ask).await.started()
    };
    assert_ne!(post().await, post().await);
}

#[tokio::test]
async fn posts_at_the_same_moment_start_once() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let key = [("submission", "at once")];
    let answers =
        tokio::join!(send(&client, &key), send(&client, &key), send(&client, &key), send(&client, &key));
    let first = answers.0.started();
    for other in [answers.1, answers.2, answers.3] {
        assert_eq!(other.started(), first);
    }
    assert_eq!(count(&client).await, 1);
}

#[tokio::test]
async fn files_are_compared_by_content_and_a_repeat_leaves_none() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let import = async |content: &[u8]| {
        client.submit("csv_import", &[("submission", "k")], Some(("a.csv", content))).await.started()
    };
    let first = import(b"a,b\n1,2\n").await;
    assert_eq!(import(b"a,b\n1,2\n").await, first);
    let uploads = || std::fs::read_dir(server.folder().join("liveops.db-uploads")).expect("a folder").count();
    assert_eq!(uploads(), 1);
    assert_ne!(import(b"a,b\n1,3\n").await, first, "as long, but other content");
    assert_eq!(uploads(), 2);
}

#[tokio::test]
async fn a_form_that_is_shown_again_keeps_its_key() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let answer = send(&client, &[("submission", "mine \" & <b>"), ("steps", "many")]).await;
    assert_eq!(answer.status, 422);
    let values = form_values(&answer.text(), "action=\"/operations/new/simulate\"").expect("the form");
    assert!(values.contains(&("submission".to_owned(), "mine \" & <b>".to_owned())), "{values:?}");
}

#[tokio::test]
async fn any_key_will_do() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let long = "k".repeat(60_000);
    for key in ["", "\u{0}", "'; DROP TABLE liveops_operations; --", long.as_str()] {
        let first = send(&client, &[("submission", key)]).await.started();
        let again = send(&client, &[("submission", key)]).await.started();
        assert_eq!(first == again, !key.is_empty(), "an empty key is none");
    }
}

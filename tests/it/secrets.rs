//! Nothing secret is in what the binary writes, at the highest level, in either format.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Ask, Client, Server, finish, liveops};

/// A whole tour, and the secrets that were met on it.
async fn tour(server: &Server) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    let mut keep = |secret: Option<String>| secrets.extend(secret.filter(|secret| secret.len() > 5));
    keep(server.login_link.rsplit('/').next().map(str::to_owned));
    let secret_key = std::fs::read_to_string(server.folder().join("liveops.db-secret")).expect("made");
    keep(Some(secret_key.trim().to_owned()));
    let demo = server.demo_user().await;
    keep(demo.cookie("liveops_session"));
    keep(demo.cookie("liveops_login"));
    keep(Some(demo.csrf().await));
    let alice = server.user("alice").await;
    keep(Some("alice password".to_owned()));
    keep(alice.cookie("liveops_session"));
    let wrong = Client::new(server.address);
    wrong.log_in("alice", "a wrong guess").await;
    keep(Some("a wrong guess".to_owned()));
    keep(wrong.cookie("liveops_login"));

    let id = alice.simulate(&[("steps", "1000000"), ("delay_ms", "100"), ("submission", "one-key")]).await;
    let page = alice.page(&id).await;
    keep(page.token.clone());
    let token = page.token.expect("it runs");
    drop(alice.stream(&token, None).await);
    assert_eq!(demo.get(&format!("/stream?token={token}")).await.status, 403);
    let last = if token.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &token[..token.len() - 1]);
    assert_eq!(alice.get(&format!("/stream?token={forged}")).await.status, 403);
    keep(Some(forged));
    let foreign = [("csrf_token", "some-forged-token")];
    let ask = Ask::post(&format!("/operations/{id}/cancel")).form(&foreign);
    assert_eq!(alice.send(ask).await.status, 403);
    keep(Some("some-forged-token".to_owned()));
    alice.command(&id, "cancel").await;
    alice.finished(&id).await;
    alice.command(&id, "restart").await;
    let imported = alice.import("a.csv", b"a,b\n1,2\n").await;
    alice.finished(&imported).await;
    alice.get("/login/link/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    keep(Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()));
    alice.get("/operations?page=2").await;
    let csrf = alice.csrf().await;
    assert_eq!(alice.send(Ask::post("/logout").form(&[("csrf_token", &csrf)])).await.status, 303);
    keep(Some(csrf));
    let hash = rusqlite::Connection::open(server.folder().join("liveops.db")).and_then(|database| {
        database
            .query_row("SELECT password_hash FROM liveops_users WHERE name = 'alice'", [], |row| row.get(0))
    });
    keep(hash.ok());
    secrets
}

fn assert_none_of(secrets: &BTreeSet<String>, text: &str) {
    // The link is printed for the person at the terminal.
    let text: String = text.lines().filter(|line| !line.starts_with("sign in once")).collect();
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "{secret} in {text}");
    }
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let server = Server::verbose(&[]).await;
    let secrets = tour(&server).await;
    assert!(secrets.len() >= 12, "{secrets:?}");
    let said = server.said();
    assert!(
        said.contains("DEBUG") && said.contains("route=\"/login/link/{secret}\""),
        "it says much: {said}"
    );
    assert_none_of(&secrets, &said);
    for words in
        [&["user", "add", "bob", "--password-stdin"][..], &["user", "passwd", "bob", "--password-stdin"]]
    {
        let mut command = liveops(server.folder());
        command.arg("-vvv").args(words);
        let output = finish(command, "bob's own password\n");
        assert!(output.status.success(), "{output:?}");
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains("bob's own password"));
    }
}

#[tokio::test]
async fn as_json_each_line_is_an_object_without_secrets() {
    let server = Server::verbose(&[("log_format", "json")]).await;
    let secrets = tour(&server).await;
    let said = server.said();
    assert_none_of(&secrets, &said);
    let log = said.split_once("stderr:\n").expect("both").1;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let answered = lines.iter().find(|line| line["message"] == "answered" && line["status"] == 200);
    let answered = answered.unwrap_or_else(|| panic!("no answer in {log}"));
    for field in ["id", "method", "route"] {
        assert!(answered["span"][field].is_string(), "{field} in {answered}");
    }
    assert!(lines.iter().any(|line| line["message"] == "started" && line["operation"].is_string()));
}

#[tokio::test]
async fn an_answer_has_the_id_under_which_it_is_in_the_log() {
    let server = Server::verbose(&[]).await;
    let client = server.demo_user().await;
    let answer = client.get("/operations").await;
    let id = answer.headers.get("x-request-id").expect("an id").to_str().expect("ASCII").to_owned();
    crate::harness::until("the id in the log", async || server.said().contains(&id).then_some(())).await;
    let other = client.get("/operations").await;
    assert_ne!(other.headers.get("x-request-id").expect("an id").to_str().expect("ASCII"), id);
}

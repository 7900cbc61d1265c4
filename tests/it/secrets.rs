//! Nothing secret is in what the binary writes, at the highest level, in either format.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Ask, Client, Server, finish, liveops, until};

/// Secrets, and what each of them is.
#[derive(Debug, Default)]
struct Secrets(BTreeMap<String, &'static str>);

impl Secrets {
    fn keep(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() > 5, "{what} is {secret:?}, which may be anywhere");
        self.0.insert(secret, what);
    }

    fn keep_cookie(&mut self, client: &Client, name: &str) {
        let what = if name == "liveops_session" { "a session cookie" } else { "a visit cookie" };
        self.keep(what, client.cookie(name).unwrap_or_else(|| panic!("{what} was set")));
    }

    fn assert_none_in(&self, text: &str) {
        // The link is printed for the person at the terminal.
        for line in text.lines().filter(|line| !line.starts_with("sign in once")) {
            for (secret, what) in &self.0 {
                assert!(!line.contains(secret.as_str()), "{what}, {secret}, in {line}");
            }
        }
    }
}

/// Everything that has to do with a secret, done once at least.
async fn tour(server: &Server) -> Secrets {
    let mut secrets = Secrets::default();
    let key = std::fs::read_to_string(server.folder().join("liveops.db-secret")).expect("made");
    secrets.keep("the secret key", key.trim());
    sign_in(server, &mut secrets).await;
    let alice = server.user("alice").await;
    secrets.keep("a password", "alice password");
    secrets.keep_cookie(&alice, "liveops_session");
    secrets.keep("a CSRF token", alice.csrf().await);
    secrets.keep("a password hash", hash_of_alice(server));
    operate(server, &alice, &mut secrets).await;
    command_lines(server, &alice, &mut secrets).await;
    // Her new password ended the session.
    assert_eq!(alice.log_in("alice", "a brand new secret").await.status, 303);
    secrets.keep_cookie(&alice, "liveops_session");
    let csrf = alice.csrf().await;
    assert_eq!(alice.send(Ask::post("/logout").form(&[("csrf_token", &csrf)])).await.status, 303);
    secrets.keep("a CSRF token", csrf);
    secrets
}

async fn sign_in(server: &Server, secrets: &mut Secrets) {
    let link = &server.login_link;
    secrets.keep("a login link", link.rsplit('/').next().expect("a secret"));
    let demo = server.demo_user().await;
    secrets.keep_cookie(&demo, "liveops_session");
    let csrf = demo.csrf().await;
    let used = demo.send(Ask::post(link).form(&[("csrf_token", &csrf)])).await;
    assert!([403, 410].contains(&used.status), "{}", used.status);
    secrets.keep("a CSRF token", csrf);
    let wrong = Client::new(server.address);
    let unknown = "/login/link/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    wrong.get(unknown).await;
    secrets.keep("an unknown login link", unknown.trim_start_matches("/login/link/"));
    secrets.keep("a CSRF token of a visit", wrong.get("/login").await.csrf());
    secrets.keep_cookie(&wrong, "liveops_login");
    for name in ["demo", "nobody"] {
        assert_eq!(wrong.log_in(name, "a wrong guess").await.status, 422);
    }
    secrets.keep("a wrong password", "a wrong guess");
    wrong.set_cookie("liveops_session", "a-made-up-session");
    assert_eq!(wrong.get("/operations").await.status, 303);
    secrets.keep("a made-up session", "a-made-up-session");
}

async fn operate(server: &Server, alice: &Client, secrets: &mut Secrets) {
    let id = alice.simulate(&[("steps", "1000000"), ("delay_ms", "100")]).await;
    let token = alice.page(&id).await.token.expect("it runs");
    let mut events = alice.stream(&token, None).await;
    events.first_flush().await;
    drop(events);
    let with_channel = format!("/stream?channel=liveop.{id}&token={token}&last_event_id=x");
    drop(alice.open(Ask::get(&with_channel)).await);
    let last = if token.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &token[..token.len() - 1]);
    for (client, token) in [(&server.user("bob").await, &token), (alice, &forged)] {
        assert_eq!(client.get(&format!("/stream?token={token}")).await.status, 403);
    }
    assert_eq!(Client::new(server.address).get(&format!("/stream?token={token}")).await.status, 401);
    // Where it does not belong, and sent on to the sign-in page.
    let nobody = Client::new(server.address);
    assert_eq!(nobody.get(&format!("/operations?token={token}")).await.status, 303);
    secrets.keep("a signature", token.rsplit('.').next().expect("a signature"));
    secrets.keep("a payload", token.split('.').nth(1).expect("a payload"));
    secrets.keep("a subscription token", token);
    secrets.keep("a forged token", forged);
    let cancel = format!("/operations/{id}/cancel");
    let bad = [("csrf_token", "some-forged-csrf-token")];
    assert_eq!(alice.send(Ask::post(&cancel).form(&bad)).await.status, 403);
    let bad = Ask::post(&cancel).header("x-csrf-token", "some-forged-csrf-token");
    assert_eq!(alice.send(bad).await.status, 403);
    secrets.keep("a forged CSRF token", "some-forged-csrf-token");
    let shim = Ask::post(&cancel).header("x-liveops", "1").header("x-csrf-token", &alice.csrf().await);
    assert_eq!(alice.send(shim).await.status, 204);
    alice.finished(&id).await;
    assert_eq!(alice.command(&id, "restart").await.status, 303);
    secrets.keep("the next attempt's token", alice.page(&id).await.token.expect("it runs"));
    assert_eq!(alice.command(&id, "cancel").await.status, 303);
    let imported = alice.import("a.csv", b"a,b\n1,2\n").await;
    alice.finished(&imported).await;
    let page = alice.get("/operations?page=2").await;
    assert_eq!(page.status, 200);
}

/// Commands that take or print secrets, as talkative as they get; what they print is left out.
async fn command_lines(server: &Server, alice: &Client, secrets: &mut Secrets) {
    let id = alice.simulate(&[("steps", "1000000"), ("delay_ms", "100")]).await;
    for format in ["text", "json"] {
        let run = |words: &[&str], input: &str| {
            let mut command = liveops(server.folder());
            command.env("LIVEOPS_LOG_FORMAT", format).arg("-vvv").args(words);
            let output = finish(command, input);
            assert!(output.status.success(), "{words:?}: {output:?}");
            let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
            (text(output.stdout), text(output.stderr))
        };
        let (token, said) = run(&["token", &id, "--user", "alice"], "");
        secrets.keep("a printed token", token.trim());
        secrets.assert_none_in(&said);
        let name = format!("carol-{format}");
        let (told, said) = run(&["user", "add", &name, "--password-stdin"], "carol's own secret\n");
        secrets.keep("a password", "carol's own secret");
        secrets.assert_none_in(&(told + &said));
        let (told, said) = run(&["user", "passwd", "alice", "--password-stdin"], "a brand new secret\n");
        secrets.keep("a new password", "a brand new secret");
        secrets.keep("a new password hash", hash_of_alice(server));
        secrets.assert_none_in(&(told + &said));
        let (told, said) = run(&["user", "list"], "");
        secrets.assert_none_in(&(told + &said));
    }
}

fn hash_of_alice(server: &Server) -> String {
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    let query = "SELECT password_hash FROM liveops_users WHERE name = 'alice'";
    database.query_row(query, [], |row| row.get(0)).expect("a hash")
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let server = Server::verbose(&[]).await;
    let secrets = tour(&server).await;
    // The last thing that is said of the tour.
    until("the sign-out in the log", async || server.said().contains("signed out").then_some(())).await;
    let said = server.said();
    for words in ["DEBUG", "route=\"/login/link/{secret}\"", "route=\"/stream\"", "a wrong name or password"]
    {
        assert!(said.contains(words), "it says much, {words} too: {said}");
    }
    secrets.assert_none_in(&said);
}

#[tokio::test]
async fn as_json_each_line_is_an_object_without_secrets() {
    let server = Server::verbose(&[("log_format", "json")]).await;
    let secrets = tour(&server).await;
    let client = server.user("dora").await;
    let panicked =
        client.simulate(&[("steps", "0"), ("outcome", "panic"), ("message", "a\n{\u{1b}[31m")]).await;
    client.finished(&panicked).await;
    until("the panic in the log", async || server.said().contains("a panic").then_some(())).await;
    let said = server.said();
    secrets.assert_none_in(&said);
    let log = said.split_once("stderr:\n").expect("both").1;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    let answered = lines.iter().find(|line| line["message"] == "answered" && line["status"] == 200);
    let answered = answered.unwrap_or_else(|| panic!("no answer in {log}"));
    for field in ["id", "method", "route"] {
        assert!(answered["span"][field].is_string(), "{field} in {answered}");
    }
    assert!(lines.iter().any(|line| line["message"] == "started" && line["operation"].is_string()));
    assert!(lines.iter().any(|line| line["message"] == "a panic" && line["level"] == "ERROR"));
}

#[tokio::test]
async fn an_answer_has_the_id_under_which_it_is_in_the_log() {
    let server = Server::verbose(&[]).await;
    let client = server.demo_user().await;
    let answer = client.get("/operations").await;
    let id = answer.header("x-request-id").to_owned();
    assert_eq!(id.len(), 36, "{id}");
    until("the id in the log", async || server.said().contains(&id).then_some(())).await;
    assert_ne!(client.get("/operations").await.header("x-request-id"), id);
}

//! Nothing secret is in what the binary writes, at the highest level, in either format, nor in answers that others might see.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Answer, Ask, Client, SLOW, Server, finish, liveops, until};

/// A key that is on its way out.
const FALLBACK: &str = "an older secret key of more than 32 bytes";

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
    secrets.keep("an older secret key", FALLBACK);
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
    // As the page that a browser comes from.
    for path in ["/operations", "/nothing/here", "/operations/x"] {
        for from in [&format!("/stream?token={token}"), &server.login_link] {
            let from = format!("http://{}{from}", server.address);
            alice.send(Ask::get(path).header("referer", &from)).await;
        }
    }
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
    for upload in std::fs::read_dir(server.folder().join("liveops.db-uploads")).expect("uploads") {
        let name = upload.expect("an upload").file_name();
        secrets.keep("an upload's name", name.to_str().expect("ASCII"));
    }
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

/// What an answer says besides the one token that belongs on every page of the one who asked, and the cookies that it sets.
fn told(answer: &Answer, csrf: &str) -> String {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "set-cookie");
    let headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    (headers.join("\n") + &answer.text()).replace(csrf, "")
}

/// Every way to be refused, by somebody who sends secrets along.
async fn refusals(server: &Server, dora: &Client, secrets: &mut Secrets) -> Vec<Answer> {
    let csrf = dora.csrf().await;
    let id = dora.simulate(SLOW).await;
    let token = dora.page(&id).await.token.expect("it runs");
    let operation = format!("/operations/{id}");
    let new = "/operations/new/simulate";
    let typed =
        |path: &str, kind: &str| Ask::post(path).header("x-csrf-token", &csrf).header("content-type", kind);
    let signed = [("csrf_token", csrf.as_str())];
    let session = dora.cookie("liveops_session").expect("signed in");
    let mut answers = Vec::new();
    for (status, ask) in [
        (400, typed(new, "multipart/form-data; boundary=x").body(b"--x\r\nnonsense".to_vec())),
        (403, Ask::get(&format!("/stream?token={token}&channel={session}"))),
        (403, Ask::post(&format!("{operation}/cancel")).form(&[("csrf_token", &session)])),
        (403, Ask::post(new).header("origin", "https://evil.example").form(&signed)),
        (404, Ask::get(&format!("/{token}"))),
        (404, Ask::get(&format!("/operations/{token}"))),
        (404, Ask::get(&format!("/operations/new/{token}"))),
        (404, Ask::get(&format!("/login/link/{token}"))),
        (404, Ask::get(&format!("{operation}/log?attempt=7&token={token}"))),
        (405, Ask::new("DELETE", &format!("{operation}?token={token}"))),
        (409, Ask::post(&format!("{operation}/restart?token={token}")).form(&signed)),
        (
            413,
            typed(&format!("{new}?token={token}"), "multipart/form-data; boundary=x").body(vec![b'x'; 3000]),
        ),
        (415, typed(&format!("{new}?token={token}"), "text/plain").body(token.clone().into_bytes())),
        (
            422,
            Ask::post(&format!("{new}?token={token}")).form(&[signed.as_slice(), &[("steps", "x")]].concat()),
        ),
    ] {
        let what = format!("{ask:?}");
        let answer = dora.send(ask).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        answers.push(answer);
    }
    let wrong = dora.log_in("dora", "dora's wrong guess").await;
    assert_eq!(wrong.status, 422);
    answers.push(wrong);
    secrets.keep("a wrong password", "dora's wrong guess");
    secrets.keep("a subscription token", token);
    secrets.keep("a session cookie", session);
    let link = &server.login_link;
    let used = dora.send(Ask::post(link).form(&[("csrf_token", &dora.get(link).await.csrf())])).await;
    assert_eq!(used.status, 410);
    answers.push(used);
    answers
}

#[tokio::test]
async fn no_secret_is_in_the_log_an_error_a_title_an_address_or_the_metrics() {
    let settings =
        [("metrics_listen", "127.0.0.1:0"), ("max_upload_bytes", "2000"), ("secret_key_fallbacks", FALLBACK)];
    let server = Server::verbose(&settings).await;
    let mut secrets = tour(&server).await;
    let dora = server.user("dora").await;
    let csrf = dora.csrf().await;
    for answer in refusals(&server, &dora, &mut secrets).await {
        secrets.assert_none_in(&told(&answer, &csrf));
    }
    secrets.keep("a CSRF token", csrf.clone());
    let id = dora.simulate(SLOW).await;
    let imported = dora.import("a.csv", b"a,b\n1,2\n").await;
    dora.finished(&imported).await;
    let token = dora.page(&id).await.token.expect("it runs");
    secrets.keep("a subscription token", token.clone());
    let pages = ["/", "/login", "/operations", "/operations/new/csv_import"].map(str::to_owned);
    for path in pages.into_iter().chain([&id, &imported].map(|id| format!("/operations/{id}"))) {
        let page = dora.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        // What leads on, which the next page's server is told, and what stands in a history.
        let parts = ["<title>", " href=\"", " src=\"", " action=\""].map(|begin| {
            let parts: Vec<_> = text.split(begin).skip(1).collect();
            let ends = |part: &&str| part.find(['"', '<']).unwrap_or(part.len());
            assert!(!parts.is_empty() || begin == " action=\"", "{begin} on {path}");
            parts.iter().map(|part| &part[..ends(part)]).collect::<Vec<_>>().join("\n")
        });
        secrets.assert_none_in(&parts.join("\n"));
        // The token is there once, for the script, and nothing else that is secret.
        secrets.assert_none_in(&told(&page, &csrf).replacen(&token, "", 1));
    }
    let said = server.said();
    let metrics =
        said.lines().find_map(|line| line.strip_prefix("metrics on http://")?.strip_suffix("/metrics"));
    let metrics = Client::new(metrics.expect("printed").parse().expect("an address"));
    let metrics = metrics.get("/metrics").await.text();
    assert!(metrics.contains("liveops_logins_failed_total"), "{metrics}");
    secrets.assert_none_in(&metrics);
    assert_eq!(dora.log_out().await.status, 303);
    // Hers, after that of the tour, is the last thing that is said.
    let signed_out = || server.said().matches("signed out").count();
    until("the sign-out in the log", async || (signed_out() > 1).then_some(())).await;
    let said = server.said();
    for words in ["DEBUG", "route=\"/login/link/{secret}\"", "route=\"/stream\"", "a wrong name or password"]
    {
        assert!(said.contains(words), "it says much, {words} too: {said}");
    }
    secrets.assert_none_in(&said);
}

#[tokio::test]
async fn as_json_each_line_is_an_object_without_secrets() {
    let server = Server::verbose(&[("log_format", "json"), ("secret_key_fallbacks", FALLBACK)]).await;
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
    // Who opens a stream finds its length by the same id.
    let operation = client.simulate(SLOW).await;
    let mut events = client.follow(&operation).await;
    let id = events.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    events.first_flush().await;
    drop(events);
    until("the stream's end in the log", async || {
        let said = server.said();
        let line = said.lines().find(|line| line.contains(&id) && line.contains("a stream ended"))?;
        assert!(line.contains("route=\"/stream\"") && line.contains("user="), "{line}");
        let bytes = line.split_once("bytes=").expect("a number").1;
        assert!(bytes.parse::<u64>().expect("a number") > 1000, "{line}");
        Some(())
    })
    .await;
}

#[tokio::test]
async fn only_a_trusted_proxy_gives_a_request_its_id() {
    let ask = |id: &str| Ask::get("/login").header("x-request-id", id);
    let server = Server::start().await;
    let answer = Client::new(server.address).send(ask("from-outside")).await;
    assert_eq!(answer.header("x-request-id").len(), 36, "one of our own");
    let server = Server::with(&[("trusted_proxies", "127.0.0.1")]).await;
    let client = Client::new(server.address);
    let given = "0a1B-2_c.d:e";
    assert_eq!(client.send(ask(given)).await.header("x-request-id"), given);
    for bad in ["", "a b", "<b>", "a\"b", "\u{e4}", &"x".repeat(65)] {
        assert_eq!(client.send(ask(bad)).await.header("x-request-id").len(), 36, "{bad:?}");
    }
}

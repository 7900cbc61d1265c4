//! Who may see what: each test is an attack.

use jiff::Timestamp;
use liveops::access::{Channel, Grant, Keys, SecretKey};

use crate::harness::{Answer, Ask, Client, Event, Events, Model, SLOW, Server, finish, liveops, soon, until};

const UNKNOWN: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

/// Alice with a running operation and its token, and Bob with another one.
async fn two_people(server: &Server) -> (Client, String, String, Client, String, String) {
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let hers = alice.simulate(SLOW).await;
    let his = bob.simulate(SLOW).await;
    let her_token = alice.page(&hers).await.token.expect("just started");
    let his_token = bob.page(&his).await.token.expect("just started");
    (alice, hers, her_token, bob, his, his_token)
}

/// The status and body of a refused stream.
async fn refusal(client: &Client, query: &str) -> (u16, String) {
    let answer = client.send(Ask::get(&format!("/stream?{query}"))).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_token_opens_its_own_channel_for_its_own_user_only() {
    let server = Server::start().await;
    let (alice, hers, her_token, bob, his, his_token) = two_people(&server).await;
    alice.stream(&her_token, None).await.first_flush().await;
    // With the channel named, too.
    let answer = alice.open(Ask::get(&format!("/stream?token={her_token}&channel=liveop.{hers}"))).await;
    assert_eq!(answer.status(), 200);
    drop(answer);

    let mut refusals = vec![
        ("her token, presented by him", refusal(&bob, &format!("token={her_token}")).await),
        ("his token, presented by her", refusal(&alice, &format!("token={his_token}")).await),
        ("another's channel", refusal(&alice, &format!("token={her_token}&channel=liveop.{his}")).await),
        ("an unknown channel", refusal(&alice, &format!("token={her_token}&channel=liveop.{UNKNOWN}")).await),
        ("no channel at all", refusal(&alice, &format!("token={her_token}&channel=nonsense")).await),
    ];
    let second = alice.simulate(SLOW).await;
    refusals.push((
        "her own other one",
        refusal(&alice, &format!("token={her_token}&channel=liveop.{second}")).await,
    ));
    for (what, (status, body)) in &refusals {
        assert_eq!(*status, 403, "{what}: {body}");
        assert_eq!(*body, refusals[0].1.1, "{what}: the same body");
        assert!(body.len() < 1000, "{what}: a short body");
    }
}

#[tokio::test]
async fn a_tampered_token_opens_nothing() {
    let server = Server::start().await;
    let (alice, _, token, _, _, his_token) = two_people(&server).await;
    let parts: Vec<&str> = token.split('.').collect();
    let his_parts: Vec<&str> = his_token.split('.').collect();
    let flip = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    let mut bad = vec![
        String::new(),
        "x".to_owned(),
        "v1..".to_owned(),
        format!("v2.{}.{}", parts[1], parts[2]),
        format!("v1.{}.{}", his_parts[1], parts[2]),
        format!("v1.{}.{}", parts[1], his_parts[2]),
        format!("v1.{}.", parts[1]),
        format!("v1.{}", parts[1]),
        format!("{token}."),
        format!("{token}%3D"),
        format!("{token}%00"),
        format!("v1.{}.{}", flip(parts[1], 3), parts[2]),
        format!("v1.{}.{}", parts[1], flip(parts[2], 0)),
        format!("v1.{}.{}", parts[1], flip(parts[2], 20)),
        "a".repeat(6000),
        "%FF".to_owned(),
    ];
    // A payload of the attacker's, signed by nobody.
    let payload = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"u":"x","c":["*"],"exp":99999999999}"#)
    };
    bad.push(format!("v1.{payload}.{}", parts[2]));
    let expected = refusal(&alice, "token=x").await.1;
    for token in bad {
        let (status, body) = refusal(&alice, &format!("token={token}")).await;
        assert_eq!((status, &body), (403, &expected), "{token}");
    }
    assert!((400..=403).contains(&refusal(&alice, "").await.0), "no token at all");
}

/// Whoever is refused learns nothing of why: what is in a token that the right key has signed makes no difference either.
#[tokio::test]
async fn every_refusal_of_a_stream_is_the_same_to_the_byte() {
    let server = Server::start().await;
    let (alice, hers, her_token, bob, his, his_token) = two_people(&server).await;
    let key = std::fs::read_to_string(server.folder().join("liveops.db-secret")).expect("made");
    let keys = Keys::new(&SecretKey::new(key.trim().as_bytes()).expect("long enough"), &[]);
    let granted = keys.verify(&her_token, Timestamp::now()).expect("genuine");
    let channel = |id: &str| Channel::Operation(id.parse().expect("an id"));
    let sign = |channels: Vec<Channel>, expires: i64| {
        keys.sign(&Grant { user: granted.user.clone(), channels, expires }).as_str().to_owned()
    };
    let later = granted.expires;
    alice.stream(&sign(vec![channel(&hers)], later), None).await.first_flush().await;
    let forged = Keys::new(&SecretKey::new(&[1; 32]).expect("long enough"), &[]).sign(&granted);
    let other = keys.verify(&his_token, Timestamp::now()).expect("genuine").user;
    let mut expected = None;
    for (what, client, token, rest) in [
        ("malformed", &alice, "x".to_owned(), ""),
        ("none", &alice, String::new(), ""),
        ("forged", &alice, forged.as_str().to_owned(), ""),
        ("expired", &alice, sign(vec![channel(&hers)], 1), ""),
        ("another user's", &bob, her_token.clone(), ""),
        ("another channel's", &alice, her_token.clone(), &*format!("&channel=liveop.{his}")),
        ("no channel's", &alice, her_token.clone(), "&channel=x"),
        ("for somebody else's operation", &alice, sign(vec![channel(&his)], later), ""),
        ("for somebody else's list", &alice, sign(vec![Channel::User(other)], later), ""),
        ("for an operation that is not there", &alice, sign(vec![channel(UNKNOWN)], later), ""),
        ("for nothing", &alice, sign(vec![], later), ""),
        ("with a cursor", &alice, "x".to_owned(), "&last_event_id=1-1-1"),
    ] {
        let answer = client.send(Ask::get(&format!("/stream?token={token}{rest}"))).await;
        let mut headers = answer.headers.clone();
        assert!(headers.remove("x-request-id").is_some() && headers.remove("date").is_some());
        let told = (answer.status, format!("{headers:?}"), answer.text());
        assert_eq!(told.0, 403, "{what}");
        assert_eq!(&told, expected.get_or_insert(told.clone()), "{what}");
    }
}

#[tokio::test]
async fn an_expired_token_opens_nothing_but_an_open_stream_lives_on() {
    let server = Server::with(&[("token_ttl_seconds", "2")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "100000"), ("delay_ms", "50"), ("log_every", "1"), ("message", "row")];
    let id = client.simulate(&fields).await;
    let (token, mut open) = fresh(&client, &id).await;
    let refused = until("the token's expiry", async || {
        let response = client.open(Ask::get(&format!("/stream?token={token}"))).await;
        (response.status() != 200).then_some(response)
    })
    .await;
    assert_eq!(refused.status(), 403);
    // What is logged from now on comes by it, too.
    let logged = client.get(&format!("/operations/{id}/log")).await.text().lines().count() as u64;
    let mut model = Model::new(usize::MAX);
    let is_later = |event: &Event| {
        model.apply(event);
        model.line_numbers().last().is_some_and(|last| *last > logged)
    };
    open.until(is_later).await;
    client.command(&id, "cancel").await;
    assert_eq!(open.rest().await.last().map(|event| event.name.as_str()), Some("end"));
}

#[tokio::test]
async fn a_fresh_page_gives_a_fresh_token() {
    let server = Server::with(&[("token_ttl_seconds", "2")]).await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let token = client.page(&id).await.token.expect("just started");
    until("the token's expiry", async || {
        let response = client.open(Ask::get(&format!("/stream?token={token}"))).await;
        (response.status() == 403).then_some(())
    })
    .await;
    fresh(&client, &id).await.1.first_flush().await;
}

/// A fresh page's token, and the stream that it opened before it expired: where tokens live for a second or two, it may be too late.
async fn fresh(client: &Client, id: &str) -> (String, Events) {
    until("a stream by a fresh token", async || {
        let token = client.page(id).await.token.expect("it runs");
        let response = client.open(Ask::get(&format!("/stream?token={token}"))).await;
        (response.status() == 200).then(|| (token, Events::new(response)))
    })
    .await
}

#[tokio::test]
async fn without_a_session_there_is_nothing() {
    let server = Server::start().await;
    let (alice, hers, token, ..) = two_people(&server).await;
    let csrf = alice.csrf().await;
    let nobody = Client::new(server.address);
    assert_eq!(nobody.get(&format!("/stream?token={token}")).await.status, 401);
    for path in [
        "/",
        "/operations",
        "/operations/new/simulate",
        &format!("/operations/{hers}"),
        &format!("/operations/{hers}/log"),
    ] {
        assert_to_login(&nobody.get(path).await, path);
        let by_shim = nobody.send(Ask::get(path).header("x-liveops", "1")).await;
        assert_eq!(by_shim.status, 401, "{path}");
    }
    for path in [
        format!("/operations/{hers}/cancel"),
        format!("/operations/{hers}/restart"),
        "/operations/new/simulate".to_owned(),
    ] {
        // Session comes before method, existence and CSRF.
        let answer = nobody.send(Ask::post(&path).form(&[("csrf_token", &csrf)])).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.location().starts_with("/login"), "{path}: {}", answer.location());
    }
    let by_shim = Ask::post(&format!("/operations/{hers}/cancel")).header("x-liveops", "1");
    assert_eq!(nobody.send(by_shim).await.status, 401);
    alice.reaches(&hers, "running").await;
}

fn assert_to_login(answer: &Answer, path: &str) {
    assert_eq!(answer.status, 303, "{path}");
    let location = answer.location().to_owned();
    let next = location.strip_prefix("/login?next=").unwrap_or_else(|| panic!("{path} leads to {location}"));
    let decoded = next.replace("%2F", "/").replace("%2f", "/");
    assert_eq!(decoded, path);
}

/// A command's address is no page, however it was asked for.
#[tokio::test]
async fn whoever_signs_in_at_a_commands_address_comes_to_its_page() {
    let server = Server::start().await;
    let nobody = Client::new(server.address);
    for method in ["GET", "HEAD", "POST"] {
        for command in ["cancel", "restart"] {
            let answer = nobody.send(Ask::new(method, &format!("/operations/x/{command}"))).await;
            assert_to_login(&answer, "/operations/x");
        }
    }
}

#[tokio::test]
async fn a_made_up_session_is_none() {
    let server = Server::start().await;
    let nobody = Client::new(server.address);
    for value in ["x", "00000000-0000-0000-0000-000000000000", "%00", "' OR 1=1 --", &"a".repeat(3000)] {
        nobody.set_cookie("liveops_session", value);
        assert_eq!(nobody.get("/operations").await.status, 303, "{value}");
    }
}

#[tokio::test]
async fn a_signed_out_session_is_dead_on_the_server_and_its_streams_end() {
    let server = Server::start().await;
    let (alice, hers, token, ..) = two_people(&server).await;
    let session = alice.cookie("liveops_session").expect("signed in");
    let mut open = alice.stream(&token, None).await;
    open.first_flush().await;
    let csrf = alice.csrf().await;
    let answer = alice.send(Ask::post("/logout").form(&[("csrf_token", &csrf)])).await;
    assert_eq!(answer.location(), "/login");
    let rest = soon("the stream's end", open.rest()).await;
    assert!(rest.iter().all(|event| event.name != "end"), "the operation goes on: {rest:?}");
    let thief = Client::new(server.address);
    thief.set_cookie("liveops_session", &session);
    assert_eq!(thief.get(&format!("/operations/{hers}")).await.status, 303);
    assert_eq!(thief.get(&format!("/stream?token={token}")).await.status, 401);
    // Signed in anew, the token is hers again.
    assert_eq!(alice.log_in("alice", "alice password").await.status, 303);
    alice.stream(&token, None).await.first_flush().await;
}

#[tokio::test]
async fn a_bad_uuid_is_a_404() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    for bad in [
        "1",
        "x",
        "67e5504410b1426f9247bb680e5fe0c8",
        "%00",
        "..%2f..",
        "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
        "%FF",
    ] {
        assert_eq!(client.get(&format!("/operations/{bad}")).await.status, 404, "{bad}");
        assert_eq!(client.get(&format!("/operations/{bad}/log")).await.status, 404, "{bad}");
    }
}

#[tokio::test]
async fn the_token_command_signs_for_the_owner_only() {
    let server = Server::start().await;
    let (alice, hers, ..) = two_people(&server).await;
    let token = |id: &str, user: &str| {
        let mut command = liveops(server.folder());
        command.args(["token", id, "--user", user]);
        finish(command, "")
    };
    let output = token(&hers, "alice");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    alice.stream(text.trim(), None).await.first_flush().await;
    for (id, user) in [(hers.as_str(), "bob"), (hers.as_str(), "nobody"), (UNKNOWN, "alice"), ("x", "alice")]
    {
        let output = token(id, user);
        assert!(!output.status.success(), "{id} for {user}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{id} for {user}");
        assert!(!output.stderr.is_empty(), "it says why");
    }
}

#[tokio::test]
async fn secrets_reach_no_log() {
    let server = Server::verbose(&[]).await;
    let (alice, _, token, ..) = two_people(&server).await;
    alice.stream(&token, None).await.first_flush().await;
    refusal(&alice, &format!("token={token}x")).await;
    alice.log_in("alice", "a wrong password of hers").await;
    // The log has a thread of its own; the last thing that is logged here is another sign-in, after hers and Bob's.
    alice.log_in("alice", "alice password").await;
    until("the log", async || (server.said().matches("signed in").count() == 3).then_some(())).await;
    let said = server.said();
    let signature = token.rsplit('.').next().expect("three parts");
    let session = alice.cookie("liveops_session").expect("signed in");
    for secret in [signature, &session, "alice password", "a wrong password of hers"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}

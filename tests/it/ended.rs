//! What ends an open stream before its operation is over, in whatever process it is open.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Ask, Client, Events, SLOW, Server, finish, liveops, soon, until};

/// The contract's second, and what a busy machine adds: far less than any other end of a stream takes.
const SOON: Duration = Duration::from_secs(20);
/// In so long what ends streams has surely been noticed.
const NOTICED: Duration = Duration::from_millis(1500);

/// A person's open stream, which says something all the time.
async fn watch(client: &Client) -> Events {
    let fields = [("steps", "100000"), ("delay_ms", "100"), ("stamp", "on"), ("message", "at work")];
    let id = client.simulate(&fields).await;
    let mut events = client.follow(&id).await;
    events.first_flush().await;
    events
}

/// The same operation's stream at another server.
async fn watch_too(client: &Client, server: &Server) -> Events {
    let id = client.simulate(&[("steps", "100000"), ("delay_ms", "100"), ("stamp", "on")]).await;
    let mut events = client.at(server).follow(&id).await;
    events.first_flush().await;
    events
}

fn user(server: &Server, words: &[&str], input: &str) {
    let mut command = liveops(server.folder());
    command.arg("user").args(words);
    let output = finish(command, input);
    assert!(output.status.success(), "{words:?}: {output:?}");
}

async fn assert_ends(what: &str, events: &mut Events, since: Instant) {
    let rest = soon(what, events.rest()).await;
    assert!(since.elapsed() < SOON, "{what}: {:?}", since.elapsed());
    assert!(rest.iter().all(|event| event.name != "end"), "{what}: the operation is not over");
}

/// It still says something, later than `NOTICED` after what did not concern it: that nothing happens sends no event.
async fn assert_goes_on(events: &mut Events, since: Instant) {
    loop {
        events.until(|event| event.name == "fragment").await;
        if since.elapsed() > NOTICED {
            return;
        }
    }
}

#[tokio::test]
async fn signing_out_ends_the_sessions_streams_everywhere_and_no_others() {
    let here = Server::start().await;
    let there = here.second().await;
    let alice = here.user("alice").await;
    let at_work = Client::new(here.address);
    assert_eq!(at_work.log_in("alice", "alice password").await.status, 303);
    let mut streams = [watch(&alice).await, watch_too(&alice, &there).await];
    let mut other_session = watch(&at_work).await;
    assert_eq!(alice.log_out().await.status, 303);
    let since = Instant::now();
    for events in &mut streams {
        assert_ends("a stream of the session", events, since).await;
    }
    assert_goes_on(&mut other_session, since).await;
}

#[tokio::test]
async fn a_changed_password_ends_the_users_streams_everywhere() {
    let here = Server::start().await;
    let there = here.second().await;
    let (alice, bob) = (here.user("alice").await, here.user("bob").await);
    let mut streams = [watch(&alice).await, watch_too(&alice, &there).await];
    let mut his = watch(&bob).await;
    user(&here, &["passwd", "alice", "--password-stdin"], "another\n");
    let since = Instant::now();
    for events in &mut streams {
        assert_ends("a stream of hers", events, since).await;
    }
    assert_goes_on(&mut his, since).await;
}

#[tokio::test]
async fn removal_ends_the_users_streams_everywhere() {
    let here = Server::start().await;
    let there = here.second().await;
    let (alice, bob) = (here.user("alice").await, here.user("bob").await);
    let mut streams = [watch(&alice).await, watch_too(&alice, &there).await];
    let mut his = watch(&bob).await;
    user(&here, &["remove", "alice"], "");
    let since = Instant::now();
    for events in &mut streams {
        assert_ends("a stream of hers", events, since).await;
    }
    assert_goes_on(&mut his, since).await;
}

#[tokio::test]
async fn loss_of_the_required_group_ends_streams_and_its_return_lets_them_open_again() {
    let here = Server::with(&[("required_group", "staff")]).await;
    let there = here.second().await;
    let alice = here.user_with("alice", &["--group", "staff", "--group", "other"]).await;
    let root = here.user_with("root", &["--superuser"]).await;
    let mut streams = [watch(&alice).await, watch_too(&alice, &there).await];
    let mut superusers = watch(&root).await;
    let id = alice.simulate(SLOW).await;
    let token = alice.page(&id).await.token.expect("just started");
    // Another group's loss is none.
    user(&here, &["groups", "alice", "--group", "staff"], "");
    assert_goes_on(&mut streams[0], Instant::now()).await;

    user(&here, &["groups", "alice"], "");
    user(&here, &["groups", "root"], "");
    let since = Instant::now();
    for events in &mut streams {
        assert_ends("a stream of hers", events, since).await;
    }
    assert_goes_on(&mut superusers, since).await;
    let refused = alice.send(Ask::get(&format!("/stream?token={token}"))).await;
    assert_eq!(refused.status, 403);

    user(&here, &["groups", "alice", "--group", "staff"], "");
    for server in [&here, &there] {
        let mut again = alice.at(server).stream(&token, None).await;
        again.first_flush().await;
    }
    let mut lasting = watch(&alice).await;
    assert_goes_on(&mut lasting, Instant::now()).await;
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_gets_places_back() {
    let server = Server::with(&[("streams_per_user", "2")]).await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let id = alice.simulate(SLOW).await;
    let token = alice.page(&id).await.token.expect("just started");
    // Of all of her sessions together.
    let at_work = Client::new(server.address);
    assert_eq!(at_work.log_in("alice", "alice password").await.status, 303);
    let first = alice.stream(&token, None).await;
    let _second = at_work.stream(&token, None).await;
    for client in [&alice, &at_work] {
        let refused = client.send(Ask::get(&format!("/stream?token={token}"))).await;
        assert_eq!(refused.status, 429, "{}", refused.text());
        let wait: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // A refused token says nothing of that, and another user has places of their own.
    assert_eq!(alice.send(Ask::get("/stream?token=x")).await.status, 403);
    watch(&bob).await;
    drop(first);
    until("the place", async || {
        let response = alice.open(Ask::get(&format!("/stream?token={token}"))).await;
        (response.status() == 200).then_some(())
    })
    .await;
}

/// A command whose body is still on its way when its sender is put out is not carried out.
#[tokio::test]
async fn a_command_that_was_being_sent_meanwhile_is_not_carried_out() {
    let server = Server::with(&[("required_group", "ops")]).await;
    let ways: [(&str, &[&str], &str, u16); 3] = [
        ("ada", &["passwd", "ada", "--password-stdin"], "another password\n", 303),
        ("bob", &["remove", "bob"], "", 303),
        ("eve", &["groups", "eve", "--group", "others"], "", 403),
    ];
    for (name, words, input, status) in ways {
        let client = server.user_with(name, &["--group", "ops"]).await;
        let csrf = client.csrf().await;
        let mut events = watch(&client).await;
        let before = client.get("/operations").await.text().matches("<tr id=").count();
        let body = format!("csrf_token={csrf}&steps=0");
        let (first, rest) = body.split_at(body.len() - 1);
        let length = format!("Content-Length: {}", body.len());
        let more = ["Content-Type: application/x-www-form-urlencoded", &length];
        let head = client.head("POST /operations/new/simulate", &more);
        let mut stream = client.begin(&(head + first)).await;
        user(&server, words, input);
        soon("the end of the stream", events.rest()).await;
        stream.write_all(rest.as_bytes()).await.expect("it is sent");
        let mut answer = vec![0; 13];
        soon("an answer", stream.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status} "), "{name}");
        let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
        let sql = "SELECT count(*) FROM liveops_operations WHERE owner = (SELECT id FROM liveops_users WHERE name = ?1)";
        let count: u32 = database.query_row(sql, [name], |row| row.get(0)).expect("a number");
        assert!(count as usize <= before, "{name}: nothing was started");
    }
}

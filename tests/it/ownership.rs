//! Whose an operation is: every route that names one, by everybody whose it is not, in every state of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use liveops::access::{Channel, Grant, Keys, SecretKey};
use reqwest::header::HeaderMap;
use rusqlite::Connection;

use crate::harness::{Ask, Client, SLOW, Server, finish, liveops};

const UNKNOWN: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
const SECRET: &str = "a secret key of more than 32 bytes";
const CSV: &[u8] = b"a,b\n1,2\n3\n";

/// A route with an operation's id in it: its only method, and what its owner gets of an import that is over.
struct Route {
    path: &'static str,
    method: &'static str,
    /// What may stand in its place, with the status for the owner.
    asks: &'static [(&'static str, u16)],
}

const ROUTES: [Route; 6] = [
    Route {
        path: "/operations/{id}",
        method: "GET",
        asks: &[("", 200), ("?attempt=1", 200), ("/", 404), ("/x", 404), ("//log", 404)],
    },
    Route {
        path: "/operations/{id}/log",
        method: "GET",
        asks: &[
            ("", 200),
            ("?attempt=1", 200),
            ("?format=full", 200),
            ("?attempt=1&format=full", 200),
            ("?attempt=2", 404),
            ("?attempt=x", 404),
            ("?attempt=%FF&attempt=", 404),
            ("/", 404),
            (".txt", 404),
        ],
    },
    Route {
        path: "/operations/{id}/failed.csv",
        method: "GET",
        asks: &[("", 200), ("?attempt=1", 200), ("?attempt=0", 404), ("/", 404)],
    },
    Route {
        path: "/operations/{id}/uploads/{field}",
        method: "GET",
        asks: &[("", 200), ("?x=1", 200), ("x", 404), ("/x", 404), ("%00", 404)],
    },
    Route { path: "/operations/{id}/cancel", method: "POST", asks: &[("", 303), ("?x", 303), ("/", 404)] },
    Route { path: "/operations/{id}/restart", method: "POST", asks: &[("", 303), ("?x", 303), ("/", 404)] },
];

impl Route {
    fn address(&self, id: &str, rest: &str) -> String {
        self.path.replace("{id}", id).replace("{field}", "file") + rest
    }

    /// Everything that is asked of it with this id: at its own address in every way, those first, and at those beside it.
    fn asks(&self, id: &str, csrf: &str) -> Vec<Ask> {
        let mut asks = self.asks_at(&self.address(id, ""), csrf);
        for (rest, _) in &self.asks[1..] {
            let ask = Ask::new(self.method, &self.address(id, rest));
            asks.extend([ask.clone(), ask.header("x-liveops", "1").header("x-csrf-token", csrf)]);
        }
        asks
    }

    fn asks_at(&self, path: &str, csrf: &str) -> Vec<Ask> {
        let signed = [("csrf_token", csrf)];
        let plain = || Ask::new(self.method, path);
        let mut asks = vec![
            plain(),
            plain().header("x-liveops", "1"),
            plain()
                .header("accept", "application/json")
                .header("range", "bytes=0-1")
                .header("if-none-match", "*"),
        ];
        if self.method == "POST" {
            asks.extend([
                plain().form(&signed),
                plain().header("x-csrf-token", csrf),
                plain().header("x-csrf-token", csrf).header("x-liveops", "1"),
                plain().form(&[("csrf_token", "wrong")]),
                plain().form(&signed).header("origin", "https://evil.example"),
                plain().form(&signed).header("sec-fetch-site", "cross-site"),
                plain().multipart(&signed, ("file", "a.csv", b"x")),
                plain().header("x-csrf-token", csrf).header("content-type", "text/plain").body(b"x".to_vec()),
            ]);
        }
        asks.extend(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"].map(|method| Ask::new(method, path)));
        asks
    }
}

/// A route that comes new has to be attacked here too.
#[test]
fn every_route_with_an_id_is_attacked() {
    let router = include_str!("../../src/web.rs");
    let routes = router.split("route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let with_id: BTreeSet<_> = routes.filter(|route| route.contains("{id}")).collect();
    assert_eq!(with_id, ROUTES.iter().map(|route| route.path).collect());
}

/// What whoever asks can tell an answer by; only that there is a request id counts, as it is another one each time.
async fn seen(client: &Client, ask: Ask) -> (u16, HeaderMap, String) {
    let answer = client.send(ask).await;
    let mut headers = answer.headers.clone();
    headers.remove("date");
    if let Some(id) = headers.get_mut("x-request-id") {
        *id = "some".parse().expect("a value");
    }
    (answer.status, headers, answer.text())
}

async fn import(client: &Client, name: &str) -> String {
    let id = client.import(name, CSV).await;
    assert_eq!(client.finished(&id).await.state, "succeeded");
    id
}

/// Alice with an import that is over, and operations of others in whatever state.
async fn targets(server: &Server) -> (Client, String, Vec<String>) {
    let (alice, carol) = (server.user("alice").await, server.user("carol").await);
    let over = import(&alice, "hers.csv").await;
    let mut ids = vec![over.clone()];
    for (outcome, state) in [("error", "failed"), ("ok", "succeeded")] {
        let id = alice.simulate(&[("steps", "1"), ("outcome", outcome), ("chain", "1")]).await;
        assert_eq!(alice.finished(&id).await.state, state);
        ids.push(id);
    }
    ids.push(alice.simulate(SLOW).await);
    alice.reaches(&ids[3], "running").await;
    // Of somebody who is removed: one that is over and one that is not.
    ids.extend([import(&carol, "gone.csv").await, carol.simulate(SLOW).await]);
    let mut remove = liveops(server.folder());
    remove.args(["user", "remove", "carol"]);
    assert!(finish(remove, "").status.success());
    (alice, over, ids)
}

/// What is no id of anything, however near it is to `id`.
fn odd_ids(id: &str) -> Vec<String> {
    let mut odd = vec![id.to_uppercase(), id.replace('-', ""), id[..35].to_owned(), "a".repeat(3000)];
    odd.extend(["%7B_%7D", "urn:uuid:_", "_%20", "_%00", "_%2Flog"].map(|around| around.replace('_', id)));
    let others = ["x", "0", "%FF", "..%2F", "%2F", "*", "00000000-0000-0000-0000-000000000000"];
    odd.extend(others.map(str::to_owned));
    odd
}

#[tokio::test]
async fn whose_it_is_not_gets_what_nobody_has() {
    let server = Server::with(&[("streams_per_user", "5")]).await;
    let (alice, over, targets) = targets(&server).await;
    let odd = odd_ids(&over);
    for (name, flags) in [("bob", &[][..]), ("root", &["--superuser"][..])] {
        let other = server.user_with(name, flags).await;
        // Somebody with operations of their own.
        import(&other, "mine.csv").await;
        let csrf = other.csrf().await;
        for route in &ROUTES {
            let mut expected = Vec::new();
            for ask in route.asks(UNKNOWN, &csrf) {
                expected.push(seen(&other, ask).await);
            }
            assert!(expected.iter().all(|(status, ..)| [404, 405].contains(status)), "{}", route.path);
            let asks = targets.iter().flat_map(|id| route.asks(id, &csrf).into_iter().zip(&expected));
            let odd =
                odd.iter().filter(|_| name == "bob").map(|id| route.asks_at(&route.address(id, ""), &csrf));
            let odd = odd.flat_map(|asks| asks.into_iter().zip(&expected));
            for (ask, expected) in asks.chain(odd) {
                let what = format!("{ask:?} by {name}");
                assert_eq!(seen(&other, ask).await, *expected, "{what:.300}");
            }
        }
        for query in ["", "?page=1", "?page=2", "?kind=csv_import", "?kind=simulate", "?state=running"] {
            let list = other.get(&format!("/operations{query}")).await.text();
            assert!(targets.iter().all(|id| !list.contains(id)), "{query} of {name}: {list}");
        }
    }
    // Nothing was done to any of them, and the very same requests reach them when they are their owner's.
    assert_eq!(alice.page(&targets[3]).await.state, "running");
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let touched =
        "SELECT count(*) FROM liveops_operations WHERE attempt > 1 OR state IN ('cancelling', 'cancelled')";
    assert_eq!(database.query_row(touched, [], |row| row.get(0)), Ok(0));
    let csrf = alice.csrf().await;
    for route in &ROUTES {
        for (rest, status) in route.asks {
            alice.finished(&over).await;
            let mut ask = Ask::new(route.method, &route.address(&over, rest));
            if route.method == "POST" {
                ask = ask.form(&[("csrf_token", &csrf)]);
            }
            // An attempt more does not matter here.
            assert_eq!(alice.send(ask).await.status, *status, "{}{rest}", route.path);
        }
    }
}

/// Whoever holds the key can sign whatever they like, a bug of ours too; the stream asks whose the operation is all the same.
#[tokio::test]
async fn no_token_opens_the_stream_of_what_is_somebody_elses() {
    let server = Server::with(&[("secret_key", SECRET)]).await;
    let (alice, _, targets) = targets(&server).await;
    let bob = server.user("bob").await;
    let own = bob.simulate(SLOW).await;
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let id_of = |name: &str| -> String {
        let sql = "SELECT id FROM liveops_users WHERE name = ?1";
        database.query_row(sql, [name], |row| row.get(0)).expect("a user")
    };
    let keys = Keys::new(&SecretKey::new(SECRET.as_bytes()).expect("a key"), &[]);
    let sign = |user: String, channels: Vec<Channel>| {
        let expires = Timestamp::now().as_second() + 300;
        keys.sign(&Grant { user, channels, expires }).as_str().to_owned()
    };
    let channel = |id: &str| Channel::Operation(id.parse().expect("a UUID"));
    // Signed as the server would, it opens what is his.
    bob.stream(&sign(id_of("bob"), vec![channel(&own)]), None).await.first_flush().await;

    let garbage = seen(&bob, Ask::get("/stream?token=x")).await;
    assert_eq!(garbage.0, 403);
    let mut attacks = vec![
        ("an unknown one".to_owned(), sign(id_of("bob"), vec![channel(UNKNOWN)]), String::new()),
        ("her list".to_owned(), sign(id_of("bob"), vec![Channel::User(id_of("alice"))]), String::new()),
        (
            "her list, by her".to_owned(),
            sign(id_of("alice"), vec![Channel::User(id_of("alice"))]),
            String::new(),
        ),
    ];
    for id in &targets {
        attacks.push((format!("{id} for him"), sign(id_of("bob"), vec![channel(id)]), String::new()));
        attacks.push((format!("{id} for her"), sign(id_of("alice"), vec![channel(id)]), String::new()));
        let both = sign(id_of("bob"), vec![channel(&own), channel(id)]);
        attacks.push((format!("{id} beside his own"), both, format!("&channel=liveop.{id}")));
        let his = sign(id_of("bob"), vec![channel(&own)]);
        attacks.push((format!("{id} by the token of his own"), his, format!("&channel=liveop.{id}")));
    }
    for (what, token, rest) in attacks {
        let path = format!("/stream?token={token}{rest}");
        assert_eq!(seen(&bob, Ask::get(&path)).await, garbage, "{what}");
        let by_shim = Ask::get(&path).header("x-liveops", "1").header("accept", "text/event-stream");
        assert_eq!(seen(&bob, by_shim).await, garbage, "{what}");
    }
    alice.follow(&targets[3]).await.first_flush().await;
}

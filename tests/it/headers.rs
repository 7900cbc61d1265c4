//! What every answer has, whichever it is; and every route by every method.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::HeaderMap;
use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Answer, Ask, Client, SLOW, Server, attribute, soon};

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                   img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                   require-trusted-types-for 'script'; trusted-types liveops";
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X-ANYTHING"];
const UNKNOWN: &str = "/operations/67e55044-10b1-426f-9247-bb680e5fe0c8";

fn assert_hardened(headers: &HeaderMap, caching: &str, what: &str) {
    for (name, expected) in [
        ("content-security-policy", CSP),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", caching),
    ] {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, [expected], "{name} of {what}");
    }
}

/// Sends it, and looks at what an answer has that is no asset and no stream.
async fn send(client: &Client, ask: Ask) -> Answer {
    let what = format!("{ask:?}");
    let answer = client.send(ask).await;
    assert_hardened(&answer.headers, "no-store", &what);
    assert_eq!(answer.headers.contains_key("allow"), answer.status == 405, "allow of {what}");
    answer
}

#[tokio::test]
async fn every_answer_to_somebody_is_hardened() {
    let server = Server::with(&[("streams_per_user", "1"), ("max_upload_bytes", "1000")]).await;
    let client = server.demo_user().await;
    let over = client.simulate(&[("steps", "0")]).await;
    client.finished(&over).await;
    let id = client.simulate(SLOW).await;
    let page = client.page(&id).await;
    let token = page.token.clone().expect("just started");
    let csrf = client.csrf().await;
    let signed = [("csrf_token", csrf.as_str())];
    let (cancel, restart) = (format!("/operations/{id}/cancel"), format!("/operations/{id}/restart"));
    let new = "/operations/new/simulate";
    let large = "x".repeat(2000);
    let typed = |kind: &str| Ask::post(&cancel).header("x-csrf-token", &csrf).header("content-type", kind);
    for (status, ask) in [
        (200, Ask::get("/")),
        (200, Ask::get("/operations")),
        (200, Ask::get(new)),
        (200, Ask::get(&format!("/operations/{id}"))),
        (200, Ask::get(&format!("/operations/{id}/log"))),
        (200, Ask::get("/login")),
        (200, Ask::get(&server.login_link)),
        (200, Ask::get("/healthz")),
        (200, Ask::get("/readyz")),
        (400, typed("multipart/form-data; boundary=edge").body(b"--edge\r\nnonsense".to_vec())),
        (403, Ask::get("/stream")),
        (403, Ask::get("/stream?token=x")),
        (403, Ask::get(&format!("/stream?token={token}&channel=liveop.x"))),
        (403, Ask::post(&cancel)),
        (403, Ask::post(&cancel).header("content-type", "text/plain").body(b"x".to_vec())),
        (403, Ask::post(&cancel).header("origin", "https://evil.example").form(&signed)),
        (403, Ask::post("/login").form(&[("username", "demo")])),
        (404, Ask::get("/nothing/here")),
        (404, Ask::post("/nothing/here")),
        (404, Ask::get("/assets/nothing")),
        (404, Ask::get("/operations/x")),
        (404, Ask::get(UNKNOWN)),
        (404, Ask::post(&format!("{UNKNOWN}/cancel"))),
        (404, Ask::get("/operations/new/nothing")),
        (404, Ask::get("/login/link/x")),
        (409, Ask::post(&restart).form(&signed)),
        (413, Ask::post(new).form(&[signed.as_slice(), &[("message", &large)]].concat())),
        (415, typed("text/plain").body(b"x".to_vec())),
        (422, Ask::post(new).form(&[signed.as_slice(), &[("steps", "x")]].concat())),
        (303, Ask::post(&format!("/operations/{over}/cancel")).form(&signed)),
        (303, Ask::post(&format!("/operations/{over}/restart")).form(&signed)),
        (303, Ask::post(new).form(&[signed.as_slice(), &[("steps", "0")]].concat())),
        (204, Ask::post(&cancel).header("x-liveops", "1").header("x-csrf-token", &csrf)),
    ] {
        let what = format!("{ask:?}");
        let answer = send(&client, ask).await;
        assert_eq!(answer.status, status, "{what}");
        if status == 404 {
            // As if somebody else's were not there.
            assert_eq!(answer.header("x-request-id"), "", "{what}");
        } else {
            assert_eq!(answer.header("x-request-id").len(), 36, "{what}");
        }
    }
    for (tag, name) in [("<link rel=\"stylesheet\"", "href"), ("<script", "src")] {
        let asset = attribute(&page.html, tag, name).expect("an asset");
        let answer = client.get(&asset).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert_hardened(&answer.headers, "public, max-age=31536000, immutable", &asset);
    }
    let id = client.simulate(SLOW).await;
    let token = client.page(&id).await.token.expect("just started");
    let stream = Ask::get(&format!("/stream?token={token}"));
    let events = client.stream(&token, None).await;
    assert_hardened(events.headers(), "no-store, no-transform", "a stream");
    let answer = send(&client, stream).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "10"), "one stream too many");
    drop(events);
    assert_eq!(send(&client, Ask::post("/logout").form(&signed)).await.status, 303);
}

#[tokio::test]
async fn every_answer_to_nobody_is_hardened() {
    let server = Server::start().await;
    let nobody = Client::new(server.address);
    for path in ["/", "/operations", "/operations/new/simulate", UNKNOWN, &format!("{UNKNOWN}/log")] {
        assert_eq!(send(&nobody, Ask::get(path)).await.status, 303, "{path}");
        let scripted = Ask::get(path).header("x-liveops", "1");
        assert_eq!(send(&nobody, scripted).await.status, 401, "{path}");
        // The session comes before the method.
        assert_eq!(send(&nobody, Ask::new("DELETE", path)).await.status, 303, "{path}");
    }
    assert_eq!(send(&nobody, Ask::get("/stream?token=x")).await.status, 401);
    assert_eq!(send(&nobody, Ask::post("/logout")).await.status, 303);
    assert_eq!(send(&nobody, Ask::get("/healthz")).await.text(), "ok");
    assert_eq!(send(&nobody, Ask::get("/readyz")).await.text(), "ok");
    // A link that was used: who looks at it learns nothing, who presses its button does.
    server.demo_user().await;
    let link = &server.login_link;
    let csrf = nobody.get(link).await.csrf();
    assert_eq!(send(&nobody, Ask::post(link).form(&[("csrf_token", &csrf)])).await.status, 410);
    let csrf = nobody.get("/login").await.csrf();
    let wrong = [("csrf_token", csrf.as_str()), ("username", "demo"), ("password", "wrong")];
    for _ in 0..10 {
        assert_eq!(send(&nobody, Ask::post("/login").form(&wrong)).await.status, 422);
    }
    let answer = send(&nobody, Ask::post("/login").form(&wrong)).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").parse::<u64>().is_ok());
}

#[tokio::test]
async fn an_answer_that_failed_is_hardened_and_says_its_reference() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let held = Connection::open(server.folder().join("liveops.db")).expect("the database");
    held.busy_timeout(Duration::from_secs(30)).expect("a setting");
    held.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let ask = Ask::post("/operations/new/simulate").form(&[("csrf_token", &csrf), ("steps", "0")]);
    let answer = send(&client, ask).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "60");
    let reference = answer.header("x-request-id");
    assert!(reference.len() == 36 && answer.text().contains(reference), "{reference}: {}", answer.text());
    assert_eq!(send(&client, Ask::get("/operations")).await.status, 200, "reading goes on");
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let page = client.page(&id).await;
    let token = page.token.clone().expect("just started");
    let css = attribute(&page.html, "<link rel=\"stylesheet\"", "href").expect("a stylesheet");
    let at = |end: &str| format!("/operations/{id}{end}");
    for (path, allowed) in [
        ("/", "GET,HEAD"),
        ("/login", "GET,HEAD,POST"),
        (&server.login_link, "GET,HEAD,POST"),
        ("/logout", "POST"),
        ("/operations", "GET,HEAD"),
        ("/operations/new/simulate", "GET,HEAD,POST"),
        // The method comes before existence.
        ("/operations/new/nothing", "GET,HEAD,POST"),
        (&at(""), "GET,HEAD"),
        (&at("/cancel"), "POST"),
        (&at("/restart"), "POST"),
        (&at("/log"), "GET,HEAD"),
        (UNKNOWN, "GET,HEAD"),
        (&format!("{UNKNOWN}/cancel"), "POST"),
        ("/operations/nonsense/restart", "POST"),
        (&format!("/stream?token={token}"), "GET"),
        ("/stream", "GET"),
        (&css, "GET,HEAD"),
        ("/assets/nothing", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
    ] {
        for method in METHODS.iter().filter(|method| allowed.split(',').all(|right| right != **method)) {
            let what = format!("{method} {path}");
            let answer = send(&client, Ask::new(method, path)).await;
            assert_eq!(answer.status, 405, "{what}");
            let told: BTreeSet<_> = answer.header("allow").split(',').map(str::trim).collect();
            assert_eq!(told, allowed.split(',').collect(), "{what}");
            assert_eq!(answer.body.is_empty(), *method == "HEAD", "{what}: {}", answer.text());
        }
    }
    assert_eq!(client.page(&id).await.state, "running", "nothing was done");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "0")]).await;
    client.finished(&id).await;
    for path in ["/", "/operations", &format!("/operations/{id}"), "/login", "/nothing", UNKNOWN, "/logout"] {
        let (get, head) = (client.get(path).await, send(&client, Ask::new("HEAD", path)).await);
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

/// What is no ordinary request, and still one that can be answered.
#[tokio::test]
async fn odd_requests_are_answered_like_others() {
    let server = Server::start().await;
    for (request, status) in [
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n", "404"),
        ("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n", "404"),
        ("GET http://x/healthz HTTP/1.1\r\nHost: x\r\n", "200"),
        ("GET //healthz HTTP/1.1\r\nHost: x\r\n", "404"),
        ("GET /login HTTP/1.0\r\n", "200"),
        ("GET /login HTTP/1.1\r\n", "200"),
        ("GET /%ff?%ff=%zz HTTP/1.1\r\nHost: x\r\n", "404"),
        ("GET /operations/%ff HTTP/1.1\r\nHost: x\r\n", "303"),
        ("GET /login?next=%ff&next HTTP/1.1\r\nHost: x\r\n", "200"),
        ("GET /login/link/%ff HTTP/1.1\r\nHost: x\r\n", "404"),
        ("GET /assets/%ff HTTP/1.1\r\nHost: x\r\n", "404"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        let request = format!("{request}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = Vec::new();
        soon("the answer", stream.read_to_end(&mut answer)).await.expect("a connection");
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}: {answer}");
        let head = answer.split("\r\n\r\n").next().expect("a head").to_lowercase();
        assert!(head.contains(&format!("content-security-policy: {}", CSP.to_lowercase())), "{head}");
        for header in
            ["x-content-type-options: nosniff", "referrer-policy: same-origin", "cache-control: no-store"]
        {
            assert!(head.contains(header), "{header} in {head}");
        }
    }
}

/// What is no request at all, or has a head that nobody would send.
#[tokio::test]
async fn what_is_no_request_is_hardened_too() {
    let server = Server::start().await;
    let many = "X-A: 1\r\n".repeat(200);
    for (request, status) in [
        ("NONSENSE\r\n\r\n".to_owned(), "400"),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)), "414"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n", "x".repeat(1_000_000)), "431"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        // It may be refused before it is sent whole.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(b"\r\n\r\n") {
            let read = soon("the answer", stream.read(&mut piece)).await.expect("a connection");
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..read]);
        }
        let head = String::from_utf8(answer).expect("ASCII");
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        for header in [
            &format!("content-security-policy: {CSP}"),
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert_eq!(head.matches(&format!("\r\n{header}\r\n")).count(), 1, "{header} in {head}");
        }
    }
}

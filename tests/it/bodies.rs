//! Bodies of forms: how large, how slow, how odd they may be.

use tokio::io::AsyncReadExt as _;

use crate::harness::{Answer, Ask, Client, Server, attribute, encode, soon, until};

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=edge";
const NEW: &str = "/operations/new/simulate";
/// How many clients stop in each place of a request. The runtime has 512 threads for what blocks.
const HALVES: usize = 150;

/// The body of a form in each of the two types.
fn bodies(fields: &[(&str, &str)]) -> [(&'static str, String); 2] {
    let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let parts = fields.iter().map(|(name, value)| {
        format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    [(URLENCODED, pairs.join("&")), (MULTIPART, parts.collect::<String>() + "--edge--\r\n")]
}

async fn post(client: &Client, media_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    client.send(Ask::post(NEW).header("content-type", media_type).body(body.into())).await
}

async fn started(client: &Client) -> usize {
    client.get("/operations").await.text().matches("<tr id=\"op-").count()
}

#[tokio::test]
async fn the_setting_alone_limits_a_form_and_a_field_says_that_its_text_is_too_long() {
    let server = Server::with(&[("max_upload_bytes", "3000000")]).await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    for (length, status) in [(60_000, 303), (70_000, 422), (2_500_000, 422), (3_000_001, 413)] {
        let message = "m".repeat(length);
        for (media_type, body) in bodies(&[("csrf_token", &csrf), ("message", &message), ("steps", "0")]) {
            let answer = post(&client, media_type, body).await;
            assert_eq!(answer.status, status, "{length} {media_type}: {:.300}", answer.text());
            if status == 422 {
                let html = answer.text();
                assert_eq!(
                    attribute(&html, "<input type=\"text\" id=\"field-message\"", "aria-invalid").as_deref(),
                    Some("true")
                );
                assert!(html.contains("This is longer than 65536 bytes."), "{media_type}");
            }
        }
    }
    assert_eq!(started(&client).await, 2);
}

/// What is announced is believed as soon as the token is right; the rest need not come.
#[tokio::test]
async fn an_announced_length_is_too_large_before_it_comes() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let visitor = Client::new(server.address);
    let visit = visitor.get("/login").await.csrf();
    let token = |token: &str| {
        bodies(&[("csrf_token", token), ("x", "")])
            .map(|(kind, body)| (kind, body.trim_end_matches("--edge--\r\n").to_owned()))
    };
    for (who, path, token, length) in
        [(&client, NEW, token(&csrf), 900_000_000), (&visitor, "/login", token(&visit), 100_000)]
    {
        for (media_type, body) in token {
            let more = [&*format!("Content-Type: {media_type}"), &format!("Content-Length: {length}")];
            let mut stream = who.begin(&(who.head(&format!("POST {path}"), &more) + &body)).await;
            let mut bytes = vec![0; 20];
            soon("an answer", stream.read_exact(&mut bytes)).await.expect("an answer");
            assert_eq!(&bytes[..13], b"HTTP/1.1 413 ", "{path} {media_type}");
        }
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_said_of_the_size() {
    let server = Server::with(&[("max_upload_bytes", "1000")]).await;
    let client = server.demo_user().await;
    let message = "m".repeat(2000);
    for (media_type, body) in bodies(&[("csrf_token", "wrong"), ("message", &message)]) {
        assert_eq!(post(&client, media_type, body).await.status, 403, "{media_type}");
    }
    for (media_type, body) in bodies(&[("message", &message)]) {
        assert_eq!(post(&client, media_type, body).await.status, 403, "{media_type}");
    }
}

#[tokio::test]
async fn what_is_not_utf8_starts_nothing() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    for bad in ["message=%ff%fe", "message=%c3", "%ff=1", "message=\u{1}%e2%82"] {
        let answer = post(&client, URLENCODED, format!("csrf_token={csrf}&{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text().contains("not UTF-8"), "{}", answer.text());
    }
    let [_, (_, text)] = bodies(&[("csrf_token", &csrf), ("message", "BAD")]);
    let at = text.find("BAD").expect("it is there");
    let mut body = text.into_bytes();
    body[at] = 0xff;
    let answer = post(&client, MULTIPART, body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("not UTF-8"), "{}", answer.text());
    assert_eq!(started(&client).await, 0);
}

#[tokio::test]
async fn forms_of_very_many_fields_are_refused() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    for (count, status) in [(199, 303), (200, 400)] {
        let mut fields = vec![("csrf_token", csrf.as_str()), ("steps", "0")];
        fields.resize(count + 1, ("x", "1"));
        for (media_type, body) in bodies(&fields) {
            assert_eq!(post(&client, media_type, body).await.status, status, "{count} {media_type}");
        }
    }
    let mut fields = vec![("csrf_token", csrf.as_str())];
    fields.extend([("x", "1"); 300]);
    for (media_type, body) in bodies(&fields) {
        assert_eq!(post(&client, media_type, body).await.status, 400, "{media_type}");
    }
    assert_eq!(started(&client).await, 2);
}

/// The first one of a name counts, and what the kind does not have is passed over.
#[tokio::test]
async fn doubled_and_unknown_fields_change_nothing() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let fields = [
        ("csrf_token", csrf.as_str()),
        ("steps", "0"),
        ("steps", "x"),
        ("unknown", "1"),
        ("message", "first"),
        ("message", "second"),
    ];
    for (media_type, body) in bodies(&fields) {
        let id = post(&client, media_type, body).await.started();
        assert!(client.finished(&id).await.text().contains("first"), "{media_type}");
    }
}

#[tokio::test]
async fn a_submission_key_that_is_too_long_is_no_key() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let key = "k".repeat(70_000);
    for (media_type, body) in bodies(&[("csrf_token", &csrf), ("submission", &key), ("steps", "0")]) {
        assert_eq!(post(&client, media_type, body).await.status, 400, "{media_type}");
    }
    assert_eq!(started(&client).await, 0);
}

fn named(csrf: &str, name: &[u8]) -> Vec<u8> {
    let mut body = bodies(&[("csrf_token", csrf)])[1].1.trim_end_matches("--edge--\r\n").as_bytes().to_vec();
    body.extend_from_slice(b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"");
    body.extend_from_slice(name);
    body.extend_from_slice(b"\"\r\n\r\na,b\r\n1,2\r\n\r\n--edge--\r\n");
    body
}

#[tokio::test]
async fn a_files_name_may_be_anything_that_can_be_sent() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let send = async |name: &[u8]| {
        let ask = Ask::post("/operations/new/csv_import").header("content-type", MULTIPART);
        client.send(ask.body(named(&csrf, name))).await
    };
    for (name, shown) in [(&b"caf\xe9.csv"[..], "caf\u{fffd}.csv"), ("é€😀\u{202e}.csv".as_bytes(), "é€😀")]
    {
        let id = send(name).await.started();
        let page = client.finished(&id).await;
        assert_eq!(page.state, "succeeded");
        assert!(page.text().contains(shown), "{}", page.text());
    }
    // No client can send these so that a server may read them: a browser that does is told what to do.
    for name in [&b"a\x01b.csv"[..], b"\0", b"a\x1b[31m.csv", b"a\x7f"] {
        let answer = send(name).await;
        assert_eq!(answer.status, 422, "{name:?}");
        let html = answer.text();
        let field = "<input type=\"file\" id=\"field-file\"";
        assert_eq!(attribute(&html, field, "aria-invalid").as_deref(), Some("true"), "{name:?}");
        assert!(html.contains("Rename the file"), "{html}");
    }
    assert_eq!(started(&client).await, 2);
    // Where no file belongs it is no form of ours.
    let cancel = format!("/operations/{}/cancel", client.simulate(&[("steps", "0")]).await);
    let ask = Ask::post(&cancel).header("content-type", MULTIPART).body(named(&csrf, b"a\x01b.csv"));
    assert_eq!(client.send(ask).await.status, 400);
}

#[tokio::test]
async fn a_file_where_text_belongs_is_told_beside_its_field() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let body = bodies(&[("csrf_token", &csrf), ("message", "x")])[1]
        .1
        .replace("name=\"message\"", "name=\"steps\"; filename=\"n\"");
    let answer = post(&client, MULTIPART, body).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("A file does not fit here."), "{}", answer.text());
    assert_eq!(started(&client).await, 0);
}

/// Smaller than what comes at once, the token in it included.
#[tokio::test]
async fn a_small_limit_is_told_as_a_limit() {
    let server = Server::with(&[("max_upload_bytes", "2000")]).await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    for (media_type, body) in bodies(&[("csrf_token", &csrf), ("message", &"m".repeat(3000))]) {
        assert_eq!(post(&client, media_type, body.clone()).await.status, 413, "{media_type}");
        // The same without an announced length.
        let more = [&*format!("Content-Type: {media_type}"), "Transfer-Encoding: chunked"];
        let head = client.head(&format!("POST {NEW}"), &more);
        let mut stream = client.begin(&format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())).await;
        let mut bytes = vec![0; 13];
        soon("an answer", stream.read_exact(&mut bytes)).await.expect("an answer");
        assert_eq!(&bytes, b"HTTP/1.1 413 ", "{media_type}");
    }
}

/// The whole form is in one piece, which is larger than what is allowed: its token counts all the same.
#[tokio::test]
async fn what_is_too_large_is_said_however_little_is_allowed() {
    for limit in [1, 100, 2000] {
        let server = Server::with(&[("max_upload_bytes", &limit.to_string())]).await;
        let client = server.demo_user().await;
        let csrf = client.csrf().await;
        for length in [0, 5000] {
            let message = "m".repeat(length);
            for (media_type, body) in bodies(&[("csrf_token", &csrf), ("message", &message), ("steps", "0")])
            {
                let status = if body.len() > limit { 413 } else { 303 };
                let answer = post(&client, media_type, body).await;
                assert_eq!(answer.status, status, "{limit} {length} {media_type}: {}", answer.text());
            }
            for (media_type, body) in bodies(&[("csrf_token", "wrong"), ("message", &message)]) {
                assert_eq!(post(&client, media_type, body).await.status, 403, "{limit} {media_type}");
            }
        }
    }
}

/// A body in many pieces is read to its very end, behind the last boundary too.
#[tokio::test]
async fn the_connection_serves_on_after_a_form_in_pieces() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    for (media_type, body) in bodies(&[("csrf_token", &csrf), ("steps", "0")]) {
        let more = [&*format!("Content-Type: {media_type}"), "Transfer-Encoding: chunked"];
        let mut sent = client.head(&format!("POST {NEW}"), &more);
        body.chars().for_each(|byte| sent.push_str(&format!("1\r\n{byte}\r\n")));
        sent.push_str("0\r\n\r\n");
        sent.push_str(&format!(
            "GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            client.address
        ));
        let mut stream = client.begin(&sent).await;
        let mut answers = String::new();
        soon("both answers", stream.read_to_string(&mut answers)).await.expect("two answers");
        assert!(answers.starts_with("HTTP/1.1 303 "), "{answers}");
        assert!(answers.contains("HTTP/1.1 200 OK"), "{media_type}: {answers}");
    }
}

/// Bodies that are made to be a burden: refused or taken, they leave nothing behind and take little memory. Of one that is refused
/// no more than 1 MiB is read on.
#[tokio::test]
async fn multipart_bombs_hurt_nobody() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let token = bodies(&[("csrf_token", &csrf)])[1].1.trim_end_matches("--edge--\r\n").to_owned();
    let file = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n";
    let end = "\r\n--edge--\r\n";
    let large = "x".repeat(900_000);
    let before = server.memory("VmHWM");
    for (what, body) in [
        ("many files", token.clone() + &format!("{file}\r\na,b\r\n").repeat(5000) + end),
        (
            "many parts",
            token.clone()
                + &"--edge\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n\r\n".repeat(15_000),
        ),
        ("parts without a head", token.clone() + &"--edge\r\n\r\n\r\n".repeat(60_000) + end),
        ("many headers", format!("{token}{file}{}\r\na,b{end}", "X-A: 1\r\n".repeat(5000))),
        ("a long header", format!("{token}{file}X-A: {large}\r\n\r\na,b{end}")),
        ("a head without an end", format!("{token}{file}X-A: {large}")),
        ("a text before the first part", format!("{large}\r\n{token}{file}\r\na,b{end}")),
        ("text before it without an end", large.clone()),
        ("boundaries only", token.clone() + &"--edge".repeat(90_000)),
        ("boundaries in lines", token.clone() + &"--edge\r\n".repeat(90_000)),
        ("half boundaries", format!("{token}{file}\r\n{}", "\r\n--edg".repeat(90_000))),
        ("no end", format!("{token}{file}\r\n{large}")),
        ("nothing", String::new()),
    ] {
        let ask = Ask::post("/operations/new/csv_import").header("content-type", MULTIPART);
        let answer = client.send(ask.body(body.into_bytes())).await;
        assert!([400, 403, 422].contains(&answer.status), "{what}: {}", answer.status);
        assert!(answer.text().contains("</html>"), "{what}");
    }
    // Parts in parts are text, and what follows the last part nothing.
    let inner =
        "--in\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"\r\n\r\nz\r\n".repeat(1000);
    let nested =
        format!("{token}{file}Content-Type: multipart/mixed; boundary=in\r\n\r\na,b\n{inner}{end}{large}");
    let ask = Ask::post("/operations/new/csv_import").header("content-type", MULTIPART);
    client.finished(&client.send(ask.body(nested.into_bytes())).await.started()).await;
    assert_eq!(started(&client).await, 1);
    assert_eq!(crate::retention::uploads(server.folder()).len(), 1, "of what was refused nothing is left");
    let grown = server.memory("VmHWM") - before;
    assert!(grown < 48, "{grown} MiB more");
}

/// Many clients that never finish what they say keep nobody else out: there are more of them than threads, and none keeps anything
/// that others need, wherever in a request it stops. What they sent of files goes with them.
#[tokio::test]
async fn half_requests_keep_nobody_out() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let head = |path: &str, kind: &str, length: &str| {
        client.head(&format!("POST {path}"), &[&format!("Content-Type: {kind}"), length])
    };
    let file = bodies(&[("csrf_token", &csrf)])[1].1.replace("--edge--", "--edge")
        + "Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\na,b\r\n1,";
    let halves = [
        "GET / HTTP/1.1\r\nHost: x\r\nX-A: ".to_owned(),
        head(NEW, MULTIPART, "Content-Length: 1000") + "--ed",
        head(NEW, URLENCODED, "Transfer-Encoding: chunked") + "5\r\ncs",
        head("/operations/new/csv_import", MULTIPART, "Content-Length: 100000") + &file,
    ];
    let files = || crate::retention::uploads(server.folder()).len();
    let mut held = Vec::new();
    for half in halves.iter().cycle().take(4 * HALVES) {
        held.push(client.begin(half).await);
    }
    until("the files to begin", async || (files() == HALVES).then_some(())).await;
    for (media_type, body) in bodies(&[("csrf_token", &csrf), ("steps", "0")]) {
        let id = post(&client, media_type, body).await.started();
        assert_eq!(client.finished(&id).await.state, "succeeded");
    }
    assert_eq!(started(&client).await, 2);
    drop(held);
    until("the files to go", async || (files() == 0).then_some(())).await;
}

//! Uploads served back: to whoever sent them, to be saved, and no other file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Answer, Ask, Client, Server, attribute, text_of, until};
use crate::retention::{age, uploads};

const CSV: &[u8] = b"a,b\n1,2\n";

fn address(id: &str, field: &str) -> String {
    format!("/operations/{id}/uploads/{field}")
}

/// It is there and to be saved, under this name.
fn assert_attached(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 200, "{name:?}");
    let disposition = answer.header("content-disposition");
    let (plain, full) = disposition
        .strip_prefix("attachment; filename=\"")
        .and_then(|rest| rest.split_once("\"; filename*=UTF-8''"))
        .unwrap_or_else(|| panic!("{name:?} is attached as {disposition}"));
    assert!(!plain.contains(['"', '\\', '/', '%']), "{disposition}");
    let is_encoded = |c: char| c.is_ascii_alphanumeric() || "!#$&+-.^_`|~%".contains(c);
    assert!(full.chars().all(is_encoded), "{disposition}");
    assert_eq!(percent_decode_str(full).decode_utf8().expect("UTF-8"), name);
    for (header, expected) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(header), expected, "{header} of {name:?}");
    }
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
}

async fn assert_not_there(client: &Client, path: &str, what: &str) {
    let unknown = "/operations/67e55044-10b1-426f-9247-bb680e5fe0c8/uploads/file";
    let (answer, unknown) = (client.get(path).await, client.get(unknown).await);
    assert_eq!((answer.status, answer.text()), (404, unknown.text()), "{what}");
    let headers = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("date");
        headers
    };
    assert_eq!(headers(&answer), headers(&unknown), "{what}");
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent_and_its_page_leads_to_it() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let content: Vec<u8> = b"a,b\n".iter().copied().chain((0..700_000u32).map(|n| (n % 251) as u8)).collect();
    let id = client.import("orders <1>.csv", &content).await;
    let page = client.finished(&id).await;
    let shown = text_of(&page.html);
    assert!(shown.contains("File: orders <1>.csv (700 kB)"), "{shown}");
    let link = attribute(&page.html[page.html.find("File:").expect("a link")..], "<a", "href");
    assert_eq!(link, Some(address(&id, "file")));
    let answer = client.get(&address(&id, "file")).await;
    assert_attached(&answer, "orders _1_.csv");
    assert_eq!(answer.header("content-length"), content.len().to_string());
    assert!(answer.body == content, "{} bytes of {}", answer.body.len(), content.len());
    let head = client.send(Ask::new("HEAD", &address(&id, "file"))).await;
    assert_attached(&head, "orders _1_.csv");
    assert_eq!((head.header("content-length"), head.body.len()), (answer.header("content-length"), 0));
    // A file without a byte in it is a file.
    let id = client.import("empty.csv", b"").await;
    client.finished(&id).await;
    let answer = client.get(&address(&id, "file")).await;
    assert_attached(&answer, "empty.csv");
    assert_eq!((answer.header("content-length"), answer.body.len()), ("0", 0));
}

#[tokio::test]
async fn a_hostile_name_is_only_a_name() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let long = "€".repeat(20_000);
    for (sent, name) in [
        ("a\"; filename=\"evil.exe", "a_; filename=_evil.exe"),
        ("a\r\nSet-Cookie: x=y\r\n\r\n<script>", "a%0D%0ASet-Cookie_ x=y%0D%0A%0D%0A_script_"),
        ("../../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("\u{202e}vsc.exe\u{2028}\u{200b}\u{85}", "_vsc.exe__\u{fffd}"),
        ("%2e%2e%2fx", "%2e%2e%2fx"),
        ("UTF-8''x.html", "UTF-8''x.html"),
        ("..", "upload"),
        (&long, &"€".repeat(120)),
    ] {
        let id = client.import(sent, CSV).await;
        client.finished(&id).await;
        let answer = client.get(&address(&id, "file")).await;
        assert_attached(&answer, name);
        assert_eq!(&answer.body[..], CSV, "{sent:?}");
        assert_eq!(answer.header("set-cookie"), "", "{sent:?}");
    }
}

#[tokio::test]
async fn what_is_no_file_of_it_is_not_there() {
    let server = Server::start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let id = alice.import("a.csv", CSV).await;
    alice.finished(&id).await;
    let without = alice.simulate(&[("steps", "0")]).await;
    alice.finished(&without).await;
    assert_not_there(&bob, &address(&id, "file"), "somebody else's").await;
    assert_not_there(&alice, &address(&without, "message"), "a text").await;
    let stored = uploads(server.folder())[0].file_name().expect("a name").to_str().expect("ASCII").to_owned();
    for field in ["File", "file%00", "file%20", "..%2ffile", "%2e%2e", "%FF", "path", "csrf_token", &stored] {
        assert_not_there(&alice, &address(&id, field), field).await;
    }
    fs::remove_file(&uploads(server.folder())[0]).expect("it is there");
    assert_not_there(&alice, &address(&id, "file"), "a file that is gone").await;
    let page = alice.page(&id).await;
    assert!(!page.html.contains("/uploads/"), "a link to nothing: {}", page.html);
}

/// The input of an operation as it is stored, and as it is from now on.
fn tamper(folder: &Path, id: &str, change: impl FnOnce(&mut Value)) {
    let database = Connection::open(folder.join("liveops.db")).expect("the database");
    database.busy_timeout(Duration::from_secs(10)).expect("a time");
    let sql = "SELECT input FROM liveops_operations WHERE id = ?1";
    let text: String = database.query_row(sql, [id], |row| row.get(0)).expect("a text");
    let mut input = serde_json::from_str(&text).expect("JSON");
    change(&mut input);
    let sql = "UPDATE liveops_operations SET input = ?2 WHERE id = ?1";
    assert_eq!(database.execute(sql, (id, input.to_string())), Ok(1));
}

/// Whatever stands in the database, no other file is read.
#[tokio::test]
async fn no_other_file_is_served_whatever_the_input_says() {
    let server = Server::start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let folder = server.folder();
    let id = alice.import("a.csv", CSV).await;
    alice.finished(&id).await;
    let hers = uploads(folder)[0].clone();
    let his = bob.import("b.csv", b"his,secret\n1,2\n").await;
    bob.finished(&his).await;
    let other = uploads(folder).into_iter().find(|path| *path != hers).expect("his");
    let secret = hers.with_file_name("a".repeat(43));
    fs::write(&secret, "of nobody").expect("it is written");
    let within = |name: &str| hers.with_file_name(name).to_str().expect("UTF-8").to_owned();
    for path in [
        other.to_str().expect("UTF-8").to_owned(),
        secret.to_str().expect("UTF-8").to_owned(),
        folder.join("liveops.db").to_str().expect("UTF-8").to_owned(),
        folder.join("secret.key").to_str().expect("UTF-8").to_owned(),
        "/etc/passwd".to_owned(),
        within("../liveops.db"),
        within(".."),
        within(""),
        String::new(),
        format!("{}\0", hers.display()),
        format!("{}/", other.display()),
    ] {
        tamper(folder, &id, |input| input["file"]["path"] = path.clone().into());
        assert_not_there(&alice, &address(&id, "file"), &path).await;
        assert!(!alice.page(&id).await.html.contains("/uploads/"), "{path}");
    }
    for odd in
        [json!(null), json!([]), json!({ "file": "x" }), json!({ "file": { "path": hers } }), json!("x")]
    {
        let what = odd.to_string();
        tamper(folder, &id, |input| *input = odd);
        assert_not_there(&alice, &address(&id, "file"), &what).await;
    }
    // Its own is read from the folder, wherever the input says that it lies.
    let name = hers.file_name().expect("a name").to_str().expect("ASCII");
    let elsewhere = json!({ "path": format!("/elsewhere/{name}"), "name": "x".repeat(1 << 20), "size": 7 });
    tamper(folder, &id, |input| *input = json!({ "file": elsewhere }));
    let answer = alice.get(&address(&id, "file")).await;
    assert_attached(&answer, &"x".repeat(120));
    assert_eq!(&answer.body[..], CSV);
    // What lies in its place is no file that was received.
    fs::remove_file(&hers).expect("it is there");
    symlink("/etc/passwd", &hers).expect("a link");
    assert_not_there(&alice, &address(&id, "file"), "a link").await;
    fs::remove_file(&hers).expect("it is there");
    fs::create_dir(&hers).expect("a folder");
    assert_not_there(&alice, &address(&id, "file"), "a folder").await;
    fs::remove_dir(&hers).expect("it is there");
    assert!(std::process::Command::new("mkfifo").arg(&hers).status().expect("it runs").success());
    assert_not_there(&alice, &address(&id, "file"), "a pipe").await;
}

/// Removed because of its age while somebody reads it: they get the whole, and everybody else nothing.
#[tokio::test]
async fn a_download_goes_on_when_its_operation_is_removed() {
    let server = Server::with(&[("retention_days", "7")]).await;
    let client = server.demo_user().await;
    // More than fits into the buffers in between.
    let content = [b"a\n", "x\n".repeat(20_000_000).as_bytes()].concat();
    let id = client.import("large.csv", &content).await;
    client.command(&id, "cancel").await;
    client.finished(&id).await;
    let mut answer = client.open(Ask::get(&address(&id, "file"))).await;
    assert_eq!(answer.status(), 200);
    let mut read = answer.chunk().await.expect("a beginning").expect("a beginning").len();
    age(server.folder(), &id, 8);
    let other = server.second().await;
    until("its end", async || uploads(server.folder()).is_empty().then_some(())).await;
    drop(other);
    assert_not_there(&client, &address(&id, "file"), "a removed one").await;
    while let Some(chunk) = answer.chunk().await.expect("it goes on") {
        read += chunk.len();
    }
    assert_eq!(read, content.len());
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

/// Its memory does not grow with what it sends.
#[tokio::test]
async fn a_file_is_never_whole_in_memory() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let content = "x\n".repeat(30_000_000);
    let id = client.import("large.csv", content.as_bytes()).await;
    client.command(&id, "cancel").await;
    client.finished(&id).await;
    let before = server.memory("VmHWM");
    for _ in 0..2 {
        let answer = client.get(&address(&id, "file")).await;
        assert_eq!(answer.body.len(), content.len());
    }
    let grown = server.memory("VmHWM") - before;
    assert!(grown < 20, "{grown} MiB more");
}

/// A database that was copied with its uploads serves its own.
#[tokio::test]
async fn a_copied_database_serves_its_own_files() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.import("a.csv", CSV).await;
    client.finished(&id).await;
    server.kill();
    let copy = server.copied().await;
    fs::write(&uploads(server.folder())[0], "the original's").expect("it is written");
    let answer = client.at(&copy).get(&address(&id, "file")).await;
    assert_attached(&answer, "a.csv");
    assert_eq!(&answer.body[..], CSV);
}

//! Attacks, one for each test.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Ask, Client, SLOW, Server, liveops, soon, until};

/// Holds the database, so that nothing can be committed until it is dropped.
struct Held(Connection);

impl Held {
    fn of(server: &Server) -> Self {
        let connection = Connection::open(server.folder().join("liveops.db")).expect("the database");
        connection.busy_timeout(Duration::from_secs(30)).expect("a setting");
        connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        Self(connection)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}

/// Sends a form, hangs up once the server has read it, and returns once the server knows. It has read so many forms before: its log
/// may not say so yet.
async fn send_and_hang_up(server: &Server, form: &str, before: usize) {
    let said = |what: &str| server.said().matches(what).count();
    let over = || said("a connection broke") + said("a connection ended");
    let ended = over();
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(form.as_bytes()).await.expect("it is sent");
    until("the form", async || (said("a form was read") > before).then_some(())).await;
    drop(stream);
    until("the end of the connection", async || (over() > ended).then_some(())).await;
}

fn uploads(server: &Server) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(server.folder().join("liveops.db-uploads"));
    folder.map_or_else(|_| Vec::new(), |files| files.map(|file| file.expect("a file").path()).collect())
}

/// The head of a multipart post.
fn head(client: &Client, path: &str, length: usize) -> String {
    let length = format!("Content-Length: {length}");
    client.head(&format!("POST {path}"), &["Content-Type: multipart/form-data; boundary=edge", &length])
}

fn token_part(csrf: &str) -> String {
    format!("--edge\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\n{csrf}\r\n")
}

fn file_part(name: &str, content: &str) -> String {
    format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
    )
}

/// The first bytes of an answer to what was sent so far, the connection being held open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 200];
    let read = soon("an answer", stream.read(&mut bytes)).await.expect("a connection");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_sender_of_too_much_who_pauses_gets_its_answer() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let sent = head(&client, "/operations/new/csv_import", 900_000_000) + &token_part(&csrf) + "--edge\r\n";
    let mut stream = client.begin(&sent).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn the_head_of_a_part_is_not_gathered_without_end() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let begun = token_part(&csrf) + "--edge\r\nContent-Disposition: form-data; name=\"";
    // In the second one no token is to be found.
    for (start, status) in [(begun.as_str(), "400"), ("no boundary ever: ", "403")] {
        let sent = head(&client, "/operations/new/csv_import", 90_000_000) + start;
        let mut stream = client.begin(&sent).await;
        // More than a head ever has, and then silence: the answer must not wait for the rest.
        let _ = stream.write_all(&vec![b'x'; 3 * 1024 * 1024]).await;
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_second_file_of_a_field_is_not_kept() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let files: String = (0..20).map(|n| file_part(&format!("{n}.csv"), &format!("a,b\n{n},2\n"))).collect();
    let body = token_part(&csrf) + &files + "--edge--\r\n";
    let ask = Ask::post("/operations/new/csv_import")
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(body.into_bytes());
    let id = client.send(ask).await.started();
    assert_eq!(client.finished(&id).await.state, "succeeded");
    assert!(uploads(&server).len() <= 1, "{:?}", uploads(&server));
}

#[tokio::test]
async fn who_hangs_up_during_the_commit_leaves_the_upload_to_the_operation() {
    let server = Server::verbose(&[]).await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let rest = file_part("a.csv", "a,b\n1,2\n") + "--edge--\r\n";
    let body = token_part(&csrf) + &rest;
    let sent = head(&client, "/operations/new/csv_import", body.len()) + &body;
    let held = Held::of(&server);
    // Before it came the link's.
    send_and_hang_up(&server, &sent, 1).await;
    drop(held);
    let id = until("the operation", async || {
        let list = client.get("/operations").await.text();
        list.split_once("<tr id=\"op-").map(|(_, row)| row[..36].to_owned())
    })
    .await;
    let page = client.finished(&id).await;
    assert_eq!(page.state, "succeeded", "{}", page.text());
}

#[tokio::test]
async fn who_hangs_up_during_the_sign_out_is_signed_out_all_the_same() {
    let server = Server::verbose(&[]).await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let id = client.simulate(SLOW).await;
    let mut events = client.follow(&id).await;
    events.until(|event| event.name == "state" && event.data["state"] == "running").await;
    let body = token_part(&csrf) + "--edge--\r\n";
    let sent = head(&client, "/logout", body.len()) + &body;
    let held = Held::of(&server);
    // Before it came the link's and the operation's.
    send_and_hang_up(&server, &sent, 2).await;
    drop(held);
    let rest = soon("the stream's end", events.rest()).await;
    assert!(rest.iter().all(|event| event.name != "end"), "the operation goes on: {rest:?}");
    assert_eq!(client.get("/operations").await.status, 303);
}

#[tokio::test]
async fn a_panics_text_does_not_reach_the_terminal_as_it_is() {
    let server = Server::verbose(&[]).await;
    let client = server.demo_user().await;
    let message = "\u{1b}[31mred\u{9b}2J\nERROR forged";
    for outcome in ["panic", "fail"] {
        let id = client.simulate(&[("steps", "0"), ("message", message), ("outcome", outcome)]).await;
        assert_eq!(client.finished(&id).await.state, "failed");
    }
    until("the panic in the log", async || server.said().contains("a panic").then_some(())).await;
    let said = server.said();
    let control = said.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
    assert_eq!(control, None, "{said}");
    assert!(!said.contains("\nERROR forged"), "{said}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_wrong_passwords_at_once_take_little_memory() {
    let server = Server::start().await;
    let tries = (0..24).map(|n| {
        let client = Client::new(server.address);
        tokio::spawn(async move { client.log_in(&format!("nobody{n}"), "wrong").await.status })
    });
    for answer in tries.collect::<Vec<_>>() {
        assert_eq!(answer.await.expect("no panic"), 422);
    }
    let peak = server.memory("VmHWM");
    assert!(peak < 120, "{peak} MiB at most");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_of_long_lines_is_read_bit_by_bit() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let message = "x".repeat(60_000);
    let fields = [("steps", "1000"), ("delay_ms", "0"), ("log_every", "1"), ("message", message.as_str())];
    let id = client.simulate(&fields).await;
    client.finished(&id).await;
    let before = server.memory("VmHWM");
    let log = client.get(&format!("/operations/{id}/log")).await;
    assert_eq!(log.body.iter().filter(|byte| **byte == b'\n').count(), 1000);
    let grown = server.memory("VmHWM").saturating_sub(before);
    assert!(grown < 50, "{grown} MiB more");
}

/// Standard error that nobody reads any more, or that never was read: log lines are lost, and
/// nothing else.
#[tokio::test]
async fn a_log_that_cannot_be_written_harms_nobody() {
    for closed in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = liveops(folder.path())
            .args(["-vv", "demo", "--listen", "127.0.0.1:0", "--database"])
            .arg(folder.path().join("liveops.db"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut said = said.lines().map(|line| line.expect("text"));
        let address = said.find_map(|line| Some(line.strip_prefix("listening on http://")?.to_owned()));
        let client = Client::new(address.expect("an address").parse().expect("an address"));
        let link = said.find_map(|line| Some(line[line.find("/login/link/")?..].to_owned()));
        client.use_link(&link.expect("a link")).await;
        let unread = child.stderr.take().filter(|_| !closed);
        // Far more than a pipe holds.
        for outcome in ["panic", "ok", "fail"].into_iter().cycle().take(240) {
            client.simulate(&[("steps", "0"), ("outcome", outcome)]).await;
        }
        let id = client.simulate(&[("steps", "1"), ("delay_ms", "0")]).await;
        assert_eq!(client.finished(&id).await.state, "succeeded", "closed: {closed}");
        drop(unread);
        child.kill().expect("it still ran");
        child.wait().expect("it is gone");
    }
}

/// Whoever could open them could read hashes and uploads, or hold a dead process's lock.
#[cfg(unix)]
#[tokio::test]
async fn every_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start().await;
    let client = server.demo_user().await;
    let done = client.import("a.csv", b"a,b\n1,2\n").await;
    client.finished(&done).await;
    let running = client.simulate(SLOW).await;
    client.reaches(&running, "running").await;
    let mut folders = vec![server.folder().to_owned()];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let metadata = entry.metadata().expect("it is there");
            assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", entry.path().display());
            names.push(entry.file_name().to_string_lossy().into_owned());
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    for part in ["-wal", "-secret", "-uploads", "-worker-", "csv-import-"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part} in {names:?}");
    }
}

/// A title stands in each row of the list, and on pages that nobody may ever read.
#[tokio::test]
async fn a_title_is_short_whatever_was_typed() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let message = "&".repeat(65_536);
    let fields = [("steps", "0"), ("message", message.as_str()), ("outcome", "error")];
    for _ in 0..5 {
        let id = client.simulate(&fields).await;
        client.finished(&id).await;
    }
    let list = client.get("/operations").await;
    assert!(list.body.len() < 40_000, "{} bytes", list.body.len());
    assert!(list.text().contains("&amp;…"), "cut visibly");
}

/// A server whose starter went away goes on, and says its address to nobody.
#[tokio::test]
async fn a_closed_stdout_stops_no_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    drop(taken);
    let mut child = liveops(folder.path())
        .args(["demo", "--listen", &address.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    until("an answer", async || tokio::net::TcpStream::connect(address).await.ok()).await;
    assert_eq!(Client::new(address).get("/healthz").await.status, 200);
    child.kill().expect("it still ran");
    child.wait().expect("it is gone");
}

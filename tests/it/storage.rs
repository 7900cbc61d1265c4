//! What stores everything fails while the server runs, and what each request says then.

mod files;
mod refused;
mod sign_out;

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::check::check;
use crate::harness::{Answer, Ask, Client, Events, Server, until};
use crate::heavy::{log_of, numbered, total_lines};
use crate::start::csv;

/// What happens to the storage, and how it is undone.
struct Fault {
    does: fn(&Server) -> Option<Connection>,
    undone: fn(&Server, Option<Connection>),
    /// Whether what is stored can still be read.
    reading: bool,
    /// What the run comes to.
    run: &'static str,
    /// What the log says of it.
    logged: &'static str,
}

fn database(folder: &Path) -> PathBuf {
    folder.join("liveops.db")
}

fn aside(folder: &Path) -> PathBuf {
    folder.join("aside")
}

fn limit_files(server: &Server, bytes: &str) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &server.pid().to_string(), &format!("--fsize={bytes}:")]);
    assert!(command.status().expect("util-linux has prlimit").success());
}

/// To SQLite a file that may not grow is a full disk.
const FULL: Fault = Fault {
    does: |server| {
        limit_files(server, "4096");
        None
    },
    undone: |server, _| limit_files(server, "unlimited"),
    reading: true,
    run: "failed",
    logged: "the database cannot be written now",
};

const HELD: Fault = Fault {
    does: |server| {
        let other = Connection::open(database(server.folder())).expect("the database");
        other.busy_timeout(std::time::Duration::from_secs(10)).expect("a setting");
        other.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
        Some(other)
    },
    undone: |_, other| other.expect("it is held").execute_batch("ROLLBACK").expect("it is let go"),
    reading: true,
    run: "running",
    logged: "the database is held by another program",
};

const MOVED: Fault = Fault {
    does: |server| {
        fs::rename(database(server.folder()), aside(server.folder())).expect("it is there");
        None
    },
    undone: |server, _| fs::rename(aside(server.folder()), database(server.folder())).expect("ours"),
    reading: false,
    run: "failed",
    logged: "was moved, removed or replaced",
};

/// As by somebody who restores a backup without stopping the server.
const REPLACED: Fault = Fault {
    does: |server| {
        let (database, aside) = (database(server.folder()), aside(server.folder()));
        let copy = server.folder().join("copy");
        fs::copy(&database, &copy).expect("it is copied");
        fs::rename(&database, aside).expect("it is there");
        fs::rename(copy, &database).expect("ours");
        None
    },
    undone: |server, _| fs::rename(aside(server.folder()), database(server.folder())).expect("ours"),
    reading: false,
    run: "failed",
    logged: "was moved, removed or replaced",
};

const WITHOUT_LOG: Fault = Fault {
    does: |server| {
        let log = server.folder().join("liveops.db-wal");
        fs::rename(log, aside(server.folder())).expect("it is there");
        None
    },
    undone: |server, _| {
        fs::rename(aside(server.folder()), server.folder().join("liveops.db-wal")).expect("ours");
    },
    reading: false,
    run: "failed",
    logged: "was moved, removed or replaced",
};

const WITHOUT_SHARED_MEMORY: Fault = Fault {
    does: |server| {
        let index = server.folder().join("liveops.db-shm");
        fs::rename(index, aside(server.folder())).expect("it is there");
        None
    },
    undone: |server, _| {
        fs::rename(aside(server.folder()), server.folder().join("liveops.db-shm")).expect("ours");
    },
    reading: false,
    run: "failed",
    logged: "was moved, removed or replaced",
};

#[tokio::test]
async fn a_full_disk() {
    suffer(FULL).await;
}

#[tokio::test]
async fn a_database_that_another_program_holds() {
    suffer(HELD).await;
}

#[tokio::test]
async fn a_database_that_was_moved_away() {
    suffer(MOVED).await;
}

#[tokio::test]
async fn a_database_that_was_replaced() {
    suffer(REPLACED).await;
}

#[tokio::test]
async fn a_write_ahead_log_that_was_moved_away() {
    suffer(WITHOUT_LOG).await;
}

#[tokio::test]
async fn a_shared_memory_that_was_moved_away() {
    suffer(WITHOUT_SHARED_MEMORY).await;
}

/// Somebody at work as it happens, and afterwards.
struct Scene {
    server: Server,
    client: Client,
    done: String,
    running: String,
    csrf: String,
    visitor: Client,
    visit: String,
    stream: Events,
    token: String,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::start().await;
        let client = server.user("alice").await;
        let done = client.simulate(&[("steps", "3"), ("log_every", "1"), ("message", "row")]).await;
        assert_eq!(client.finished(&done).await.state, "succeeded");
        let fields = [("steps", "100000"), ("delay_ms", "50"), ("log_every", "1"), ("message", "row")];
        let running = client.simulate(&fields).await;
        let mut stream = client.follow(&running).await;
        stream.until(|event| event.html().contains("row #5<")).await;
        let token = client.page(&running).await.token.expect("it runs");
        let csrf = client.csrf().await;
        let visitor = Client::new(server.address);
        let visit = visitor.get("/login").await.csrf();
        Self { server, client, done, running, csrf, visitor, visit, stream, token }
    }

    async fn start(&self) -> Answer {
        let fields =
            [("csrf_token", self.csrf.as_str()), ("steps", "1"), ("delay_ms", "0"), ("log_every", "0")];
        let fields =
            [&fields[..], &[("message", "m"), ("outcome", "ok"), ("stages", "0"), ("chain", "0")]].concat();
        self.client.send(Ask::post("/operations/new/simulate").form(&fields)).await
    }

    async fn import(&self) -> Answer {
        let ask = Ask::post("/operations/new/csv_import");
        self.client.send(ask.multipart(&[("csrf_token", &self.csrf)], ("file", "a.csv", &csv(1000)))).await
    }

    async fn restart(&self) -> Answer {
        let path = format!("/operations/{}/restart", self.done);
        self.client.send(Ask::post(&path).form(&[("csrf_token", &self.csrf)])).await
    }

    async fn sign_in(&self) -> Answer {
        let fields =
            [("csrf_token", self.visit.as_str()), ("username", "alice"), ("password", "alice password")];
        self.visitor.send(Ask::post("/login").form(&fields)).await
    }

    /// A refusal that says what to do next, and nothing of what is inside.
    fn refused(&self, what: &str, answer: &Answer) {
        let text = answer.text();
        assert_eq!(answer.status, 503, "{what}: {text}");
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{what}");
        assert!(text.contains("Try again in a minute"), "{what}: {text}");
        let folder = self.server.folder().display().to_string();
        for inside in ["sqlite", "sql", "liveops.db", &folder, "disk", "panick"] {
            assert!(!text.to_lowercase().contains(inside), "{what} says {inside}: {text}");
        }
    }
}

async fn suffer(fault: Fault) {
    let mut scene = Scene::new().await;
    let held = (fault.does)(&scene.server);
    // A machine that stands still for a moment may be why it does not answer.
    let expected = if fault.reading { "cannot be written" } else { "does not answer" };
    until(&format!("it to be not ready: {expected}"), async || {
        let answer = scene.visitor.get("/readyz").await;
        (answer.status == 503 && answer.text() == format!("the database {expected}\n")).then_some(())
    })
    .await;
    assert_eq!(scene.visitor.get("/healthz").await.status, 200);
    assert_eq!(scene.visitor.get("/login").await.status, 200, "the form needs no database");

    let (start, import, restart, sign_in) =
        tokio::join!(scene.start(), scene.import(), scene.restart(), scene.sign_in());
    for (what, answer) in [("start", start), ("import", import), ("restart", restart), ("sign-in", sign_in)] {
        scene.refused(what, &answer);
    }
    let uploads = fs::read_dir(scene.server.folder().join("liveops.db-uploads"));
    assert_eq!(uploads.map_or(0, Iterator::count), 0, "what was refused leaves no file");
    let log = format!("/operations/{}/log", scene.done);
    for path in ["/", "/operations", &format!("/operations/{}", scene.done), &log] {
        let answer = scene.client.get(path).await;
        match fault.reading {
            true => assert_eq!(answer.status, 200, "{path}: {}", answer.text()),
            false => scene.refused(path, &answer),
        }
    }
    let stream = scene.client.open(Ask::get(&format!("/stream?token={}", scene.token))).await;
    assert_eq!(stream.status().as_u16(), if fault.reading { 200 } else { 503 }, "a new stream");
    drop(stream);
    if fault.run == "failed" {
        let rest = scene.stream.rest().await;
        let shown: String = rest.iter().map(|event| event.html().to_owned()).collect();
        assert!(shown.contains("The server could not save what this did"), "{shown}");
        assert_eq!(rest.last().expect("an end").data["state"], "failed");
    }
    if fault.run == "running" {
        // For longer than a full disk is waited for.
        until("a third commit that failed", async || {
            let said = scene.server.said();
            (said.matches("its page and log could not be stored").count() >= 3).then_some(())
        })
        .await;
    }
    (fault.undone)(&scene.server, held);
    until("it to be ready again", async || (scene.visitor.get("/readyz").await.status == 200).then_some(()))
        .await;
    if fault.run == "running" {
        scene.stream.until(|event| event.html().contains("row #")).await;
        assert_eq!(scene.client.command(&scene.running, "cancel").await.status, 303);
        assert_eq!(scene.stream.rest().await.last().expect("an end").data["state"], "cancelled");
    } else {
        // Its page says so from memory before.
        until("its stored end", async || {
            let database = Connection::open(database(scene.server.folder())).ok()?;
            let sql = "SELECT state FROM liveops_operations WHERE id = ?1";
            let state: String = database.query_row(sql, [&scene.running], |row| row.get(0)).ok()?;
            (state == fault.run).then_some(())
        })
        .await;
        assert_eq!(scene.client.page(&scene.running).await.state, fault.run);
    }
    // What was refused is not there, and the same is taken now.
    let list = scene.client.get("/operations").await.text();
    assert_eq!(list.matches("<tr id=\"op-").count(), 2, "{list}");
    let started = scene.start().await.started();
    assert_eq!(scene.client.finished(&started).await.state, "succeeded");
    let imported = scene.import().await.started();
    assert_eq!(scene.client.finished(&imported).await.state, "succeeded");
    assert_eq!(scene.sign_in().await.status, 303);
    // No line is there twice or missing, and the page counts them all.
    let lines = numbered(&log_of(&scene.client, &scene.running).await, "row");
    assert_eq!(lines, total_lines(&scene.client.page(&scene.running).await));
    let (said, code) = check(scene.server.folder(), &[]);
    assert_eq!(code, 0, "{said}");
    let said = scene.server.said();
    assert!(said.contains(fault.logged) && !said.contains("panicked"), "{said}");
    // And all of it is in the file.
    let server = scene.server.kill_and_restart().await;
    let client = scene.client.at(&server);
    for id in [&scene.done, &started, &imported] {
        assert_eq!(client.page(id).await.state, "succeeded");
    }
}

/// The commit of the ending waits for whoever holds the database, and is what the run came to.
#[tokio::test]
async fn an_ending_waits_for_a_database_that_is_held() {
    an_ending_waits(HELD).await;
}

/// The same of a disk that is full for a moment.
#[tokio::test]
async fn an_ending_waits_for_a_disk_that_is_full_for_a_moment() {
    an_ending_waits(FULL).await;
}

async fn an_ending_waits(fault: Fault) {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "100000"), ("delay_ms", "50"), ("log_every", "1")]).await;
    client.reaches(&id, "running").await;
    // It is asked to stop, as by another server, and cannot do so before the fault is there.
    server.stand_still().await;
    let database = Connection::open(database(server.folder())).expect("the database");
    let sql = "UPDATE liveops_operations SET state = 'cancelling' WHERE id = ?1 AND state = 'running'";
    assert_eq!(database.execute(sql, [&id]), Ok(1));
    let other = (fault.does)(&server);
    server.signal("-CONT");
    until("a commit that gave up", async || {
        server.said().contains("the ending could not be stored yet").then_some(())
    })
    .await;
    assert_eq!(client.page(&id).await.state, "cancelling", "nothing is shown before it is committed");
    (fault.undone)(&server, other);
    assert_eq!(client.finished(&id).await.state, "cancelled");
}

/// Damage is found when it is read, and no file can be trusted from then on: nothing is shown that is not there, and the
/// next start says what to do.
#[tokio::test]
async fn a_file_that_is_damaged_while_the_server_runs() {
    let scene = Scene::new().await;
    let database = database(scene.server.folder());
    // What was committed so far is to be in the file, and not in the log beside it.
    let other = Connection::open(&database).expect("the database");
    other.busy_timeout(std::time::Duration::from_secs(10)).expect("a setting");
    let sql = "PRAGMA wal_checkpoint(PASSIVE)";
    other.query_row(sql, [], |_| Ok(())).expect("it is moved");
    let whole = fs::metadata(&database).expect("a file").len();
    let mut file = fs::OpenOptions::new().write(true).open(&database).expect("ours");
    file.seek(SeekFrom::Start(4096)).expect("a place");
    file.write_all(&vec![0x5A; usize::try_from(whole - 4096).expect("small")]).expect("ours");
    drop(file);
    until("the log to say so", async || {
        scene.start().await;
        scene.client.get("/operations").await;
        let said = scene.server.said();
        ["malformed", "corrupt"].iter().any(|word| said.contains(word)).then_some(())
    })
    .await;
    let log = format!("/operations/{}/log", scene.done);
    for (what, answer) in [
        ("start", scene.start().await),
        ("import", scene.import().await),
        ("restart", scene.restart().await),
        ("sign-in", scene.sign_in().await),
        ("list", scene.client.get("/operations").await),
        ("log", scene.client.get(&log).await),
    ] {
        if ![200, 303].contains(&answer.status) {
            scene.refused(what, &answer);
        }
    }
    assert_eq!(scene.visitor.get("/healthz").await.status, 200);
    assert!(!scene.server.said().contains("panicked"), "{}", scene.server.said());
}

/// Where uploads cannot be stored, all else goes on.
#[tokio::test]
async fn a_folder_of_uploads_that_is_gone_or_is_none() {
    let scene = Scene::new().await;
    let folder = scene.server.folder().join("liveops.db-uploads");
    assert_eq!(scene.client.finished(&scene.import().await.started()).await.state, "succeeded");
    fs::remove_dir_all(&folder).expect("it was made");
    assert_eq!(scene.client.finished(&scene.import().await.started()).await.state, "succeeded");
    fs::rename(&folder, aside(scene.server.folder())).expect("it was made");
    fs::write(&folder, "no folder").expect("ours");
    scene.refused("import", &scene.import().await);
    let id = scene.start().await.started();
    assert_eq!(scene.client.finished(&id).await.state, "succeeded");
    // Also when it starts like that.
    let server = scene.server.kill_and_restart().await;
    let client = scene.client.at(&server);
    let answer = client.submit("csv_import", &[], Some(("a.csv", b"a,b\n1,2\n"))).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(fs::read(&folder).expect("a file"), b"no folder");
    fs::remove_file(&folder).expect("ours");
    assert_eq!(client.finished(&client.import("a.csv", b"a,b\n1,2\n").await).await.state, "succeeded");
}

//! `liveops backup`: whole, while servers run, and never over anything.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::harness::{Ask, Client, Server, finish, liveops, signal, until};
use crate::start::imports;

fn empty() -> TempDir {
    TempDir::with_prefix("liveops-test-").expect("a folder")
}

/// The command for the database in `folder`.
fn back_up(folder: &Path, file: &Path) -> Command {
    let mut command = liveops(folder);
    command.arg("backup").arg(file);
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

/// The one line on stderr of a backup that came to nothing.
fn refused(command: Command) -> String {
    let output = finish(command, "");
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(2), "{stdout}{stderr}");
    assert!(stdout.is_empty() && stderr.starts_with("liveops: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}

/// Every file below a folder with its bytes, and every folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().display().to_string();
        if entry.path().is_dir() {
            let inside = files(&entry.path());
            all.extend(inside.into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
            all.insert(name + "/", Vec::new());
        } else {
            all.insert(name, fs::read(entry.path()).expect("its bytes"));
        }
    }
    all
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_server_starts_from_a_backup_that_was_made_while_another_one_wrote() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let imported = client.import("a.csv", b"a,b\n1,2\n").await;
    client.finished(&imported).await;
    // It writes all the time, for a quarter of an hour.
    let row = "row".repeat(300);
    let fields = [("steps", "1000000"), ("delay_ms", "1"), ("log_every", "1"), ("message", &row)];
    let running = client.simulate(&fields).await;
    // What a stream says may come before it is stored.
    let log = format!("/operations/{running}/log");
    until("a line that is stored", async || (!client.get(&log).await.text().is_empty()).then_some(())).await;

    let mut copy = Server::start().await;
    copy.kill();
    fs::remove_dir_all(copy.folder()).expect("it is there");
    fs::create_dir(copy.folder()).expect("a folder");
    let file = copy.folder().join("liveops.db");
    let output = finish(back_up(server.folder(), &file), "");
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    for said in ["2 operations", "1 uploads", "liveops.db-secret"] {
        assert!(stdout.contains(said), "{said} in {stdout}");
    }
    let names: Vec<_> = files(copy.folder()).into_keys().collect();
    assert!(
        matches!(&names[..], [file, folder, upload] if file == "liveops.db"
            && folder == "liveops.db-uploads/" && upload.starts_with("liveops.db-uploads/")),
        "{names:?}"
    );
    let uploads = copy.folder().join("liveops.db-uploads");
    assert_eq!((mode(&file), mode(&uploads)), (0o600, 0o700));
    assert_eq!(client.page(&running).await.state, "running", "whoever writes goes on");

    let copy = copy.again().await;
    let old_session = client.at(&copy);
    assert_eq!(old_session.get("/operations").await.status, 303, "no session is restored");
    let there = copy.demo_user().await;
    assert_eq!(there.page(&running).await.state, "interrupted");
    let log = there.get(&log).await.text();
    assert!(!log.is_empty());
    for (line, n) in log.lines().zip(1..) {
        assert_eq!(line, format!("{row} #{n}"), "no hole, no half line");
    }
    // The original's uploads are not needed for it.
    drop(server);
    assert_eq!(there.command(&imported, "restart").await.status, 303);
    let page = there.finished(&imported).await;
    assert_eq!(page.state, "succeeded", "{}", page.text());
    assert_eq!(imports(copy.folder()).len(), 1);
}

/// Whoever has a copy in hand must not be able to sign in with what was printed on another terminal.
#[tokio::test]
async fn a_login_link_that_nobody_used_is_none_in_the_copy() {
    let server = Server::start().await;
    let mut copy = Server::start().await;
    copy.kill();
    fs::remove_dir_all(copy.folder()).expect("it is there");
    fs::create_dir(copy.folder()).expect("a folder");
    let file = copy.folder().join("liveops.db");
    let links = |file: &Path| -> i64 {
        let database = Connection::open(file).expect("a database");
        let sql = "SELECT count(*) FROM liveops_login_links";
        database.query_row(sql, [], |row| row.get(0)).expect("a number")
    };
    assert_eq!(links(&server.folder().join("liveops.db")), 1);
    let output = finish(back_up(server.folder(), &file), "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(links(&file), 0);
    let copy = copy.again().await;
    let client = Client::new(copy.address);
    let csrf = client.get("/login").await.csrf();
    let follow = |link: &str| Ask::post(link).form(&[("csrf_token", &csrf)]);
    assert_eq!(client.send(follow(&server.login_link)).await.status, 410);
    assert_eq!(client.cookie("liveops_session"), None);
    assert_eq!(client.send(follow(&copy.login_link)).await.status, 303, "its own link works");
}

#[tokio::test]
async fn nothing_is_ever_overwritten() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    client.finished(&client.import("a.csv", b"a,b\n1,2\n").await).await;
    server.kill();
    for taken in ["copy.db", "copy.db-uploads"] {
        let folder = empty();
        fs::write(folder.path().join(taken), "precious").expect("it is written");
        let line = refused(back_up(server.folder(), &folder.path().join("copy.db")));
        assert!(line.contains(&format!("{taken} is there already")), "{line}");
        assert_eq!(files(folder.path()), BTreeMap::from([(taken.to_owned(), b"precious".to_vec())]));
    }
    let folder = empty();
    std::os::unix::fs::symlink("nowhere", folder.path().join("copy.db")).expect("a link");
    refused(back_up(server.folder(), &folder.path().join("copy.db")));
    // A folder is not made.
    let line = refused(back_up(server.folder(), &folder.path().join("none/copy.db")));
    assert!(line.contains("there is no folder") && line.contains("none: make it, or choose"), "{line}");
    // Its own database is there too, also by another way.
    let before = files(server.folder());
    refused(back_up(server.folder(), &server.folder().join("liveops.db")));
    refused(back_up(server.folder(), Path::new("liveops.db")));
    // Nor under a name that SQLite would take for a part of it.
    for part in ["liveops.db-journal", "liveops.db-wal", "liveops.db-worker-x"] {
        if !server.folder().join(part).exists() {
            let line = refused(back_up(server.folder(), Path::new(part)));
            assert!(line.contains("a part of the database"), "{line}");
        }
    }
    assert!(files(server.folder()) == before, "its files changed");
}

/// Who only copies changes nothing, and leaves nothing where it came to nothing.
#[test]
fn what_is_no_database_of_ours_is_refused() {
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Make<'_>); 8] = [
        ("there is no file", &|_| {}),
        ("no tables of liveops", &|path| fs::write(path, "").expect("it is written")),
        ("it is a folder: name a file", &|path| fs::create_dir(path).expect("a folder")),
        ("not a database: restore", &|path| fs::write(path, "dear diary").expect("it is written")),
        ("not a database: restore", &|path| fs::write(path, [0xA5; 10_000]).expect("it is written")),
        ("schema version 99", &|path| {
            drop(liveops::store::Sqlite::open(path).expect("it opens"));
            let database = Connection::open(path).expect("it opens");
            database
                .execute("UPDATE liveops_meta SET value = 99 WHERE key = 'version'", [])
                .expect("another version");
        }),
        ("none that this program ever wrote: restore", &|path| {
            drop(liveops::store::Sqlite::open(path).expect("it opens"));
            let database = Connection::open(path).expect("it opens");
            let sql = "UPDATE liveops_meta SET value = -1 WHERE key = 'version'";
            database.execute(sql, []).expect("another version");
        }),
        ("its copy: restore it from an earlier one", &|path| {
            drop(liveops::store::Sqlite::open(path).expect("it opens"));
            let database = Connection::open(path).expect("it opens");
            let sql = "INSERT INTO liveops_users VALUES (?1, ?1, hex(zeroblob(500)), 0, NULL, 0)";
            for name in 0..300 {
                database.execute(sql, [name]).expect("a row");
            }
            drop(database);
            let mut bytes = fs::read(path).expect("its bytes");
            let at = bytes.len() - 8192;
            bytes[at..].fill(0x5A);
            fs::write(path, bytes).expect("it is written");
        }),
    ];
    for (expected, prepare) in cases {
        let (from, to) = (empty(), empty());
        prepare(&from.path().join("liveops.db"));
        let before = files(from.path());
        let line = refused(back_up(from.path(), &to.path().join("copy.db")));
        assert!(line.contains(expected), "{expected} in {line}");
        assert!(files(from.path()) == before, "{expected}: its files changed");
        assert!(files(to.path()).is_empty(), "{expected}: {:?}", files(to.path()).keys());
    }
}

/// The database of a folder, with so many MiB of a host's data that copying it takes a while.
fn large(folder: &Path) {
    let path = folder.join("liveops.db");
    drop(liveops::store::Sqlite::open(&path).expect("it opens"));
    let database = Connection::open(path).expect("it opens");
    database.execute_batch("CREATE TABLE large (data)").expect("a table");
    for _ in 0..300 {
        database.execute("INSERT INTO large VALUES (zeroblob(1048576))", []).expect("a row");
    }
}

/// A backup of a large database that stands still at its beginning. Where this machine did so, and the backup went on, another one
/// is begun.
async fn begun(from: &Path) -> (TempDir, Child) {
    until("a backup at its beginning", async || {
        let to = empty();
        let mut command = back_up(from, &to.path().join("copy.db"));
        let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
        let copied = || {
            let file = fs::read_dir(to.path()).expect("a folder").flatten().next()?;
            Some(file.metadata().ok()?.len())
        };
        while copied().is_none() && child.try_wait().expect("it is ours").is_none() {
            tokio::task::yield_now().await;
        }
        signal(&child, "-STOP");
        if copied().is_some_and(|bytes| bytes < 100 << 20) {
            return Some((to, child));
        }
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        None
    })
    .await
}

#[tokio::test]
async fn a_backup_that_is_stopped_leaves_nothing_under_its_name() {
    let from = empty();
    large(from.path());
    for (name, code, left) in [("-INT", Some(130), 0), ("-TERM", Some(130), 0), ("-KILL", None, 1)] {
        let (to, mut child) = begun(from.path()).await;
        signal(&child, name);
        signal(&child, "-CONT");
        let status = until("its end", async || child.try_wait().expect("it is ours")).await;
        assert_eq!(status.code(), code, "{name}");
        let names: Vec<_> = files(to.path()).into_keys().collect();
        let unfinished = names.iter().filter(|name| name.starts_with("copy.db-unfinished-"));
        assert_eq!((names.len(), unfinished.count()), (left, left), "{name}: {names:?}");
    }
}

#[tokio::test]
async fn an_upload_that_is_missing_is_told_and_no_other_file_is_taken_for_one() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.import("a.csv", b"a,b\n1,2\n").await;
    client.finished(&id).await;
    server.kill();
    let uploads = server.folder().join("liveops.db-uploads");
    fs::remove_dir_all(&uploads).expect("it is there");
    fs::create_dir(&uploads).expect("a folder");
    fs::write(server.folder().join("other"), "secret").expect("it is written");
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = "INSERT INTO liveops_uploads VALUES ('../other', ?1)";
    database.execute(sql, [&id]).expect("a hostile name");
    let to = empty();
    let output = finish(back_up(server.folder(), &to.path().join("copy.db")), "");
    let (_, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("uploads=2") && stderr.contains("cannot be run again"), "{stderr}");
    assert!(stderr.contains(&format!("../other of operation {id}, ")), "{stderr}");
    assert_eq!(files(to.path()).into_keys().collect::<Vec<_>>(), ["copy.db"]);
}

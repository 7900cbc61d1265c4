//! `liveops check`: tells what is wrong, and changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Client, Server, finish, liveops, until};

fn empty() -> TempDir {
    TempDir::with_prefix("liveops-test-").expect("a folder")
}

/// The lines that it prints and its exit code.
pub(crate) fn check(folder: &Path, settings: &[(&str, &str)]) -> (String, i32) {
    let mut command = liveops(folder);
    command.arg("check");
    for (name, value) in settings {
        command.env(format!("LIVEOPS_{}", name.to_uppercase()), value);
    }
    let output = finish(command, "");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for line in text.lines() {
        assert!(["ok ", "warning ", "error "].iter().any(|level| line.starts_with(level)), "{line}");
    }
    (text, output.status.code().expect("it ends by itself"))
}

/// Every file below a folder with its bytes, but for what readers share in memory, and a log that is empty: SQLite takes that away.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = crate::backup::files(folder);
    all.retain(|name, bytes| !(name.ends_with("-shm") || (bytes.is_empty() && name.ends_with("-wal"))));
    all
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).expect("a folder");
            fs::set_permissions(&to, Permissions::from_mode(0o700)).expect("ours");
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("it is copied");
        }
    }
}

/// The ids of an import, and of an operation whose log has several chunks.
async fn work(client: &Client) -> (String, String) {
    let imported = client.import("a.csv", b"a,b\n1,2\n").await;
    client.finished(&imported).await;
    let message = "x".repeat(60_000);
    let fields = [("steps", "8"), ("delay_ms", "0"), ("log_every", "1"), ("message", message.as_str())];
    let logged = client.simulate(&fields).await;
    client.finished(&logged).await;
    (imported, logged)
}

#[tokio::test]
async fn what_is_well_is_said_to_be_and_nothing_changes() {
    let mut server = Server::start().await;
    work(&server.demo_user().await).await;
    fs::write(server.folder().join("letter-unfinished-yet"), "Dear").expect("it is written");
    std::os::unix::fs::symlink("liveops.db", server.folder().join("link.db")).expect("a link");
    for running in [true, false] {
        let before = files(server.folder());
        for name in ["liveops.db", "link.db"] {
            let (said, code) = check(server.folder(), &[("database", name)]);
            assert!(code == 0 && said.lines().all(|line| line.starts_with("ok ")), "{code}: {said}");
            assert!(
                said.contains("2 operations") && said.contains(&format!("{} run", u8::from(running))),
                "{name}: {said}"
            );
        }
        assert!(files(server.folder()) == before, "its files changed: running {running}");
        if running {
            server.terminate().await;
        }
    }
}

/// What a killed server wrote last stands in the write-ahead log only.
#[tokio::test]
async fn the_log_of_a_killed_server_is_left_as_it_is_by_any_name() {
    let mut server = Server::start().await;
    work(&server.demo_user().await).await;
    server.kill();
    std::os::unix::fs::symlink("liveops.db", server.folder().join("link.db")).expect("a link");
    let before = files(server.folder());
    assert!(!before["liveops.db-wal"].is_empty());
    for name in ["liveops.db", "link.db"] {
        let (said, code) = check(server.folder(), &[("database", name)]);
        assert!(code == 0 && said.contains("2 operations"), "{name}: {code}: {said}");
        assert!(files(server.folder()) == before, "{name}: its files changed");
    }
}

#[tokio::test]
async fn a_fresh_backup_is_well() {
    let server = Server::start().await;
    work(&server.demo_user().await).await;
    let folder = empty();
    let mut command = liveops(server.folder());
    command.arg("backup").arg(folder.path().join("liveops.db"));
    assert!(finish(command, "").status.success());
    let (said, code) = check(folder.path(), &[("secret_key", "a key of more than thirty-two bytes")]);
    assert!(code == 0 && said.lines().all(|line| line.starts_with("ok ")), "{code}: {said}");
}

/// An upload on its way, an operation of which retention has removed a part, and one that writes all the time.
#[tokio::test]
async fn what_is_received_written_or_removed_at_the_time_is_no_damage() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (_, removed) = work(&client).await;
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    let sql = format!(
        "UPDATE liveops_operations SET owner = '' WHERE id = '{removed}';
         DELETE FROM liveops_log WHERE operation = '{removed}' AND first_seq = 1"
    );
    database.execute_batch(&sql).expect("as retention does");
    let row = "row".repeat(300);
    let fields = [("steps", "1000000"), ("delay_ms", "1"), ("log_every", "1"), ("message", &row)];
    let id = client.simulate(&fields).await;
    client.reaches(&id, "running").await;
    let uploads = server.folder().join("liveops.db-uploads");
    let before = files(&uploads).len();
    let mut upload = client.begin_import().await;
    until("half an upload", async || (files(&uploads).len() > before).then_some(())).await;
    for _ in 0..3 {
        client.import("a.csv", b"a,b\n1,2\n").await;
        let (said, code) = check(server.folder(), &[]);
        assert!(code == 0 && !said.contains("warning "), "{code}: {said}");
        // Whoever is silent for half a minute is not waited for.
        upload.write_all(b"\r\n1,2").await.expect("it is sent");
    }
    assert_eq!(client.page(&id).await.state, "running", "it was written to meanwhile");
    assert!(files(&uploads).len() > before + 3, "half an upload is there still");
}

type Harm<'a> = &'a dyn Fn(&Path);

/// What to do about an error.
const ADVICE: [&str; 5] = ["restore ", "run chmod ", "name a", "use the newer ", "let serve make it"];

#[tokio::test]
async fn each_damage_is_told() {
    let mut server = Server::start().await;
    let (imported, logged) = work(&server.demo_user().await).await;
    server.terminate().await;
    // All of it in one file, to be harmed there.
    let database = Connection::open(server.folder().join("liveops.db")).expect("the database");
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    // A page that is in use: what is in the middle of the file may be free.
    let root: u32 = database
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'liveops_log'", [], |row| row.get(0))
        .expect("a table");
    drop(database);
    let sql = |sql: String| {
        move |folder: &Path| {
            let database = Connection::open(folder.join("liveops.db")).expect("the database");
            database.execute_batch(&sql).expect(&sql);
        }
    };
    let of = |table: &str, id: &str, set: &str| sql(format!("UPDATE liveops_{table} SET {set} = '{id}'"));
    let input = of("operations", &imported, "input = '{' WHERE id");
    let ending = of("operations", &imported, "ending = '[]' WHERE id");
    let state = of("operations", &imported, "state = 'asleep' WHERE id");
    let runs = of("operations", &imported, "state = 'running', finished = NULL, ending = NULL WHERE id");
    let over = of("operations", &imported, "finished = NULL WHERE id");
    let page = of("projections", &imported, "projection = '{}' WHERE operation");
    let log = |what: &str| sql(what.replace("LOG", &format!("liveops_log WHERE operation = '{logged}'")));
    let hole = log("DELETE FROM LOG AND first_seq = (SELECT min(first_seq) FROM LOG AND first_seq > 1)");
    let tail = log("DELETE FROM LOG AND first_seq = (SELECT max(first_seq) FROM LOG)");
    let lines = of("log", &logged, "chunk = chunk || '1 info x\n' WHERE operation");
    let line = of("log", &logged, "chunk = 'x' || chunk WHERE operation");
    let loose = sql("PRAGMA foreign_keys = OFF; INSERT INTO liveops_uploads VALUES ('a', 'b')".to_owned());
    let newer = sql("UPDATE liveops_meta SET value = 99 WHERE key = 'version'".to_owned());
    let older = sql("UPDATE liveops_meta SET value = 1 WHERE key = 'version'".to_owned());
    let odd = sql("UPDATE liveops_meta SET value = 'x' WHERE key = 'version'".to_owned());
    let below = sql("UPDATE liveops_meta SET value = -1 WHERE key = 'version'".to_owned());
    let needs = |name: char| format!("INSERT INTO liveops_uploads VALUES ('{name}', '{imported}');");
    let several = sql("abcde".chars().map(needs).collect());
    let upload = |folder: &Path| {
        fs::remove_dir_all(folder.join("liveops.db-uploads")).expect("it is there");
    };
    let stray = |folder: &Path| {
        let uploads = folder.join("liveops.db-uploads");
        let entry = fs::read_dir(&uploads).expect("a folder").flatten().next().expect("an upload");
        let prefix = entry.file_name().display().to_string()[..17].to_owned();
        fs::write(uploads.join(prefix + &"a".repeat(43)), "half").expect("it is written");
    };
    let dead = |folder: &Path| {
        let name = "liveops.db-worker-00000000-0000-4000-8000-000000000000";
        fs::write(folder.join(name), "").expect("it is written");
    };
    let open = |folder: &Path| {
        fs::set_permissions(folder.join("liveops.db"), Permissions::from_mode(0o644)).expect("ours");
    };
    let secret = |folder: &Path| {
        fs::set_permissions(folder.join("liveops.db-secret"), Permissions::from_mode(0o644)).expect("ours");
    };
    let bytes = |folder: &Path| {
        let mut bytes = fs::read(folder.join("liveops.db")).expect("its bytes");
        let end = root as usize * 4096;
        bytes[end - 4096..end].fill(0x5A);
        fs::write(folder.join("liveops.db"), bytes).expect("it is written");
    };
    let older_bytes = |folder: &Path| {
        older(folder);
        bytes(folder);
    };
    let head = |folder: &Path| {
        let mut bytes = fs::read(folder.join("liveops.db")).expect("its bytes");
        bytes[..4096].fill(0x5A);
        fs::write(folder.join("liveops.db"), bytes).expect("it is written");
    };
    let cut = |folder: &Path| {
        let bytes = fs::read(folder.join("liveops.db")).expect("its bytes");
        fs::write(folder.join("liveops.db"), &bytes[..bytes.len() / 2]).expect("it is written");
    };
    let rubbish = |folder: &Path| fs::write(folder.join("liveops.db"), "dear diary").expect("it is written");
    let emptied = |folder: &Path| fs::write(folder.join("liveops.db"), "").expect("it is written");
    let inside = |folder: &Path| {
        fs::remove_file(folder.join("liveops.db")).expect("it is there");
        fs::create_dir(folder.join("liveops.db")).expect("a folder");
    };
    let gone = |folder: &Path| fs::remove_file(folder.join("liveops.db")).expect("it is there");
    let half = |folder: &Path| fs::write(folder.join("liveops.db-secret.abc"), "").expect("it is written");
    let left =
        |name: &'static str| move |folder: &Path| fs::write(folder.join(name), "").expect("it is written");
    let wal = left("liveops.db-wal.replaced");
    let shm = left("liveops.db-shm.replaced");
    let killed = left("copy.db-unfinished-0aZ123456789");
    let killed_uploads = |folder: &Path| {
        fs::create_dir(folder.join("copy.db-unfinished-0aZ123456789")).expect("a folder");
    };
    let needed_by = format!(" of operation {imported}");
    let cases: [(&str, &str, Harm<'_>); 33] = [
        ("error    database: operation ", "operation", &input),
        ("error    database: operation ", "operation", &ending),
        ("error    database: operation ", "asleep", &state),
        ("error    database: operation ", "running, but by no process", &runs),
        ("error    database: operation ", "succeeded, but not like one that is", &over),
        ("error    database: page of operation ", "missing field", &page),
        ("error    database: log of operation ", "should follow", &hole),
        ("error    database: page of operation ", "8 lines, its log has", &tail),
        ("error    database: log of operation ", "lines are called", &lines),
        ("error    database: log of operation ", "line 1 of a log is damaged", &line),
        ("error    database: liveops_uploads", "1 rows belong to nothing", &loose),
        ("error    database: ", "schema version 99", &newer),
        ("warning  database: ", "schema version 1: its records, pages, logs and uploads were not", &older),
        ("error    database: ", "is damaged: restore it from a backup", &older_bytes),
        ("error    database: ", "none that this program ever wrote: restore it from a backup", &odd),
        ("error    database: ", "none that this program ever wrote: restore it from a backup", &below),
        ("error    uploads: 1 that operations need are not in", &needed_by, &upload),
        ("error    uploads: 5 that operations need are not in", "and 2 more", &several),
        ("warning  uploads: 1 in ", "needed by no operation, 4 B", &stray),
        ("warning  processes: 1 died", "as interrupted, or runs it again", &dead),
        ("warning  files: ", "liveops.db is for other users too (644)", &open),
        ("error    secret_key: the file ", "other users can read it", &secret),
        ("warning  files: ", "liveops.db-wal.replaced was left by a server", &wal),
        ("warning  files: ", "liveops.db-shm.replaced was left by a server", &shm),
        ("warning  files: ", "copy.db-unfinished-0aZ123456789 was left by a backup", &killed),
        ("warning  files: ", "copy.db-unfinished-0aZ123456789 was left by a backup", &killed_uploads),
        ("error    database: ", "is damaged", &bytes),
        ("error    database: ", "malformed: restore it from a backup", &cut),
        ("error    database: ", "not a database: restore it from a backup", &head),
        ("error    database: ", "not a database: restore it from a backup", &rubbish),
        ("error    database: ", "no tables of liveops: name another file", &emptied),
        ("error    database: ", "it is a folder: name a file", &inside),
        ("error    database: there is no file", "", &gone),
    ];
    for (begin, part, harm) in
        cases.into_iter().chain([("warning  files: ", "left unfinished", &half as Harm<'_>)])
    {
        let folder = empty();
        copy(server.folder(), folder.path());
        harm(folder.path());
        let before = files(folder.path());
        let (said, code) = check(folder.path(), &[]);
        let told = said.lines().any(|line| line.starts_with(begin) && line.contains(part));
        assert!(told, "{begin}…{part} in {said}");
        let error = said.lines().rfind(|line| line.starts_with("error "));
        let advised = error.is_none_or(|line| ADVICE.iter().any(|advice| line.contains(advice)));
        assert!(advised, "{begin}…{part}: what is to be done? {said}");
        assert_eq!(code, i32::from(begin.starts_with("error")), "{begin}…{part}: {said}");
        assert!(files(folder.path()) == before, "{begin}…{part}: its files changed");
    }
}

#[test]
fn settings_are_looked_at_as_a_server_does() {
    let folder = empty();
    let (said, code) = check(folder.path(), &[]);
    assert!(code == 1 && said.contains("error    secret_key: not set: expected at least 32"), "{said}");
    drop(liveops::store::Sqlite::open(folder.path().join("liveops.db")).expect("it opens"));
    let key = "a key of more than thirty-two bytes";
    let (said, code) = check(folder.path(), &[("secret_key", key)]);
    assert!(code == 0 && said.contains("ok       secret_key: set") && !said.contains(key), "{said}");

    let templates = folder.path().join("templates");
    fs::create_dir(&templates).expect("a folder");
    fs::write(templates.join("base.html"), "{% if %}").expect("it is written");
    let settings = [("secret_key", key), ("templates", templates.to_str().expect("UTF-8"))];
    let (said, code) = check(folder.path(), &settings);
    assert!(code == 1 && said.contains("error    templates: ") && said.contains("base.html"), "{said}");
    assert!(!said.contains("templates: templates: "), "{said}");
    fs::write(templates.join("base.html"), "fine").expect("it is written");
    assert_eq!(check(folder.path(), &settings).1, 0);

    let file = folder.path().join("liveops.toml");
    fs::write(&file, format!("secret_key = '{key}'\n")).expect("it is written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
    assert_eq!(check(folder.path(), &[]).1, 0);
    let mut command = liveops(folder.path());
    command.args(["check", "--public-url", "ftp://x"]);
    let output = finish(command, "");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.stdout.is_empty() && stderr.contains("public_url") && stderr.lines().count() == 1,
        "{stderr}"
    );
}

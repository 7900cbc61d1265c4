//! What is particular to a SQLite file: what opens, what is refused and left alone, what happens
//! when it cannot be written, and how processes know each other.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use liveops::operation::{NewOperation, OperationId, State};
use liveops::store::{Filter, Sqlite, Store, StoreError};
use serde_json::json;

use super::Folder;
use super::operations::wanted;

/// Where a process that a test starts finds its database.
const DATABASE: &str = "LIVEOPS_TEST_STORE";

fn new(title: &str) -> NewOperation {
    NewOperation {
        id: OperationId::new(),
        kind: "work".to_owned(),
        owner: "ada".to_owned(),
        title: title.to_owned(),
        input: json!({}),
        previous: None,
        submission: None,
        uploads: Vec::new(),
        claimed: false,
    }
}

async fn create(store: &Sqlite) -> Result<OperationId, StoreError> {
    let new = new("Work");
    store.create(new, None, Timestamp::now()).await
}

async fn claim(store: &Sqlite) -> OperationId {
    let claimed = store.claim(&wanted(&["work"]), Timestamp::now()).await;
    claimed.expect("the queue").expect("one waits").id
}

/// Every file of the folder with its bytes.
fn bytes(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder.0.path()).expect("the folder");
    let files = files.map(|file| file.expect("a file"));
    files
        .map(|file| (file.file_name().display().to_string(), std::fs::read(file.path()).expect("its bytes")))
        .collect()
}

fn direct(folder: &Folder) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.database()).expect("a connection")
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    drop(Sqlite::open(folder.database()).expect("opens"));
    direct(&folder).execute("UPDATE liveops_meta SET value = 99", []).expect("a newer version");
    let before = bytes(&folder);
    let error = Sqlite::open(folder.database()).expect_err("it is newer");
    assert!(matches!(error, StoreError::Newer { found: 99, known: 7 }), "{error:?}");
    assert!(bytes(&folder) == before, "its bytes changed");
}

#[tokio::test]
async fn a_newer_schema_is_left_as_it_is_with_the_log_of_a_process_that_died() {
    let folder = Folder::new();
    drop(Sqlite::open(folder.database()).expect("opens"));
    let newer = direct(&folder);
    newer.execute("UPDATE liveops_meta SET value = 99", []).expect("a newer version");
    // As after a crash: the change is in the write-ahead log only, and nobody has the file open.
    let copy = Folder::new();
    for name in ["liveops.db", "liveops.db-wal"] {
        std::fs::copy(folder.0.path().join(name), copy.0.path().join(name)).expect("copied");
    }
    let mut before = bytes(&copy);
    let error = Sqlite::open(copy.database()).expect_err("it is newer");
    assert!(matches!(error, StoreError::Newer { found: 99, known: 7 }), "{error:?}");
    let mut after = bytes(&copy);
    for files in [&mut before, &mut after] {
        files.remove("liveops.db-shm");
    }
    assert!(after == before, "its bytes changed");
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let rubbish: [&[u8]; 5] = [b"x", b"dear diary\n", &[0; 511], &[b' '; 512], &[0xA5; 10_000]];
    for content in rubbish {
        let folder = Folder::new();
        std::fs::write(folder.database(), content).expect("written");
        let error = Sqlite::open(folder.database()).expect_err("it is no database").to_string();
        assert!(error.contains("liveops.db") && error.contains("not a database"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(bytes(&folder).into_values().collect::<Vec<_>>(), [content]);
    }
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    for _ in 0..100 {
        create(&store).await.expect("created");
    }
    drop(store);
    let whole = std::fs::read(folder.database()).expect("its bytes");
    let mut damaged = whole.clone();
    damaged[8192..].fill(0x5A);
    let cut = whole[..whole.len() / 2].to_vec();
    for content in [damaged, cut] {
        std::fs::write(folder.database(), &content).expect("written");
        let error = Sqlite::open(folder.database()).expect_err("it is damaged").to_string();
        assert!(error.contains("corrupt") || error.contains("malformed"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert!(bytes(&folder).into_values().eq([content]), "its bytes changed");
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_named() {
    let folder = Folder::new();
    for path in [folder.0.path().join("missing/liveops.db"), folder.0.path().to_owned()] {
        let error = Sqlite::open(&path).expect_err("it can't be opened").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn the_hosts_own_tables_stay() {
    let folder = Folder::new();
    let host = direct(&folder);
    host.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (7); PRAGMA user_version = 42")
        .expect("its tables");
    let store = Sqlite::open(folder.database()).expect("opens");
    create(&store).await.expect("created");
    host.execute("INSERT INTO t VALUES (8)", []).expect("the host writes");
    let sum =
        host.query_row("SELECT sum(n) + (SELECT user_version FROM pragma_user_version) FROM t", [], |row| {
            row.get::<_, i64>(0)
        });
    assert_eq!(sum, Ok(57));
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'liveops\\_%' ESCAPE '\\'
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    assert_eq!(host.query_row(sql, [], |row| row.get::<_, i64>(0)), Ok(1));
}

#[tokio::test]
async fn many_open_a_new_file_at_once() {
    let folder = Folder::new();
    let open = || {
        std::thread::spawn({
            let path = folder.database();
            move || Sqlite::open(path)
        })
    };
    let opened: Vec<_> = (0..8).map(|_| open()).collect();
    for thread in opened {
        thread.join().expect("no panic").expect("opens");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    create(&store).await.expect("created");
    for file in std::fs::read_dir(folder.0.path()).expect("the folder") {
        let file = file.expect("a file");
        let mode = file.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn while_another_holds_the_file_writes_fail_for_the_time_being() {
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    let id = create(&store).await.expect("created");
    let host = direct(&folder);
    host.execute_batch("BEGIN IMMEDIATE").expect("the host writes");
    let refused = create(&store).await;
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    assert!(store.record(id).await.expect("reading goes on").is_some());
    host.execute_batch("ROLLBACK").expect("the host is done");
    create(&store).await.expect("writing goes on");
}

#[tokio::test]
async fn dropping_the_last_handle_tidies_up() {
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    create(&store).await.expect("created");
    claim(&store).await;
    let clone = store.clone();
    drop(store);
    create(&clone).await.expect("a clone is the same store");
    assert!(bytes(&folder).keys().any(|name| name.starts_with("liveops.db-worker-")));
    drop(clone);
    assert_eq!(bytes(&folder).keys().collect::<Vec<_>>(), ["liveops.db"]);
}

/// Runs one of the ignored tests below in a process of its own.
fn process(name: &str, database: &Path, shell: &str) -> Child {
    let test = std::env::current_exe().expect("this test");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$0\" \"$@\"")]).arg(test);
    command.args(["--ignored", "--exact", "--nocapture", name]);
    command.env(DATABASE, database).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("a process")
}

/// The rest of the first line of the process's output that begins with `word`.
fn said(process: &mut Child, word: &str) -> Option<String> {
    let lines = BufReader::new(process.stdout.as_mut().expect("its output")).lines();
    lines.map_while(Result::ok).find_map(|line| Some(line.split_once(word)?.1.to_owned()))
}

#[tokio::test]
async fn a_killed_process_leaves_orphans_a_living_one_does_not() {
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    let mut other = process("file::process_that_claims", &folder.database(), "");
    let id = said(&mut other, "claimed ").expect("it claims");
    assert!(store.orphans().await.expect("the store").is_empty(), "it lives");
    other.kill().expect("killed");
    other.wait().expect("dead");
    let worker_files = || bytes(&folder).keys().filter(|name| name.contains("-worker-")).count();
    assert_eq!(worker_files(), 1, "a killed process removes nothing");
    for first in [true, false] {
        let orphans = store.orphans().await.expect("the store");
        assert_eq!(orphans.len(), 1);
        assert_eq!(orphans[0].record.id.to_string(), id);
        assert_eq!(orphans[0].record.state, State::Running);
        assert_eq!(worker_files(), 0, "whoever finds the file removes it");
        assert_eq!(orphans[0].seen.is_some(), first, "and knows when it was touched last");
        assert!(orphans[0].seen.is_none_or(|seen| seen <= Timestamp::now()));
    }
}

#[tokio::test]
#[ignore = "other tests run it in a process of its own"]
async fn process_that_claims() {
    let Some(database) = std::env::var_os(DATABASE) else { return };
    let store = Sqlite::open(database).expect("opens");
    create(&store).await.expect("created");
    println!("\nclaimed {}", claim(&store).await);
    // Until it is killed, or its parent has ended.
    let _ = std::io::stdin().lines().next();
}

#[tokio::test]
async fn a_living_process_whose_file_was_removed_makes_it_anew_before_it_claims() {
    let folder = Folder::new();
    let (store, other) = (Sqlite::open(folder.database()), Sqlite::open(folder.database()));
    let (store, other) = (store.expect("opens"), other.expect("opens"));
    create(&store).await.expect("created");
    claim(&store).await;
    let name = bytes(&folder).into_keys().find(|name| name.contains("-worker-")).expect("its file");
    std::fs::remove_file(folder.0.path().join(name)).expect("removed");
    assert_eq!(other.orphans().await.expect("the store").len(), 1, "nothing says that it lives");
    create(&store).await.expect("created");
    claim(&store).await;
    assert!(other.orphans().await.expect("the store").is_empty());
}

#[tokio::test]
async fn files_of_dead_processes_are_removed_and_others_stay() {
    let folder = Folder::new();
    let beside = |name: &str| folder.0.path().join(format!("liveops.db-worker-{name}"));
    let dead = beside("67e55044-10b1-426f-9247-bb680e5fe0c8");
    let living = beside("67e55044-10b1-426f-9247-bb680e5fe0c9");
    for path in [&dead, &living, &beside("notes")] {
        std::fs::write(path, "").expect("written");
    }
    let held = std::fs::File::open(&living).expect("a file");
    held.lock().expect("locked");
    let store = Sqlite::open(folder.database()).expect("opens");
    create(&store).await.expect("created");
    claim(&store).await;
    assert!(!dead.exists() && living.exists() && beside("notes").exists());
}

/// The shell limits the size of files, which to SQLite is a disk that takes no more.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_answered_and_keeps_nothing_else() {
    let folder = Folder::new();
    drop(Sqlite::open(folder.database()).expect("opens"));
    let shell = "trap '' XFSZ; ulimit -f 1000;";
    let mut other = process("file::process_that_fills_its_disk", &folder.database(), shell);
    let answered = said(&mut other, "answered ").expect("it fills its disk");
    assert!(other.wait().expect("its end").success());
    let store = Sqlite::open(folder.database()).expect("opens");
    let list = store.list("ada", &Filter::default(), 1, 10_000).await.expect("the list");
    assert_eq!(list.records.len().to_string(), answered);
    create(&store).await.expect("there is room again");
}

#[tokio::test]
#[ignore = "other tests run it in a process of its own"]
async fn process_that_fills_its_disk() {
    let Some(database) = std::env::var_os(DATABASE) else { return };
    let store = Sqlite::open(database).expect("opens");
    let mut answered = Vec::new();
    let error = loop {
        let new = new(&"x".repeat(20_000));
        let id = new.id;
        match store.create(new, None, Timestamp::now()).await {
            Ok(_) => answered.push(id),
            Err(error) => break error,
        }
        assert!(answered.len() < 1000, "the disk is never full");
    };
    assert!(matches!(error, StoreError::Unwritable(_)), "{error:?}");
    for id in &answered {
        assert!(store.record(*id).await.expect("reading goes on").is_some());
    }
    println!("\nanswered {}", answered.len());
}

#[tokio::test]
async fn one_operation_that_cannot_be_read_holds_up_no_other() {
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    let (odd, next) = (create(&store).await.expect("created"), create(&store).await.expect("created"));
    let deep = "[".repeat(200) + &"]".repeat(200);
    let spoil = "UPDATE liveops_operations SET input = ?1 WHERE id = ?2";
    direct(&folder).execute(spoil, [&deep, &odd.to_string()]).expect("spoilt");
    // It is claimed without its input, which its run cannot do with.
    let claimed =
        store.claim(&wanted(&["work"]), Timestamp::now()).await.expect("the queue").expect("one waits");
    assert_eq!((claimed.id, claimed.input), (odd, serde_json::Value::Null));
    assert_eq!(claim(&store).await, next);
    let spoil = "UPDATE liveops_operations SET state = 'failed', ending = '{', worker = NULL WHERE id = ?1";
    direct(&folder).execute(spoil, [odd.to_string()]).expect("spoilt");
    let listed = store.list("ada", &Filter::default(), 1, 10).await.expect("the list");
    assert_eq!(listed.records.len(), 2);
    let ending = store.record(odd).await.expect("the store").expect("there").ending.expect("it is over");
    assert_eq!(ending.state, State::Failed);
}

#[tokio::test]
async fn the_space_of_what_was_removed_is_used_again() {
    let folder = Folder::new();
    let store = Sqlite::open(folder.database()).expect("opens");
    let mut pages = Vec::new();
    for _ in 0..4 {
        for _ in 0..100 {
            let new = new(&"x".repeat(20_000));
            store.create(new.clone(), None, Timestamp::UNIX_EPOCH).await.expect("created");
            store.cancel(new.id, Timestamp::UNIX_EPOCH).await.expect("cancelled");
        }
        while store.remove_ended(Timestamp::now(), 20).await.expect("removed").more {}
        let count = direct(&folder).query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0));
        pages.push(count.expect("a count"));
    }
    assert!(pages[0] > 400 && pages[3] < pages[0] + 20, "{pages:?}");
}

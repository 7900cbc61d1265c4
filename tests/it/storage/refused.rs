//! What stops a start, and stays as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rusqlite::Connection;

use crate::harness::{PATIENCE, Server, liveops, until};

/// Whom files of others are closed to: the superuser is closed to none.
const NOBODY: u32 = 65534;

/// A folder with the database of a server that was stopped.
async fn stopped() -> Server {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    for _ in 0..3 {
        let id = client.simulate(&[("steps", "3"), ("log_every", "1")]).await;
        client.finished(&id).await;
    }
    assert!(server.terminate().await.0.success());
    server
}

/// Every file with its bytes. The index of the write-ahead log is made anew at each opening, and an empty log is none.
fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let files = entries.filter(|path| path.is_file() && !path.to_string_lossy().ends_with("-shm"));
    let files = files.map(|path| (path.clone(), fs::read(path).expect("its bytes")));
    files.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// Starts the server and expects that it does not: exit 2, one line on stderr, which is returned, and no
/// file changed.
async fn refused(mut command: Command, folder: &Path) -> String {
    let before = bytes(folder);
    command.args(["demo", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let begin = Instant::now();
    // One that starts after all is ended, and not waited for.
    until("its end", async || {
        if begin.elapsed() > PATIENCE / 2 {
            child.kill().expect("ours");
        }
        child.try_wait().expect("ours")
    })
    .await;
    let output = child.wait_with_output().expect("it has ended");
    let line = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(line.starts_with("liveops: ") && line.ends_with('\n') && line.lines().count() == 1, "{line}");
    assert!(output.stdout.is_empty(), "it said that it is there");
    assert!(bytes(folder) == before, "its bytes changed: {line}");
    line
}

fn direct(folder: &Path) -> Connection {
    Connection::open(folder.join("liveops.db")).expect("the database")
}

#[tokio::test]
async fn a_version_that_no_program_of_ours_wrote() {
    let server = stopped().await;
    let folder = server.folder();
    for (version, expected) in [
        ("99", "schema version 99, this program knows"),
        ("-1", "restore it from a backup"),
        ("0", "restore it from a backup"),
        ("'five'", "restore it from a backup"),
        ("2.5", "restore it from a backup"),
        ("x'0005'", "restore it from a backup"),
    ] {
        let sql = format!("UPDATE liveops_meta SET value = {version} WHERE key = 'version'");
        direct(folder).execute_batch(&sql).expect("another version");
        let line = refused(liveops(folder), folder).await;
        assert!(line.contains(expected) && line.contains("version"), "{version}: {line}");
    }
    direct(folder).execute_batch("DELETE FROM liveops_meta WHERE key = 'version'").expect("none");
    let line = refused(liveops(folder), folder).await;
    assert!(line.contains("restore it from a backup"), "{line}");
}

/// SQLite would delete the log of a file that is empty, and what was committed to it.
#[tokio::test]
async fn a_log_whose_file_is_missing_or_empty() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "3"), ("log_every", "1")]).await;
    client.finished(&id).await;
    server.kill();
    let (folder, file) = (server.folder(), server.folder().join("liveops.db"));
    let aside = folder.join("aside");
    fs::rename(&file, &aside).expect("ours");
    for empty in [false, true] {
        if empty {
            fs::write(&file, "").expect("ours");
        }
        let line = refused(liveops(folder), folder).await;
        assert!(
            line.contains("liveops.db") && line.contains("-wal") && line.contains("put it back"),
            "{line}"
        );
    }
    fs::rename(&aside, &file).expect("ours");
    let server = server.again().await;
    assert_eq!(client.at(&server).page(&id).await.state, "succeeded", "nothing was lost");
}

#[tokio::test]
async fn a_damaged_file() {
    let server = stopped().await;
    let folder = server.folder();
    let database = folder.join("liveops.db");
    let whole = fs::read(&database).expect("its bytes");
    let middle = whole.len() / 2 / 4096 * 4096;
    let damaged = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0x5A);
        bytes
    };
    for (what, bytes) in [
        ("the header", damaged(0, 100)),
        ("the first page", damaged(100, 4096)),
        ("a page in the middle", damaged(middle, middle + 4096)),
        ("the second half", damaged(middle, whole.len())),
        ("cut off", whole[..middle].to_vec()),
        ("cut within a page", whole[..middle + 100].to_vec()),
    ] {
        fs::write(&database, bytes).expect("ours");
        let line = refused(liveops(folder), folder).await;
        let says = ["not a database", "corrupt", "malformed"].iter().any(|word| line.contains(word));
        assert!(says && line.contains("liveops.db"), "{what}: {line}");
    }
    fs::write(&database, whole).expect("ours");
    server.again().await;
}

/// What a crash in the middle of a write leaves behind the last commit.
#[tokio::test]
async fn rubbish_at_the_end_of_the_write_ahead_log_is_passed_over() {
    let mut server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "3"), ("log_every", "1")]).await;
    client.finished(&id).await;
    server.kill();
    let log = server.folder().join("liveops.db-wal");
    let mut bytes = fs::read(&log).expect("its bytes");
    bytes.extend([0xA5; 10_000]);
    fs::write(&log, bytes).expect("ours");
    let server = server.again().await;
    assert_eq!(client.at(&server).page(&id).await.state, "succeeded");
}

/// The server as somebody to whom what is not everybody's is closed.
fn as_nobody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LIVEOPS_DATABASE", folder.join("liveops.db")).current_dir(folder);
    command.env("LIVEOPS_SECRET_KEY", "a secret of more than thirty-two bytes");
    if is_roots(folder) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Whether root runs the tests, whom no mode keeps out.
fn is_roots(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|folder| std::os::unix::fs::MetadataExt::uid(&folder) == 0)
}

#[tokio::test]
async fn a_file_or_a_folder_that_may_not_be_written() {
    let server = stopped().await;
    let folder = server.folder();
    let elsewhere = tempfile::tempdir().expect("a folder");
    // Where it was built may be closed to others.
    let program = elsewhere.path().join("liveops");
    fs::copy(env!("CARGO_BIN_EXE_liveops"), &program).expect("it is copied");
    let others = is_roots(folder);
    let mode = |path: &Path, mode: u32| {
        // Who isn't root runs the server as themselves, and may then do what others may.
        let mode = if others { mode } else { (mode & 7) << 6 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    mode(elsewhere.path(), 0o755);
    for (of_folder, of_file) in [(0o755, 0o644), (0o777, 0o444), (0o777, 0o000), (0o755, 0o666)] {
        mode(folder, of_folder);
        mode(&folder.join("liveops.db"), of_file);
        let line = refused(as_nobody(&program, folder), folder).await;
        let says =
            line.contains("liveops.db") && line.contains("has to be able to write the file and its folder");
        assert!(says, "{of_folder:o} {of_file:o}: {line}");
    }
    mode(folder, 0o777);
}

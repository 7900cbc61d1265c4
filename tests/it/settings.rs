//! Settings from a file, the environment and flags, and what stops a start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::{Ask, Client, Server, finish, liveops, text_of};

const KEY: &str = "a secret of more than thirty-two bytes";

fn folder() -> TempDir {
    TempDir::with_prefix("liveops-test-").expect("a folder")
}

/// A command that must not start: exit 2, nothing on stdout, one line on stderr, which is returned.
fn refused(command: Command) -> String {
    let output = finish(command, "");
    let line = error_line(&output);
    assert_eq!(output.status.code(), Some(2), "{line}");
    line
}

fn error_line(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{output:?}");
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    let line = stderr.strip_suffix('\n').expect("a line");
    assert!(line.starts_with("liveops: ") && !line.contains('\n'), "{stderr}");
    line.to_owned()
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = liveops(folder);
    command.args(words);
    command
}

#[test]
fn a_bad_value_stops_every_command_wherever_it_stands() {
    let folder = folder();
    for words in
        [&["demo"][..], &["serve"], &["user", "add", "x", "--password-stdin"], &["token", "x", "--user", "y"]]
    {
        let mut in_environment = command(folder.path(), words);
        in_environment.env("LIVEOPS_THROTTLE_HZ", "fast");
        let line = refused(in_environment);
        for part in ["throttle_hz", "fast", "a number from 0.1 to 1000"] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    let line = refused(command(folder.path(), &["demo", "--throttle-hz", "-5"]));
    assert!(line.contains("throttle_hz") && line.contains("-5"), "{line}");
    fs::write(folder.path().join("other.toml"), "workers = 'many'\n").expect("it is written");
    let line = refused(command(folder.path(), &["demo", "--config", "other.toml"]));
    assert!(line.contains("workers") && line.contains("many") && line.contains("other.toml"), "{line}");
    assert!(!folder.path().join("liveops.db").exists(), "nothing was begun");
}

#[test]
fn an_unknown_setting_stops_the_start() {
    let folder = folder();
    let line = refused(command(folder.path(), &["demo", "--lisen", "127.0.0.1:0"]));
    assert!(line.contains("--lisen") && line.contains("--listen"), "{line}");
    let mut in_environment = command(folder.path(), &["demo"]);
    in_environment.env("LIVEOPS_LISEN", "127.0.0.1:0");
    let line = refused(in_environment);
    assert!(line.contains("LIVEOPS_LISEN") && line.contains("LIVEOPS_LISTEN"), "{line}");
    fs::write(folder.path().join("liveops.toml"), "lisen = '127.0.0.1:0'\n").expect("it is written");
    let line = refused(command(folder.path(), &["demo"]));
    assert!(line.contains("lisen") && line.contains("did you mean listen?"), "{line}");
}

#[test]
fn a_file_that_cannot_be_read_stops_the_start() {
    let folder = folder();
    let file = folder.path().join("liveops.toml");
    let line = refused(command(folder.path(), &["demo", "--config", "missing.toml"]));
    assert!(line.contains("missing.toml"), "{line}");
    let line = refused(command(folder.path(), &["demo", "--config", "."]));
    assert!(line.contains("no file"), "{line}");
    fs::write(&file, "listen = '127.0.0.1:0'\nworkers =\n").expect("it is written");
    let line = refused(command(folder.path(), &["demo"]));
    assert!(line.contains("liveops.toml") && line.contains("line 2"), "{line}");
    fs::write(&file, b"listen = '\xff'\n").expect("it is written");
    let line = refused(command(folder.path(), &["demo"]));
    assert!(line.contains("liveops.toml") && line.contains("UTF-8"), "{line}");
}

#[test]
fn what_else_stops_a_start_is_one_line_too() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let line = refused(command(folder.path(), &["demo", "--listen", &address]));
    assert!(line.contains("listen") && line.contains(&address), "{line}");
    fs::write(folder.path().join("text.db"), "This is a text and no database.\n".repeat(500))
        .expect("it is written");
    let line = refused(command(folder.path(), &["demo", "--database", "text.db"]));
    assert!(line.contains("text.db"), "{line}");
    let line = refused(command(folder.path(), &["demo", "--database", "missing/liveops.db"]));
    assert!(line.contains("missing"), "{line}");
    let line = refused(command(folder.path(), &["frobnicate"]));
    assert!(line.contains("frobnicate"), "{line}");
    let line = refused(command(folder.path(), &["token"]));
    assert!(line.contains("--user"), "{line}");
}

#[test]
fn serve_wants_a_secret_key_and_never_shows_one() {
    let folder = folder();
    let line = refused(command(folder.path(), &["serve"]));
    assert!(line.contains("secret_key") && line.contains("32"), "{line}");
    let mut short = command(folder.path(), &["serve"]);
    short.env("LIVEOPS_SECRET_KEY", "hunter2");
    let line = refused(short);
    assert!(line.contains("secret_key") && line.contains("32") && !line.contains("hunter2"), "{line}");
    assert!(!folder.path().join("liveops.db").exists(), "nothing was begun");
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = folder();
    for (words, expected) in [
        (&["--help"][..], "serve"),
        (&["demo", "--help"], "--shutdown-grace-seconds"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = finish(command(folder.path(), words), "");
        assert_eq!(output.status.code(), Some(0));
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(expected) && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    assert_eq!(finish(command(folder.path(), &[]), "").status.code(), Some(2));
}

#[tokio::test]
async fn serve_has_users_and_says_that_there_is_no_kind() {
    let server = Server::serve(&[("secret_key", KEY)]).await;
    let client = server.user("alice").await;
    let page = client.get("/").await;
    assert_eq!(page.status, 200);
    assert!(text_of(&page.text()).contains("nothing that you may start"), "{}", page.text());
    assert_eq!(client.get("/operations/new/simulate").await.status, 404);
    assert!(!server.said().contains("/login/link/"), "{}", server.said());
    assert!(server.said().contains("listening on http://127.0.0.1:"), "{}", server.said());
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = folder();
    fs::write(folder.path().join("liveops.toml"), "listen = '127.0.0.1:1'\nmetrics_listen = '127.0.0.1:x'\n")
        .expect("it is written");
    // The file's mistake counts until something stronger is set.
    let line = refused(command(folder.path(), &["demo"]));
    assert!(line.contains("metrics_listen") && line.contains("127.0.0.1:x"), "{line}");
    let mut stronger = command(folder.path(), &["demo"]);
    stronger.env("LIVEOPS_METRICS_LISTEN", "127.0.0.1:y");
    assert!(refused(stronger).contains("127.0.0.1:y"));
    let mut strongest = command(folder.path(), &["demo", "--metrics-listen", "127.0.0.1:z"]);
    strongest.env("LIVEOPS_METRICS_LISTEN", "127.0.0.1:y");
    assert!(refused(strongest).contains("127.0.0.1:z"));
}

#[tokio::test]
async fn the_secret_that_demo_makes_is_its_owners_only() {
    let mut server = Server::start().await;
    let file = server.folder().join("liveops.db-secret");
    let mode = fs::metadata(&file).expect("it is made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let made = fs::read_to_string(&file).expect("ours");
    server.kill();
    let server = server.again().await;
    assert_eq!(fs::read_to_string(&file).expect("ours"), made, "the next start uses the same");
    // Whoever has to read it refuses one that others can read, or write.
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "0")]).await;
    for mode in [0o640, 0o604, 0o644, 0o660, 0o602, 0o777] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("ours");
        for words in [&["demo", "--listen", "127.0.0.1:0"][..], &["token", &id, "--user", "demo"]] {
            let line = refused(command(server.folder(), words));
            assert!(
                line.contains("liveops.db-secret")
                    && line.contains("chmod 600")
                    && !line.contains(made.trim()),
                "{mode:o}: {line}"
            );
        }
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).expect("ours");
    let token = finish(command(server.folder(), &["token", &id, "--user", "demo"]), "");
    assert_eq!(token.status.code(), Some(0), "{token:?}");
    // Too short, or no file at all: it says so without what is in it.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::write(&file, "hunter2\n").expect("ours");
    let line = refused(command(server.folder(), &["demo", "--listen", "127.0.0.1:0"]));
    assert!(line.contains("32") && !line.contains("hunter2"), "{line}");
    fs::remove_file(&file).expect("ours");
    fs::create_dir(&file).expect("ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).expect("ours");
    let line = refused(command(server.folder(), &["demo", "--listen", "127.0.0.1:0"]));
    assert!(line.contains("liveops.db-secret"), "{line}");
    // Nobody waits for what will never come out of a pipe.
    fs::remove_dir(&file).expect("ours");
    assert!(std::process::Command::new("mkfifo").arg(&file).status().expect("coreutils").success());
    let line = refused(command(server.folder(), &["demo", "--listen", "127.0.0.1:0"]));
    assert!(line.contains("liveops.db-secret") && line.contains("no file"), "{line}");
}

#[tokio::test]
async fn tokens_of_an_older_key_are_accepted_while_it_is_a_fallback() {
    let old = "the old secret key of thirty-two bytes";
    let mut server = Server::with(&[("secret_key", old)]).await;
    let client = server.user("alice").await;
    let id = client.simulate(&[("steps", "100000"), ("delay_ms", "100")]).await;
    let page = client.get(&format!("/operations/{id}")).await;
    let (csrf, token) = (page.csrf(), client.page(&id).await.token.expect("it runs"));
    // Its page stays open all the while.
    let cancel = async |client: &Client| {
        let form = Ask::post(&format!("/operations/{id}/cancel")).form(&[("csrf_token", &csrf)]);
        client.send(form).await.status
    };
    server.kill();
    let mut server = server.with_settings(&[("secret_key", KEY), ("secret_key_fallbacks", old)]).await;
    let client = client.at(&server);
    drop(client.stream(&token, None).await);
    assert_eq!(cancel(&client).await, 303);
    server.kill();
    let server = server.with_settings(&[("secret_key", KEY)]).await;
    let client = client.at(&server);
    assert_eq!(client.get(&format!("/stream?token={token}")).await.status, 403);
    assert_eq!(cancel(&client).await, 403);
}

/// Keys in base64url may begin with a hyphen.
#[test]
fn a_secret_that_looks_like_a_flag_is_a_secret() {
    let folder = folder();
    let mut short = command(folder.path(), &["serve", "--secret-key", "-SUPERSECRET"]);
    short.env_remove("LIVEOPS_SECRET_KEY");
    let line = refused(short);
    assert!(line.contains("secret_key") && line.contains("32") && !line.contains('S'), "{line}");
}

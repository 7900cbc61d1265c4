//! `liveops user …`: what each command does, says and exits with.

use std::path::Path;
use std::process::Output;

use crate::harness::{Client, SLOW, Server, finish, liveops};

fn user(folder: &Path, words: &[&str], input: &str) -> Output {
    let mut command = liveops(folder);
    command.arg("user").args(words);
    finish(command, input)
}

/// A command that works; what it says.
fn done(folder: &Path, words: &[&str], input: &str) -> String {
    let output = user(folder, words, input);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A command that is refused: exit 2 and one line, which is returned.
fn refused(folder: &Path, words: &[&str], input: &str) -> String {
    let output = user(folder, words, input);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{words:?}: {output:?}");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    let line = stderr.strip_suffix('\n').expect("a line");
    assert!(line.starts_with("liveops: ") && !line.contains('\n'), "{words:?}: {stderr}");
    line.to_owned()
}

fn folder() -> tempfile::TempDir {
    tempfile::TempDir::with_prefix("liveops-test-").expect("a folder")
}

#[test]
fn users_are_listed_for_scripts_and_without_hashes() {
    let folder = folder();
    let folder = folder.path();
    let operators = ["add", "bob", "--group", "operators", "--group", "staff", "--group", "staff"];
    done(folder, &[&operators[..], &["--password-stdin"]].concat(), "secret of bob\n");
    done(folder, &["add", "Ada L", "--superuser", "--password-stdin"], "secret of ada\r\n");
    assert_eq!(done(folder, &["list"], ""), "Ada L\t\tsuperuser\nbob\toperators,staff\t\n");

    assert!(done(folder, &["groups", "bob", "--group", "a b"], "").contains("a b"));
    assert!(done(folder, &["groups", "Ada L", "--group", "ü", "--group", "b"], "").contains("ü, b"));
    assert_eq!(done(folder, &["list"], ""), "Ada L\tü,b\tsuperuser\nbob\ta b\t\n");
    done(folder, &["groups", "bob"], "");
    done(folder, &["remove", "Ada L"], "");
    assert_eq!(done(folder, &["list"], ""), "bob\t\t\n");
}

#[test]
fn wrong_use_is_one_line_and_changes_nothing() {
    let folder = folder();
    let folder = folder.path();
    for words in [&["list"][..], &["remove", "bob"], &["groups", "bob"], &["passwd", "bob"]] {
        let line = refused(folder, words, "");
        assert!(line.contains("database"), "{line}");
    }
    assert!(!folder.join("liveops.db").exists(), "nobody asked for a database");

    done(folder, &["add", "bob", "--group", "staff", "--password-stdin"], "secret\n");
    let before = done(folder, &["list"], "");
    for words in [&["remove", "eve"][..], &["groups", "eve"], &["passwd", "eve", "--password-stdin"]] {
        let line = refused(folder, words, "secret\n");
        assert!(line.contains("eve"), "{line}");
    }
    for group in ["", "a,b", "a\nb", " a", &"x".repeat(101)] {
        let line = refused(folder, &["groups", "bob", "--group", "fine", "--group", group], "");
        assert!(line.contains("group"), "{group:?}: {line}");
        refused(folder, &["add", "eve", "--password-stdin", "--group", group], "secret\n");
    }
    for name in ["", " ", "a\tb", "a\u{202e}b", &"x".repeat(101)] {
        let line = refused(folder, &["add", name, "--password-stdin"], "secret\n");
        assert!(line.contains("name"), "{name:?}: {line}");
    }
    // Taken, empty, too long; and nowhere to ask.
    refused(folder, &["add", "bob", "--password-stdin"], "secret\n");
    for password in ["", "\n", "\r\nsecret", &"x".repeat(1025), &"x".repeat(5000)] {
        for words in [["add", "eve", "--password-stdin"], ["passwd", "bob", "--password-stdin"]] {
            let line = refused(folder, &words, password);
            assert!(line.contains("password") && !line.contains("xx"), "{line}");
        }
    }
    for words in [["add", "eve"], ["passwd", "bob"]] {
        let line = refused(folder, &words, "secret\n");
        assert!(line.contains("--password-stdin"), "it says what to do: {line}");
    }
    // Everybody on the machine sees the words of a command, so a password is none of them.
    for words in [
        &["add", "eve", "--password-stdin", "--password", "hunter2"][..],
        &["add", "eve", "--password-stdin", "--password=hunter2"],
        &["passwd", "bob", "--password-stdin", "--password=hunter2"],
        &["passwd", "bob", "--password-stdin", "-p", "hunter2"],
    ] {
        let line = refused(folder, words, "secret\n");
        assert!(!line.contains("hunter2"), "{line}");
    }
    for word in ["hunter2", "--password-stdin=hunter2"] {
        refused(folder, &["add", "eve", "--password-stdin", word], "secret\n");
        refused(folder, &["passwd", "bob", "--password-stdin", word], "secret\n");
    }
    refused(folder, &["rename", "bob"], "");
    assert_eq!(done(folder, &["list"], ""), before);
}

#[tokio::test]
async fn a_changed_password_ends_the_sessions_and_is_the_one_that_counts() {
    let server = Server::start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    done(server.folder(), &["passwd", "alice", "--password-stdin"], "another one\n");
    assert_eq!(alice.get("/operations").await.status, 303, "signed out");
    assert_eq!(bob.get("/operations").await.status, 200, "others are not");
    assert_eq!(alice.log_in("alice", "alice password").await.status, 422);
    assert_eq!(alice.log_in("alice", "another one").await.status, 303);
    // The longest, and one that has spaces around it.
    for password in ["x".repeat(1024), "  spaced ü ".to_owned()] {
        done(server.folder(), &["passwd", "alice", "--password-stdin"], &format!("{password}\nmore\n"));
        assert_eq!(alice.log_in("alice", &password).await.status, 303);
    }
}

#[tokio::test]
async fn the_demo_user_may_be_given_a_password() {
    let server = Server::start().await;
    let client = Client::new(server.address);
    assert_eq!(client.log_in("demo", "").await.status, 422);
    done(server.folder(), &["passwd", "demo", "--password-stdin"], "known now\n");
    assert_eq!(client.log_in("demo", "known now").await.status, 303);
}

#[tokio::test]
async fn a_removed_user_is_out_and_a_new_one_of_that_name_inherits_nothing() {
    let server = Server::start().await;
    let alice = server.user("alice").await;
    let hers = alice.simulate(SLOW).await;
    let token = alice.page(&hers).await.token.expect("just started");
    let said = done(server.folder(), &["remove", "alice"], "");
    assert!(said.contains("alice"), "{said}");
    assert_eq!(alice.get("/operations").await.status, 303, "signed out");
    assert_eq!(alice.log_in("alice", "alice password").await.status, 422);

    let namesake = server.user("alice").await;
    assert_eq!(namesake.get(&format!("/operations/{hers}")).await.status, 404);
    assert!(!namesake.get("/operations").await.text().contains(&hers));
    assert_eq!(namesake.get(&format!("/stream?token={token}")).await.status, 403);
    assert_eq!(namesake.command(&hers, "cancel").await.status, 404);
}

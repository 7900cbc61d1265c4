//! The arrows of the design, read from the code: who may know whom.

use std::fs;
use std::path::{Path, PathBuf};

/// The core: pure, so that it can be tested without anything around it.
const CORE: [&str; 15] = [
    "operation.rs",
    "operation",
    "progress.rs",
    "progress",
    "projection.rs",
    "projection",
    "stream/cursor.rs",
    "stream/fragment.rs",
    "stream/frame.rs",
    "stream/list.rs",
    "stream/pace.rs",
    "access/channel.rs",
    "access/token.rs",
    "access/secret.rs",
    "access/viewer.rs",
];

/// What the core does not know: HTTP, SQL, templates, files and what time it is.
const OUTSIDE: [&str; 11] = [
    "axum",
    "hyper",
    "rusqlite",
    "minijinja",
    "std::fs",
    "tokio::fs",
    "Timestamp::now",
    "Instant::now(",
    "crate::web",
    "crate::store",
    "crate::testing",
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.flat_map(|entry| sources(&entry.expect("a folder's entry").path())).collect()
}

/// The code of a file before its tests, without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file is UTF-8");
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or("");
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn assert_knows_none(rooms: &[&str], unknown: &[&str]) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rooms.iter().flat_map(|room| sources(&src.join(room))) {
        let code = code(&file);
        for name in unknown {
            assert!(!code.contains(name), "{} knows {name}", file.display());
        }
    }
}

#[test]
fn the_core_knows_nothing_outside() {
    assert_knows_none(&CORE, &OUTSIDE);
}

#[test]
fn the_engine_knows_no_http() {
    assert_knows_none(
        &[
            "live.rs",
            "live",
            "runner.rs",
            "runner",
            "store.rs",
            "store",
            "stream/hub.rs",
            "stream/hub",
            "stream/lists.rs",
            "render.rs",
            "render",
        ],
        &["axum", "hyper", "crate::web", "crate::kinds", "crate::testing"],
    );
}

#[test]
fn the_web_knows_the_store_by_its_traits() {
    assert_knows_none(&["web.rs", "web"], &["rusqlite", "Sqlite", "crate::kinds", "crate::testing"]);
}

/// So that each refusal has one status, and a page.
#[test]
fn what_is_refused_gets_its_status_in_one_place() {
    let web = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"));
    let others: Vec<_> = web.iter().filter(|file| !file.ends_with("error.rs")).collect();
    assert_eq!(others.len() + 1, web.len());
    for file in others {
        let code = code(file);
        for status in ["BAD_REQUEST", "UNAUTHORIZED", "FORBIDDEN", "CONFLICT", "GONE", "TOO_MANY", "INTERNAL"]
        {
            assert!(!code.contains(&format!("StatusCode::{status}")), "{} chooses {status}", file.display());
        }
    }
}

#[test]
fn the_kinds_and_the_command_line_use_the_public_api() {
    assert_knows_none(
        &["kinds.rs", "kinds"],
        &["crate::web", "crate::runner", "crate::store", "crate::live", "pub(crate) use"],
    );
}

/// Else a clock that a test puts forward would not decide everything.
#[test]
fn the_engine_and_the_web_ask_their_clock() {
    assert_knows_none(&["live.rs", "live", "runner.rs", "runner", "web.rs", "web"], &["Timestamp::now"]);
}

//! Results by templates of their own, and what is counted.

use std::fs::{create_dir, write};

use super::{assert_code, id_of, run, stdout};
use crate::harness::Server;

#[tokio::test]
async fn a_result_is_told_by_the_template_of_its_kind() {
    let server = Server::start().await;
    let templates = server.folder().join("templates");
    create_dir(&templates).expect("a folder");
    let folder = templates.to_str().expect("UTF-8");
    let template = |source| write(templates.join("simulate_result.txt"), source).expect("it is written");
    template("All {{ result.steps }} done.\n\x1b[2JIt said: {{ result.message }}\n");
    let message = "message=<b> & \u{1b}[31mred\nsecond";
    let words = [
        "run",
        "simulate",
        "--templates",
        folder,
        "--field",
        "steps=3",
        "--field",
        "delay_ms=0",
        "--field",
        message,
    ];
    let ran = run(server.folder(), &words);
    let id = id_of(&stdout(&ran));
    let expected = "\nAll 3 done.\n\u{FFFD}[2JIt said: <b> & \u{FFFD}[31mred\u{FFFD}second\n";
    let watched = run(server.folder(), &["watch", &id, "--templates", folder]);
    for output in [ran, watched] {
        assert_code(&output, 0);
        assert!(stdout(&output).ends_with(expected), "{output:?}");
    }
    // As data it stays what it is.
    let data = stdout(&run(server.folder(), &["watch", &id, "--json", "--templates", folder]));
    assert!(!data.contains("All 3 done") && data.contains("\"steps\":3"), "{data}");
    // One that fails hides nothing.
    template("All {{ result.steps.nope.nope }} done.");
    let watched = run(server.folder(), &["watch", &id, "--templates", folder]);
    assert_code(&watched, 0);
    assert!(stdout(&watched).ends_with("\nsteps: 3\n"), "{watched:?}");
    assert!(String::from_utf8_lossy(&watched.stderr).contains("simulate_result.txt"), "{watched:?}");
}

#[tokio::test]
async fn rows_that_failed_are_told_and_counted() {
    let server = Server::start().await;
    let file = server.folder().join("a.csv");
    write(&file, "a,b\n1,2\n3\n4,5\n").expect("it is written");
    let output = run(server.folder(), &["run", "csv_import", "--field", &format!("file={}", file.display())]);
    assert_code(&output, 0);
    let said = stdout(&output);
    for expected in [
        "failed row: line 3: 1 cell, the header has 2",
        "progress: 100 %, 2 ok, 1 failed",
        "rows rejected: 1",
    ] {
        assert!(said.lines().any(|line| line == expected), "{expected} in {said}");
    }
    // From a second on it is said how long it took.
    let ended = |line: &str| line.starts_with("succeeded") && line.ends_with(" (2 ok, 1 failed)");
    assert!(said.lines().any(ended), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("success: 2 rows imported")),
        "the level in words: {said}"
    );
}

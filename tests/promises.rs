//! Every promise of docs/security.md and docs/reliability.md says how it is kept, and names tests that are there.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_promise_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["docs/security.md", "docs/reliability.md"] {
        let text = fs::read_to_string(root.join(page)).expect("the page is there");
        let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
        let promises: Vec<&str> = rows.filter(|row| !row.starts_with("| promise ")).collect();
        assert!(promises.len() > 10, "{page} has its tables");
        for row in promises {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [promise, how, tests] = cells[..] else { panic!("{page}: three cells: {row}") };
            assert!(!promise.is_empty() && !how.is_empty(), "{page}: what is promised, and how: {row}");
            let tests: Vec<&str> = tests.split(", ").map(|test| test.trim_matches('`')).collect();
            for test in tests {
                assert!(is_there(root, test), "{page}: no test is called {test:?}, for {promise:?}");
            }
        }
    }
}

/// Whether there is a function `name` in the file of a test called `file::name`, in `tests` or `src`.
fn is_there(root: &Path, test: &str) -> bool {
    let Some((file, name)) = test.rsplit_once("::") else { return false };
    let path: PathBuf = file.split("::").collect();
    let found =
        ["tests", "src"].map(|folder| fs::read_to_string(root.join(folder).join(&path).with_extension("rs")));
    found.into_iter().flatten().any(|code| code.contains(&format!("fn {name}(")))
}

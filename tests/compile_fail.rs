//! What the types keep people from: each of these programs must not compile, and the compiler says why.

use std::process::Command;

/// The compiler whose words stand in the `.stderr` files; each has its own. `TRYBUILD=overwrite` writes those of another.
const WORDS_OF: &str = "rustc 1.95.";

#[test]
fn misuses_do_not_compile() {
    let version = Command::new("rustc").arg("--version").output().expect("a compiler").stdout;
    let version = String::from_utf8_lossy(&version);
    if version.starts_with(WORDS_OF) || std::env::var_os("TRYBUILD").is_some() {
        trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
    } else {
        println!("not looked at: the words are those of {WORDS_OF}x, and this is {version}");
    }
}

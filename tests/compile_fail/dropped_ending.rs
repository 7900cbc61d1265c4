//! An ending that `run` does not return ends nothing.
#![deny(unused_must_use)]

use liveops::{Outcome, Progress};

fn report(p: &Progress) {
    p.error("no such table");
    Outcome::result("3 rows");
}

fn main() {}

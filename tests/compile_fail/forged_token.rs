//! A token says whose it is and what it opens: there is none without user and channel.
use liveops::{Grant, Token};

fn main() {
    let _ = Token("v1.e30.c2ln".to_owned());
    let _ = Grant { expires: 0 };
}

//! A stage whose guard is not kept is over at once.
#![deny(unused_must_use)]

fn work(p: &liveops::Progress) {
    p.stage("Read");
}

fn main() {}

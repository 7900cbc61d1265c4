//! An operation's input is stored until it runs, so all of it has to serialise.
use liveops::{Operation, Progress};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize)]
struct Import<Rows> {
    rows: Rows,
}

impl<Rows: DeserializeOwned + Send + 'static> Operation for Import<Rows> {
    const KIND: &'static str = "import";

    async fn run(self, p: Progress) -> liveops::Result {
        p.result("done")
    }
}

fn main() {}

//! Runs the kinds by themselves.

mod csv_import;
mod simulate;

use crate::Operation;
use crate::progress::{Level, Update};
use crate::testing::{Recorded, Recorder};

fn run(operation: impl Operation) -> Recorded {
    Recorder::new().run(operation)
}

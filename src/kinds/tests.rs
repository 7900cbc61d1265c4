//! Runs the kinds with a sink that remembers.

mod csv_import;
mod simulate;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::progress::{Cancel, Level, Sink, Update};
use crate::{Operation, Progress, Result};

/// Remembers what was said, and may ask the run to stop at a certain update.
struct Heard {
    updates: Mutex<Vec<Update>>,
    cancel: Cancel,
    cancel_at: fn(&Update) -> bool,
}

impl Sink for Heard {
    fn update(&self, update: Update) {
        if (self.cancel_at)(&update) {
            self.cancel.request();
        }
        self.updates.lock().push(update);
    }
}

impl Heard {
    fn log(&self) -> Vec<String> {
        let log = |update: &Update| match update {
            Update::Log { text, .. } => Some(text.to_string()),
            Update::Failed { row, reason } => Some(format!("{row}: {reason}")),
            _ => None,
        };
        self.updates.lock().iter().filter_map(log).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let warning = |update: &Update| match update {
            Update::Log { level: Level::Warning, text } => Some(text.to_string()),
            Update::Failed { row, reason } => Some(format!("{row}: {reason}")),
            _ => None,
        };
        self.updates.lock().iter().filter_map(warning).collect()
    }

    fn statuses(&self) -> Vec<String> {
        let status = |update: &Update| match update {
            Update::Status { text, .. } => Some(text.to_string()),
            _ => None,
        };
        self.updates.lock().iter().filter_map(status).collect()
    }

    fn entered(&self) -> Vec<String> {
        let stage = |update: &Update| match update {
            Update::EnterStage(name) => Some(name.to_string()),
            _ => None,
        };
        self.updates.lock().iter().filter_map(stage).collect()
    }
}

fn run(operation: impl Operation) -> (Result, Arc<Heard>) {
    run_until(operation, |_| false)
}

/// Runs it, and asks it to stop at the first update for which `cancel_at` holds.
fn run_until(operation: impl Operation, cancel_at: fn(&Update) -> bool) -> (Result, Arc<Heard>) {
    let cancel = Cancel::default();
    let heard = Arc::new(Heard { updates: Mutex::default(), cancel: cancel.clone(), cancel_at });
    let progress = Progress::new(heard.clone(), cancel);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let result = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), operation.run(progress)).await.expect("ends in time")
    });
    (result, heard)
}

//! One-click examples of what [`Simulate`] can do.

use serde::{Deserialize, Serialize};

use super::Simulate;
use crate::{Operation, Progress, Result};

/// Ends well after two seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Quick {}

impl Operation for Quick {
    const KIND: &'static str = "quick";
    const TITLE: &'static str = "Quick success";
    const DESCRIPTION: &'static str = "Twenty steps in two seconds, and a result.";

    async fn run(self, progress: Progress) -> Result {
        Simulate { steps: 20, delay_ms: 100, log_every: 1, ..Simulate::default() }.run(progress).await
    }
}

/// Ends with an error that says what to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failing {}

impl Operation for Failing {
    const KIND: &'static str = "failing";
    const TITLE: &'static str = "Failure";
    const DESCRIPTION: &'static str = "Works for a moment, then ends with an error.";

    async fn run(self, progress: Progress) -> Result {
        let letters = Simulate {
            steps: 8,
            delay_ms: 250,
            log_every: 1,
            message: "Sending letter".to_owned(),
            stages: 2,
            ..Simulate::default()
        };
        drop(letters.run(progress.clone()).await?);
        progress.error("The post office did not answer. No letter was lost: try again in a minute.")
    }
}

/// Hands over twice, so that three operations run in a row.
#[derive(Debug, Serialize, Deserialize)]
pub struct Chain {}

impl Operation for Chain {
    const KIND: &'static str = "chain";
    const TITLE: &'static str = "Chain of three";
    const DESCRIPTION: &'static str = "Three operations, each of which hands over to the next.";

    async fn run(self, progress: Progress) -> Result {
        Simulate { steps: 12, delay_ms: 250, log_every: 1, chain: 2, ..Simulate::default() }
            .run(progress)
            .await
    }
}

/// Runs again by itself when its process dies.
#[derive(Debug, Serialize, Deserialize)]
pub struct Repeatable {}

impl Operation for Repeatable {
    const KIND: &'static str = "repeatable";
    const TITLE: &'static str = "Repeatable";
    const DESCRIPTION: &'static str = "Counts to sixty in half a minute. Kill the server while it runs: the next one runs it again, by itself.";
    const REPEATABLE: bool = true;

    async fn run(self, progress: Progress) -> Result {
        let message = "Counting".to_owned();
        Simulate { steps: 60, delay_ms: 500, log_every: 1, message, ..Simulate::default() }
            .run(progress)
            .await
    }
}

/// Leads its page on to the list of operations.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redirect {}

impl Operation for Redirect {
    const KIND: &'static str = "redirect";
    const TITLE: &'static str = "Redirect";
    const DESCRIPTION: &'static str = "Works for a moment, then leads on to the list of operations.";

    async fn run(self, progress: Progress) -> Result {
        let redirect = "/operations".to_owned();
        Simulate { steps: 12, delay_ms: 250, log_every: 1, redirect, ..Simulate::default() }
            .run(progress)
            .await
    }
}

//! Plays a course of events that the form describes: for demonstrations, tests and measurements.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::operation::Field;
use crate::progress::Cancelled;
use crate::{Operation, Outcome, Progress, Result};

/// Steps without a delay between two chances for other tasks.
const YIELD_EVERY: u32 = 1024;

/// What it says of itself, unless it is told otherwise.
const WORKING: &str = "Working";

/// Takes `steps` steps of `delay_ms`, and ends as it is told.
///
/// At each step it sets the status, writes its log line where one is due, and then waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Simulate {
    /// How many steps.
    pub steps: u32,
    /// How long each takes; with 0 they follow each other at once.
    pub delay_ms: u32,
    /// A log line every so many steps; 0 for none.
    pub log_every: u32,
    /// The status, the log lines' beginning, and the message of an error.
    pub message: String,
    /// How it ends.
    pub outcome: SimulatedEnd,
    /// Into how many stages the steps are spread.
    pub stages: u32,
    /// How many more of itself it hands over to, one after the other.
    pub chain: u32,
    /// Where the last of them leads its page; may be empty.
    pub redirect: String,
    /// The status carries the time in microseconds, so that latency can be measured.
    pub stamp: bool,
}

/// How a simulation ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimulatedEnd {
    /// Well.
    #[default]
    Ok,
    /// With an error that the user reads.
    Error,
    /// With an `Err`: an internal failure.
    Fail,
    /// With a panic.
    Panic,
}

impl Default for Simulate {
    fn default() -> Self {
        Self {
            steps: 100,
            delay_ms: 50,
            log_every: 10,
            message: WORKING.to_owned(),
            outcome: SimulatedEnd::Ok,
            stages: 0,
            chain: 0,
            redirect: String::new(),
            stamp: false,
        }
    }
}

impl Operation for Simulate {
    const KIND: &'static str = "simulate";
    const TITLE: &'static str = "Simulation";
    const DESCRIPTION: &'static str = "Plays a course of events: steps, log lines, stages and any ending.";

    fn fields() -> Vec<Field> {
        let Self { steps, delay_ms, log_every, message, stages, chain, .. } = Self::default();
        let number = |name: &'static str, label: &'static str, max: u32, default: u32| {
            Field::number(name, label).range(0, max).default(default.to_string())
        };
        vec![
            number("steps", "Steps", 1_000_000, steps),
            number("delay_ms", "Milliseconds for each step", 60_000, delay_ms),
            number("log_every", "Steps for each log line", 1_000_000, log_every)
                .help("1 logs each step, 0 none."),
            Field::text("message", "Message")
                .default(message)
                .help("The status, the beginning of each log line, and what an error says."),
            Field::choice("outcome", "Outcome", ["ok", "error", "fail", "panic"]).required().default("ok"),
            number("stages", "Stages", 9, stages).help("The steps are spread evenly over them."),
            number("chain", "Operations that follow", 9, chain).help("Each hands over to the next one."),
            Field::path("redirect", "Page to go to in the end")
                .help("A path of this site, such as /operations."),
            Field::checkbox("stamp", "Put the time into the status")
                .help("In microseconds, to measure latency."),
        ]
    }

    fn label(&self) -> String {
        match self.message.trim() {
            "" | WORKING => format!("{} {}", self.steps, if self.steps == 1 { "step" } else { "steps" }),
            _ => self.message.clone(),
        }
    }

    async fn run(self, p: Progress) -> Result {
        if self.stages > 0 {
            p.stages((1..=self.stages).map(|stage| format!("Stage {stage}")));
        }
        if self.steps == 0 {
            self.say_status(&p);
        }
        let parts = self.stages.max(1);
        let mut pace = Pace::new(self.delay_ms);
        for part in 0..parts {
            let _stage = (self.stages > 0).then(|| p.stage(format!("Stage {}", part + 1)));
            for step in p.track(self.share(part)..self.share(part + 1)).unit("steps") {
                self.say_step(&p, step? + 1);
                pace.wait(&p).await?;
            }
        }
        self.end(&p)
    }
}

impl Simulate {
    /// How many steps the first `parts` stages take together.
    fn share(&self, parts: u32) -> u32 {
        let steps = u64::from(self.steps) * u64::from(parts) / u64::from(self.stages.max(1));
        u32::try_from(steps).unwrap_or(self.steps)
    }

    fn say_step(&self, p: &Progress, number: u32) {
        // A status that stays the same is said once.
        if self.stamp || number == 1 {
            self.say_status(p);
        }
        if self.log_every > 0 && number.is_multiple_of(self.log_every) {
            p.log(format!("{} #{number}", self.message));
        }
    }

    fn say_status(&self, p: &Progress) {
        if self.stamp {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            p.status(format!("{} ts={}", self.message, now.as_micros()));
        } else {
            p.status(&self.message);
        }
    }

    fn end(self, p: &Progress) -> Result {
        match self.outcome {
            SimulatedEnd::Ok => {}
            SimulatedEnd::Error => return p.error(&self.message),
            SimulatedEnd::Fail => return Err(self.message.into()),
            SimulatedEnd::Panic => panic!("{}", self.message),
        }
        if let Some(chain) = self.chain.checked_sub(1) {
            return p.chain_to(&Self { chain, ..self });
        }
        let outcome = Outcome::result(json!({ "message": self.message, "steps": self.steps }));
        if self.redirect.is_empty() { outcome.into() } else { outcome.redirect(self.redirect).into() }
    }
}

/// Waits between steps so that late steps do not add up.
struct Pace {
    delay: Duration,
    due: Instant,
    taken: u32,
}

impl Pace {
    fn new(delay_ms: u32) -> Self {
        Self { delay: Duration::from_millis(delay_ms.into()), due: Instant::now(), taken: 0 }
    }

    /// Waits for the end of a step, or until the operation is asked to stop.
    async fn wait(&mut self, p: &Progress) -> std::result::Result<(), Cancelled> {
        if self.delay.is_zero() {
            self.taken = self.taken.wrapping_add(1);
            if self.taken.is_multiple_of(YIELD_EVERY) {
                tokio::task::yield_now().await;
            }
            return Ok(());
        }
        // After a stall it goes on at its pace, rather than in a burst.
        let now = Instant::now();
        self.due = (self.due + self.delay).max(now);
        tokio::select! {
            biased;
            cancelled = p.cancelled() => Err(cancelled),
            () = sleep_until(self.due) => Ok(()),
        }
    }
}

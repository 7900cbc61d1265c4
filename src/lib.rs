//! Live pages for long-running operations, over server-sent events.
//!
//! Somebody submits a form; a durable background operation starts; its page shows stages, status,
//! a progress bar, the log and the result as they happen, also with JavaScript off.
//!
//! One way leads through the crate, and the modules stand in that order:
//!
//! 1. [`operation`]: what runs, and the [`Record`](operation::Record) that lasts.
//! 2. [`progress`]: what running code says; each thing said is an [`Update`](progress::Update).
//! 3. [`projection`]: the updates folded into what a page shows, with a version.
//! 4. [`stream`]: how that reaches every watcher: cursor, fragment, frame, hub.
//! 5. [`access`]: who may see it: channel, token, password.
//! 6. [`render`], [`runner`], [`store`]: HTML, execution, durability.
//! 7. [`live`]: [`LiveOps`] wires everything; [`web`] is its axum router.
//!
//! [`testing`] is for the tests of an application's operations. `docs/embedding.md` beside the source shows step by step how an
//! application gets all this, and `examples/embed` is one.
//!
//! ```no_run
//! use liveops::{LiveOps, Operation, Progress, Viewer};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Count { up_to: u32 }
//!
//! impl Operation for Count {
//!     const KIND: &'static str = "count";
//!
//!     async fn run(self, p: Progress) -> liveops::Result {
//!         p.status("Counting");
//!         for n in p.track(1..=self.up_to).unit("numbers") {
//!             p.log(format!("{}", n?)); // `Err(Cancelled)` ends the run as cancelled
//!         }
//!         p.result(serde_json::json!({ "counted": self.up_to }))
//!     }
//! }
//! ```

pub mod access;
pub mod clock;
pub mod kinds;
pub mod live;
pub mod operation;
pub mod progress;
pub mod projection;
pub mod render;
pub mod runner;
pub mod store;
pub mod stream;
pub mod testing;
mod upkeep;
pub mod web;

pub use access::{Channel, Grant, SecretKey, Token, Viewer};
pub use clock::{Clock, SystemClock};
pub use live::{LiveOps, LiveOpsBuilder};
pub use operation::{Error, Operation, OperationId, Outcome, Result, State};
pub use progress::{Cancelled, Progress};

/// README's Rust compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So does that of the page about forms.
#[cfg(doctest)]
#[doc = include_str!("../docs/forms.md")]
struct Forms;

/// And that of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

/// And of the page about embedding.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

/// And of the page about tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
struct Testing;

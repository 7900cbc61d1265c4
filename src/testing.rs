//! For the tests of an application's operations: no waiting for clocks, no server, no browser.
//!
//! * [`Recorder`] runs an operation by itself and keeps all that it says, and how it ended.
//! * [`ManualClock`] is put forward by a test: tokens expire, and old operations are removed.
//! * [`StreamClient`] opens a page and its stream in the test's own process, and has the [`Page`] that a browser would have.
//!
//! It brings no dependency, and what a program does not call is not in it. `docs/testing.md` is its manual.

mod client;
mod clock;
mod event;
mod html;
mod page;
mod recorded;
mod recorder;

pub use client::StreamClient;
pub use clock::ManualClock;
pub use event::{Event, EventReader};
pub use html::Element;
pub use page::{Ended, Page};
pub use recorded::Recorded;
pub use recorder::Recorder;

use std::time::Duration;

/// Longest wait for anything, unless a test says otherwise: long enough for the slowest machine, since only
/// a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

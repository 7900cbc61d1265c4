//! Kinds of operation that the binary brings along, made with the crate's public API only.
//!
//! [`CsvImport`] is the flagship; [`Simulate`] can play any course of events, for demonstrations
//! and measurements; the others are one-click examples of it.

mod csv_import;
mod examples;
mod simulate;
#[cfg(test)]
mod tests;

pub use csv_import::CsvImport;
pub use examples::{Chain, Failing, Quick, Redirect, Repeatable};
pub use simulate::{Simulate, SimulatedEnd};

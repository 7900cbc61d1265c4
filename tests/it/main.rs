//! The binary from outside, over TCP: one module for each promise.

mod harness;

mod access;
mod accounts;
mod browser;
mod cancel;
mod chain;
mod crash;
mod csrf;
mod ended;
mod groups;
mod hardening;
mod heavy;
mod hostile;
mod list;
mod log;
mod pages;
mod resume;
mod retention;
mod screenshots;
mod settings;
mod start;
mod stream;
mod submission;
mod templates;
mod throttle;
mod users;

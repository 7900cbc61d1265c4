//! The binary from outside, over TCP: one module for each promise.

mod harness;

mod access;
mod accounts;
mod bodies;
mod browser;
mod cancel;
mod chain;
mod crash;
mod csrf;
mod elsewhere;
mod ended;
mod groups;
mod hardening;
mod headers;
mod health;
mod heavy;
mod hostile;
mod list;
mod log;
mod metrics;
mod pages;
mod resume;
mod retention;
mod screenshots;
mod secrets;
mod settings;
mod start;
mod stream;
mod stuck;
mod submission;
mod templates;
mod terminal;
mod throttle;
mod tty;
mod users;

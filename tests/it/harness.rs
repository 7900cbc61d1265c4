//! What the tests share: the server as a child process, a client with cookies, a reader of streams.

mod chromium;
mod client;
mod events;
mod html;
mod live;
mod place;
mod proxy;
mod server;
mod tty;

pub(crate) use chromium::Chromium;
pub(crate) use client::{Answer, Ask, Client, SLOW, encode};
pub(crate) use events::{Event, Events};
pub(crate) use html::{attribute, form_values, hidden_inputs, text_of};
pub(crate) use live::{Model, Page};
pub(crate) use proxy::Proxy;
pub(crate) use server::{Server, collect, finish, liveops, signal, stand_still};
pub(crate) use tty::Tty;

use std::future::Future;
use std::time::{Duration, Instant};

/// Longest wait for anything. Several commits in a row, that wait for 5 s each, take half of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks again and again until there is an answer: for what sends no event.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "asked for {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

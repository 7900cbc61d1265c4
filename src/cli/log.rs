//! The log on stderr.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Writes what happens to stderr, as much as `verbose` says (a server begins with 1), until what it returns is dropped. A
/// stderr that nobody reads, or that cannot be written, costs log lines and nothing else. `way` leads to stderr
/// where it must not be written to directly.
pub(super) fn start(verbose: u8, format: LogFormat, way: Option<Box<dyn Write + Send>>) -> WorkerGuard {
    let level = match verbose {
        0 => "warn",
        1 => "warn,liveops=info",
        2 => "info,liveops=debug",
        _ => "debug,liveops=trace",
    };
    let (writer, guard) =
        tracing_appender::non_blocking(Unfailing(way.unwrap_or_else(|| Box::new(std::io::stderr()))));
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(writer)
        .log_internal_errors(false)
        .with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    guard
}

/// A writer whose errors concern nobody: there is no other place to tell them.
struct Unfailing<W>(W);

impl<W: Write> Write for Unfailing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.write_all(&visible(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// DEL and the C1 controls (ECMA-48) as JSON and people can read them: JSON allows them as they are (RFC 8259 section 7), and a
/// terminal that shows the log would do what they say.
fn visible(line: &[u8]) -> Cow<'_, [u8]> {
    let is_hidden = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
    match std::str::from_utf8(line) {
        Ok(text) if text.contains(is_hidden) => {
            let mut shown = String::with_capacity(text.len() + 16);
            for c in text.chars() {
                if is_hidden(c) {
                    let _ = write!(shown, "\\u{:04x}", u32::from(c));
                } else {
                    shown.push(c);
                }
            }
            shown.into_bytes().into()
        }
        _ => line.into(),
    }
}

/// Writes a panic as the log writes everything: on one line, control characters escaped. Its text
/// may be what a user typed, and the standard hook would hand that to the terminal as it is.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let message = panic.payload_as_str().unwrap_or("something that is no text");
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(place, thread = thread.name(), text = message, backtrace, "a panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_that_json_leaves_are_shown() {
        let line = "{\"user\":\"a\u{7f}b\u{9b}31m é\"}\n";
        let shown = visible(line.as_bytes());
        assert_eq!(std::str::from_utf8(&shown), Ok("{\"user\":\"a\\u007fb\\u009b31m é\"}\n"));
        let read: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
        assert_eq!(read["user"], "a\u{7f}b\u{9b}31m é", "nothing is lost");
        assert_eq!(*visible(b"\xff\x7f plain"), *b"\xff\x7f plain");
    }
}

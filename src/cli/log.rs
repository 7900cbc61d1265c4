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

/// What is logged at once, as one line without control characters (ECMA-48), whatever is in it: who breaks a line in a text of theirs
/// would write a line of the log, and a terminal that shows it would do what they say. JSON allows DEL and C1 as they are (RFC 8259
/// section 7). Colours are the log's own.
fn visible(whole: &[u8]) -> Cow<'_, [u8]> {
    let (line, end) = whole.strip_suffix(b"\n").map_or((whole, ""), |line| (line, "\n"));
    match std::str::from_utf8(line) {
        Ok(text) if text.contains(is_hidden) => {
            let mut shown = String::with_capacity(text.len() + 16);
            for (at, c) in text.char_indices() {
                if is_hidden(c) && !is_colour(&text[at..]) {
                    let _ = write!(shown, "\\u{:04x}", u32::from(c));
                } else {
                    shown.push(c);
                }
            }
            shown.push_str(end);
            shown.into_bytes().into()
        }
        _ => whole.into(),
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Whether it begins with a sequence that changes how the text behind it looks, and nothing else.
fn is_colour(text: &str) -> bool {
    let number = |c: char| c.is_ascii_digit() || c == ';';
    text.strip_prefix("\u{1b}[").is_some_and(|rest| rest.trim_start_matches(number).starts_with('m'))
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
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[test]
    fn control_characters_that_json_leaves_are_shown() {
        let line = "{\"user\":\"a\u{7f}b\u{9b}31m é\"}\n";
        let shown = visible(line.as_bytes());
        assert_eq!(std::str::from_utf8(&shown), Ok("{\"user\":\"a\\u007fb\\u009b31m é\"}\n"));
        let read: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
        assert_eq!(read["user"], "a\u{7f}b\u{9b}31m é", "nothing is lost");
        assert_eq!(*visible(b"\xff\x7f plain"), *b"\xff\x7f plain");
    }

    /// Where an error's own text is written as it is.
    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let hostile = "a\nERROR forged\r\n\r\u{85}\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{1b}[m\0\u{8}";
        for json in [false, true] {
            let kept = Kept::default();
            let writer = kept.clone();
            let log =
                tracing_subscriber::fmt().with_writer(move || Unfailing(writer.clone())).with_ansi(false);
            let say = || {
                tracing::error!(error = %hostile, name = hostile, debug = ?hostile, "{hostile}");
                let error = std::io::Error::other(hostile);
                tracing::error!(error = &error as &dyn std::error::Error, "next");
            };
            if json {
                tracing::subscriber::with_default(log.json().finish(), say);
            } else {
                tracing::subscriber::with_default(log.finish(), say);
            }
            let said = String::from_utf8(kept.0.lock().clone()).expect("UTF-8");
            assert_eq!(said.lines().count(), 2, "{said}");
            // At most a colour ends.
            let said = said.replace("\u{1b}[m", "");
            assert_eq!(said.chars().find(|c| c.is_control() && *c != '\n'), None, "{said:?}");
        }
    }
}

//! Where a new password comes from.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::Args;
use liveops::access::Password;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Failure;
use crate::cli::INTERRUPTED;
use crate::cli::server::Signals;

/// Longest password, in bytes.
const LONGEST: usize = 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct Source {
    /// Read the password from standard input, up to the first line break, instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

impl Source {
    /// Reads it from standard input, or asks twice without echo.
    pub(super) fn read(&self) -> Result<Password, Failure> {
        let text = if self.password_stdin {
            from_stdin()?
        } else if std::io::stdin().is_terminal() {
            let _restored = restored_when_interrupted()?;
            ask()?
        } else {
            return Err(
                "there is no terminal to ask for a password at: pipe it in with --password-stdin".into()
            );
        };
        if text.is_empty() {
            return Err("the password is empty: give at least one character".into());
        }
        if text.len() > LONGEST {
            return Err(format!("the password is too long: give at most {LONGEST} bytes").into());
        }
        Ok(Password::new(text))
    }
}

/// Puts the terminal back as it was where a signal ends the process while it asks: the echo is off meanwhile. Until what is
/// returned is dropped.
fn restored_when_interrupted() -> Result<DropGuard, Failure> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|error| format!("the terminal cannot be used: {error}"))?;
    let mut signals = Signals::listen()?;
    let asking = CancellationToken::new();
    tokio::spawn({
        let asking = asking.clone();
        async move {
            tokio::select! {
                () = asking.cancelled() => {}
                () = signals.stop() => {
                    let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
                    // Where the terminal is gone, nobody is left to be told.
                    let _ = writeln!(std::io::stderr());
                    std::process::exit(INTERRUPTED.into());
                }
            }
        }
    });
    Ok(asking.drop_guard())
}

fn from_stdin() -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::from(format!("the password could not be read from standard input: {error}"))
    };
    // The line break, which may be two bytes, and one byte that would be too much.
    let most = u64::try_from(LONGEST + 3).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    std::io::stdin().lock().take(most).read_until(b'\n', &mut line).map_err(|error| failed(&error))?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    if line.len() > LONGEST {
        return Err(format!("the password is too long: give at most {LONGEST} bytes").into());
    }
    String::from_utf8(line).map_err(|_| failed(&"it is not UTF-8"))
}

fn ask() -> Result<String, Failure> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map_err(|error| format!("the password could not be asked for: {error}"))
    };
    let first = ask("Password: ")?;
    if first != ask("Again: ")? {
        return Err("the two passwords differ: nothing was changed".into());
    }
    Ok(first)
}

//! The commands.

mod demo;
mod serve;
mod token;
mod user;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::config::{ServeSettings, TokenSettings};

/// What stopped a command: one line for the person who typed it.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Live pages for long-running operations.
#[derive(Debug, Parser)]
#[command(name = "liveops", version, about)]
pub(crate) struct Cli {
    /// The SQLite file
    #[arg(long, global = true, env = "LIVEOPS_DATABASE", default_value = "liveops.db")]
    database: PathBuf,

    /// Say more on stderr; twice, even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the demo kinds on an embedded database, and print a link that signs in
    Demo {
        #[command(flatten)]
        settings: Box<ServeSettings>,
    },
    /// Add a user
    User {
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// Print a subscription token, for following an operation with curl
    Token {
        /// The operation's id
        id: String,
        /// The user who owns it
        #[arg(long)]
        user: String,
        #[command(flatten)]
        settings: TokenSettings,
    },
}

impl Cli {
    /// Writes what happens to stderr, as much as was asked for, until what it returns is dropped. A
    /// stderr that nobody reads, or that cannot be written, costs log lines and nothing else.
    pub(crate) fn start_log(&self) -> WorkerGuard {
        let level = match self.verbose {
            0 => "warn,liveops=info",
            1 => "info,liveops=debug",
            _ => "debug,liveops=trace",
        };
        let (writer, guard) = tracing_appender::non_blocking(Unfailing(std::io::stderr()));
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level))
            .with_writer(writer)
            .log_internal_errors(false)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init();
        std::panic::set_hook(Box::new(log_panic));
        guard
    }

    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        let database = self.database;
        let done = match self.command {
            Command::Demo { settings } => runtime.block_on(demo::demo(&database, *settings)),
            Command::User { command } => runtime.block_on(user::run(&database, command)),
            Command::Token { id, user, settings } => {
                runtime.block_on(token::token(&database, &id, &user, &settings))
            }
        };
        // A run that hangs must not hold the process.
        runtime.shutdown_background();
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// A writer whose errors concern nobody: there is no other place to tell them.
struct Unfailing<W>(W);

impl<W: Write> Write for Unfailing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
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

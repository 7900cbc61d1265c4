//! The commands.

mod backup;
mod check;
mod demo;
mod follow;
mod log;
mod metrics;
mod run;
mod screen;
mod serve;
mod server;
mod terminal;
mod token;
mod user;
mod watch;

use std::borrow::Cow;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser, Subcommand};

use rustix::process::Signal;
use terminal::Terminal;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{DatabaseFlag, SettingFlags, Settings};

/// What stopped a command: one line for the person who typed it.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Live pages for long-running operations.
#[derive(Debug, Parser)]
#[command(name = "liveops", version, about, max_term_width = 100)]
struct Cli {
    /// The settings file [default: liveops.toml, where it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    database: DatabaseFlag,

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
        settings: SettingFlags,
    },
    /// Serve operations over HTTP; needs a secret key
    Serve {
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Run an operation here and show it in the terminal
    Run {
        /// The kind of operation, such as simulate
        kind: String,
        /// The user whose it is; without it the only one there is
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        /// A field of the kind's form; for a file its path
        #[arg(long = "field", value_name = "NAME=VALUE")]
        fields: Vec<String>,
        /// Write one JSON object a line for each update
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Follow an operation in the terminal, whichever process runs it
    Watch {
        /// The operation's id
        id: String,
        /// Write one JSON object a line for each update
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Print a subscription token, for following an operation with curl
    Token {
        /// The operation's id
        id: String,
        /// The user who owns it
        #[arg(long)]
        user: String,
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Copy the database and its uploads into new files, while servers run
    Backup {
        /// The copy, which must not be there yet; uploads go into the folder FILE-uploads
        file: PathBuf,
    },
    /// Look at the settings, the database and the files beside it, and say what is wrong; changes nothing
    Check {
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Add, list, change and remove users
    User {
        #[command(subcommand)]
        command: user::UserCommand,
    },
}

/// What a process ended by a signal returns: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Reads the command line and the settings, and does what they say.
pub(crate) fn main() -> Result<ExitCode, Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_use(&error),
    };
    let flags = match &cli.command {
        Command::Demo { settings }
        | Command::Serve { settings }
        | Command::Run { settings, .. }
        | Command::Watch { settings, .. }
        | Command::Token { settings, .. }
        | Command::Check { settings } => settings.clone(),
        Command::Backup { .. } | Command::User { .. } => SettingFlags::default(),
    };
    let settings = Settings::read(flags.and(cli.database.0), cli.config.as_deref())?;
    // In a terminal what a server would log is on the screen already.
    let is_server = matches!(cli.command, Command::Demo { .. } | Command::Serve { .. });
    let verbose = cli.verbose.saturating_add(u8::from(is_server));
    let terminal = match cli.command {
        Command::Run { json: true, .. } | Command::Watch { json: true, .. } => Terminal::of_objects(),
        _ => Terminal::new(),
    };
    let way = if is_server { None } else { terminal.log() };
    let _log = log::start(verbose, settings.log_format, way);
    if let Some(file) = settings.exposed.as_ref().filter(|_| is_server) {
        tracing::warn!(file = %file.display(), "other users can read the secret in the settings file: run chmod 600 on it");
    }
    if is_server {
        server::raise_file_limit();
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(async {
        // Heard, it no longer kills: a file that may not grow (RLIMIT_FSIZE) is a full disk like any other.
        let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
        match cli.command {
            Command::Demo { .. } => return demo::demo(&settings).await,
            Command::Serve { .. } => return serve::serve(&settings).await,
            Command::Run { kind, owner, fields, .. } => {
                return run::run(&run::Order { kind, owner, fields }, &settings, &terminal).await;
            }
            Command::Watch { id, .. } => return watch::watch(&id, &settings, &terminal).await,
            Command::Backup { file } => return backup::backup(&file, &settings).await,
            Command::Check { .. } => return Ok(check::check(&settings)),
            Command::User { command } => user::run(&settings.database, command).await?,
            Command::Token { id, user, .. } => token::token(&id, &user, &settings).await?,
        }
        Ok(ExitCode::SUCCESS)
    });
    // A run that hangs must not hold the process.
    runtime.shutdown_background();
    done
}

/// Writes a line to stdout. Whoever closed it does not want to know, and a server goes on.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{}", visible(line));
}

/// The line without control characters: names of files and what stands in a database may be of anybody's making, and a terminal
/// would do what they say.
pub(crate) fn visible(line: &str) -> Cow<'_, str> {
    if !line.contains(char::is_control) {
        return line.into();
    }
    let shown =
        line.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() });
    shown.collect::<String>().into()
}

/// Help as clap gives it; anything else as one line, as for a bad setting.
fn wrong_use(error: &clap::Error) -> Result<ExitCode, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader who goes away has read enough.
            let _ = error.print();
            Ok(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Ok(ExitCode::from(2))
        }
        _ => Err(one_line(&error.to_string()).into()),
    }
}

/// What is wrong and the hints, without the usage.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let words: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let text = words.join(" ").replace(" tip: ", "; tip: ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    format!("{text} (see liveops --help)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_use_is_one_line() {
        for (words, expected) in [
            (
                &["liveops", "demo", "--lisen", "h:1"][..],
                "unexpected argument '--lisen' found; tip: a similar argument exists: '--listen' (see liveops --help)",
            ),
            (
                &["liveops", "token", "x"],
                "the following required arguments were not provided: --user <USER> (see liveops --help)",
            ),
        ] {
            let error = Cli::try_parse_from(words).expect_err("wrong use");
            assert_eq!(one_line(&error.to_string()), expected);
        }
    }

    #[test]
    fn a_negative_number_is_a_value() {
        let cli = Cli::try_parse_from(["liveops", "demo", "--workers", "-5"]).expect("it is parsed");
        let Command::Demo { settings } = cli.command else { panic!("another command") };
        let error = Settings::read(settings, None).expect_err("no such number");
        assert_eq!(
            error.to_string(),
            "workers: \"-5\" (by --workers) cannot be used: expected a whole number from 1 to 1024"
        );
    }

    #[test]
    fn what_is_written_controls_no_terminal() {
        assert_eq!(visible("a.db: 3 operations\u{e9}"), "a.db: 3 operations\u{e9}");
        let hostile = "l.db-secret.\r\u{1b}[2Kok files\n\u{1b}]0;pwn\u{7}\u{9b}31m";
        let shown = visible(hostile);
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.starts_with("l.db-secret.\\r\\u{1b}[2Kok files\\n"), "{shown}");
    }
}

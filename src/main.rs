//! `liveops`: the command line in, an exit code out.

mod cli;
mod config;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(error) => {
            // Whoever reads may be gone; that is no reason to panic.
            let _ = writeln!(std::io::stderr(), "liveops: {}", cli::visible(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

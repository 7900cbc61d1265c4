//! `liveops`: the command line in, an exit code out.

mod cli;
mod config;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("liveops: {error}");
            ExitCode::from(2)
        }
    }
}

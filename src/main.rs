//! `liveops`: the command line in, an exit code out.

mod cli;
mod config;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let _log = cli.start_log();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("liveops: {error}");
            ExitCode::from(2)
        }
    }
}

//! `liveops user …`.

use std::io::Read as _;
use std::path::Path;

use clap::Subcommand;
use jiff::Timestamp;
use liveops::access::{Password, hash_password};
use liveops::store::{Accounts as _, Sqlite, User};

use super::Failure;

/// Longest name of a user.
const LONGEST_NAME: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user who signs in with a password
    Add {
        /// The name to sign in with
        name: String,
        /// A group that the user belongs to; may be given several times
        #[arg(long = "group")]
        groups: Vec<String>,
        /// Passes every group check
        #[arg(long)]
        superuser: bool,
        /// Read the password from standard input, up to the first line break
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

pub(super) async fn run(database: &Path, command: UserCommand) -> Result<(), Failure> {
    let UserCommand::Add { name, groups, superuser, password_stdin: _ } = command;
    let well_formed =
        !name.trim().is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    if !well_formed {
        return Err(
            format!("the name {name:?} cannot be used: give 1 to {LONGEST_NAME} visible characters").into()
        );
    }
    let password = password_from_stdin()?;
    let store = Sqlite::open(database)?;
    let user = User {
        id: uuid::Uuid::new_v4().to_string(),
        name: name.clone(),
        groups,
        superuser,
        password_hash: Some(hash_password(&password)),
    };
    store.add_user(user, Timestamp::now()).await?;
    println!("added user {name}");
    Ok(())
}

fn password_from_stdin() -> Result<Password, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut text)
        .map_err(|error| format!("the password could not be read from standard input: {error}"))?;
    let password = Password::new(text.lines().next().unwrap_or(""));
    if password.is_empty() {
        return Err("no password came on standard input: pipe it in, as in `printf %s \"$PASSWORD\" | liveops user add …`".into());
    }
    Ok(password)
}

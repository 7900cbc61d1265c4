//! `liveops user …`: who may sign in.

mod list;
mod names;
mod password;

use std::io::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use liveops::access::hash_password;
use liveops::store::{Accounts as _, Sqlite, User};

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user who signs in with a password
    Add {
        /// The name to sign in with
        name: String,
        #[command(flatten)]
        groups: GroupFlags,
        /// Passes every group check
        #[arg(long)]
        superuser: bool,
        #[command(flatten)]
        password: password::Source,
    },
    /// List the users with their groups
    List,
    /// Remove a user and end their sessions; their operations stay, seen by nobody
    Remove {
        /// Who
        name: String,
    },
    /// Give a user another password and end their sessions
    Passwd {
        /// Whose
        name: String,
        #[command(flatten)]
        password: password::Source,
    },
    /// Set the groups that a user belongs to; without any, they belong to none
    Groups {
        /// Who
        name: String,
        #[command(flatten)]
        groups: GroupFlags,
    },
}

#[derive(Debug, Args)]
pub(super) struct GroupFlags {
    /// A group that the user belongs to; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
}

pub(super) async fn run(database: &Path, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, groups, superuser, password } => {
            let (name, groups) = (names::user(name)?, names::groups(groups.groups)?);
            let password_hash = Some(hash_password(&password.read()?));
            let id = uuid::Uuid::new_v4().to_string();
            let user = User { id, name: name.clone(), groups, superuser, password_hash };
            Sqlite::open(database)?.add_user(user, Timestamp::now()).await?;
            say(&format!("added user {name}\n"))
        }
        UserCommand::List => {
            let users = existing(database)?.users().await?;
            say(&list::render(&users, list::Style::of_stdout()))
        }
        UserCommand::Remove { name } => {
            let removed = existing(database)?.remove_user(&name).await?;
            known(removed, &name)?;
            say(&format!("removed user {name} and ended their sessions\n"))
        }
        UserCommand::Passwd { name, password } => {
            let store = existing(database)?;
            // Before a password is asked for in vain.
            known(store.user_by_name(&name).await?.is_some(), &name)?;
            let hash = hash_password(&password.read()?);
            known(store.set_password(&name, hash).await?, &name)?;
            say(&format!("changed the password of {name} and ended their sessions\n"))
        }
        UserCommand::Groups { name, groups } => {
            let groups = names::groups(groups.groups)?;
            let now = if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") };
            known(existing(database)?.set_groups(&name, groups).await?, &name)?;
            say(&format!("{name} belongs to {now} now\n"))
        }
    }
}

/// A database that is there: only `add` makes one.
fn existing(database: &Path) -> Result<Sqlite, Failure> {
    super::watch::open_and_update(database)
}

fn known(found: bool, name: &str) -> Result<(), Failure> {
    if found { Ok(()) } else { Err(format!("there is no user {name:?}: see liveops user list").into()) }
}

/// Writes to stdout. A reader who goes away has read enough; the work is done either way.
fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

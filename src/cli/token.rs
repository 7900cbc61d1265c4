//! `liveops token ID --user NAME`.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use liveops::access::{Grant, Keys};
use liveops::store::{Accounts as _, Sqlite, Store as _};
use liveops::{Channel, OperationId};

use super::Failure;
use crate::config::TokenSettings;

pub(super) async fn token(
    database: &Path,
    id: &str,
    user: &str,
    settings: &TokenSettings,
) -> Result<(), Failure> {
    let id: OperationId = id.parse()?;
    if !database.exists() {
        return Err(format!("database: there is no file {}", database.display()).into());
    }
    let store = Sqlite::open(database)?;
    let owner = store.user_by_name(user).await?.ok_or_else(|| format!("there is no user {user:?}"))?;
    let owned = store.record(id).await?.is_some_and(|record| record.owner == owner.id);
    if !owned {
        return Err(format!("the user {user:?} has no operation {id}").into());
    }
    let keys = Keys::new(&settings.secret.key(database)?, &[]);
    let life = Duration::from_secs(settings.token_ttl_seconds);
    let expires = (Timestamp::now() + life).as_second();
    let grant = Grant { user: owner.id, channels: vec![Channel::Operation(id)], expires };
    println!("{}", keys.sign(&grant).as_str());
    Ok(())
}

//! `liveops token ID --user NAME`.

use jiff::Timestamp;
use liveops::access::{Grant, Keys};
use liveops::store::{Accounts as _, Store as _};
use liveops::{Channel, OperationId};

use super::{Failure, say};
use crate::config::{Settings, stored_secret};

pub(super) async fn token(id: &str, user: &str, settings: &Settings) -> Result<(), Failure> {
    let id: OperationId = id.parse()?;
    let database = &settings.database;
    let store = super::watch::open(database)?;
    let owner = store.user_by_name(user).await?.ok_or_else(|| format!("there is no user {user:?}"))?;
    let owned = store.owned(&owner.id, id).await?.is_some();
    if !owned {
        return Err(format!("the user {user:?} has no operation {id}").into());
    }
    let secret = match &settings.secret_key {
        Some(secret) => secret.clone(),
        // That of a demo.
        None => match stored_secret(database)? {
            Some(secret) => secret,
            None => settings.needed_secret()?,
        },
    };
    let keys = Keys::new(&secret, &[]);
    let expires = (Timestamp::now() + settings.token_ttl).as_second();
    let grant = Grant { user: owner.id, channels: vec![Channel::Operation(id)], expires };
    say(keys.sign(&grant).as_str());
    Ok(())
}

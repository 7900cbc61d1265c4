//! Users, sessions and login links.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Sqlite;
use super::fault::Fault;
use super::rows::{json, micros, time, to_json};
use crate::store::{Accounts, Digest, Session, StoreError, StoreResult, User};

/// What [`user`] reads.
const USER: &str = "id, name, groups, superuser, password_hash";

#[async_trait]
impl Accounts for Sqlite {
    async fn add_user(&self, user: User, now: Timestamp) -> StoreResult<()> {
        let groups = to_json(&user.groups).map_err(Fault::of_write)?;
        let add = move |connection: &Connection| {
            let User { id, name, superuser, password_hash, .. } = user;
            if connection.prepare_cached("SELECT 1 FROM liveops_users WHERE name = ?1")?.exists([&name])? {
                return Err(StoreError::Taken(name).into());
            }
            let sql = "INSERT INTO liveops_users (id, name, groups, superuser, password_hash, created)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![id, name, groups, superuser, password_hash, micros(now)])?;
            Ok(())
        };
        self.0.writer.write(add).await
    }

    async fn user_by_name(&self, name: &str) -> StoreResult<Option<User>> {
        let name = name.to_owned();
        let find = move |connection: &Connection| {
            let sql = format!("SELECT {USER} FROM liveops_users WHERE name = ?1");
            one(connection, &sql, [name])
        };
        self.0.readers.read(find).await
    }

    async fn users(&self) -> StoreResult<Vec<User>> {
        let find = |connection: &Connection| {
            let sql = format!("SELECT {USER} FROM liveops_users ORDER BY name");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut users = Vec::new();
            while let Some(row) = rows.next()? {
                users.push(user(row)?);
            }
            Ok(users)
        };
        self.0.readers.read(find).await
    }

    async fn remove_user(&self, name: &str) -> StoreResult<bool> {
        let name = name.to_owned();
        let remove = move |connection: &Connection| {
            // Sessions and links go with the user.
            let sql = "DELETE FROM liveops_users WHERE name = ?1";
            Ok(connection.prepare_cached(sql)?.execute([name])? > 0)
        };
        self.0.writer.write(remove).await
    }

    async fn set_password(&self, name: &str, password_hash: String) -> StoreResult<bool> {
        let name = name.to_owned();
        let set = move |connection: &Connection| {
            let sql = "UPDATE liveops_users SET password_hash = ?2 WHERE name = ?1 RETURNING id";
            let mut statement = connection.prepare_cached(sql)?;
            let id: Option<String> =
                statement.query_row([&name, &password_hash], |row| row.get(0)).optional()?;
            let Some(id) = id else { return Ok(false) };
            for table in ["liveops_sessions", "liveops_login_links"] {
                let sql = format!("DELETE FROM {table} WHERE user_id = ?1");
                connection.prepare_cached(&sql)?.execute([&id])?;
            }
            Ok(true)
        };
        self.0.writer.write(set).await
    }

    async fn set_groups(&self, name: &str, groups: Vec<String>) -> StoreResult<bool> {
        let name = name.to_owned();
        let groups = to_json(&groups).map_err(Fault::of_write)?;
        let set = move |connection: &Connection| {
            let sql = "UPDATE liveops_users SET groups = ?2 WHERE name = ?1";
            Ok(connection.prepare_cached(sql)?.execute([name, groups])? > 0)
        };
        self.0.writer.write(set).await
    }

    async fn open_session(
        &self,
        session: Digest,
        user: &User,
        expires: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let (id, password_hash) = (user.id.clone(), user.password_hash.clone());
        let open = move |connection: &Connection| {
            let sql = "SELECT 1 FROM liveops_users WHERE id = ?1 AND password_hash IS ?2";
            if !connection.prepare_cached(sql)?.exists(params![id, password_hash])? {
                return Ok(false);
            }
            insert_session(connection, session, &id, expires, now)?;
            Ok(true)
        };
        self.0.writer.write(open).await
    }

    async fn session(&self, session: Digest) -> StoreResult<Option<Session>> {
        let find = move |connection: &Connection| {
            let sql = format!(
                "SELECT {USER}, expires, opened, used FROM liveops_sessions JOIN liveops_users ON id = user_id
                 WHERE digest = ?1"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([session.as_bytes()])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let at = |column: &str| -> Result<Timestamp, Fault> { time(row.get(column)?) };
            let (expires, opened, used) = (at("expires")?, at("opened")?, at("used")?);
            Ok(Some(Session { user: user(row)?, expires, opened, used }))
        };
        self.0.readers.read(find).await
    }

    async fn touch_session(&self, session: Digest, now: Timestamp) -> StoreResult<()> {
        let touch = move |connection: &Connection| {
            let sql = "UPDATE liveops_sessions SET used = ?2 WHERE digest = ?1";
            connection.prepare_cached(sql)?.execute(params![session.as_bytes(), micros(now)])?;
            Ok(())
        };
        self.0.writer.write(touch).await
    }

    async fn sessions_left(&self, sessions: Vec<Digest>) -> StoreResult<Vec<(Digest, User)>> {
        let find = move |connection: &Connection| {
            let sql = format!(
                "SELECT {USER} FROM liveops_sessions JOIN liveops_users ON id = user_id WHERE digest = ?1"
            );
            let mut left = Vec::new();
            for session in sessions {
                if let Some(user) = one(connection, &sql, [session.as_bytes()])? {
                    left.push((session, user));
                }
            }
            Ok(left)
        };
        self.0.readers.read(find).await
    }

    async fn close_session(&self, session: Digest) -> StoreResult<()> {
        let close = move |connection: &Connection| {
            let sql = "DELETE FROM liveops_sessions WHERE digest = ?1";
            connection.prepare_cached(sql)?.execute([session.as_bytes()])?;
            Ok(())
        };
        self.0.writer.write(close).await
    }

    async fn add_login_link(&self, link: Digest, user_id: &str, expires: Timestamp) -> StoreResult<()> {
        let user_id = user_id.to_owned();
        let add = move |connection: &Connection| {
            let sql = "DELETE FROM liveops_login_links WHERE expires <= ?1";
            connection.prepare_cached(sql)?.execute([micros(Timestamp::now())])?;
            let sql = "INSERT INTO liveops_login_links (digest, user_id, expires) VALUES (?1, ?2, ?3)";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![link.as_bytes(), user_id, micros(expires)])?;
            Ok(())
        };
        self.0.writer.write(add).await
    }

    async fn use_login_link(
        &self,
        link: Digest,
        session: Digest,
        session_expires: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let sign_in = move |connection: &Connection| {
            let sql = "DELETE FROM liveops_login_links WHERE digest = ?1 AND expires > ?2 RETURNING user_id";
            let mut statement = connection.prepare_cached(sql)?;
            let user_id: Option<String> =
                statement.query_row(params![link.as_bytes(), micros(now)], |row| row.get(0)).optional()?;
            let Some(user_id) = user_id else { return Ok(false) };
            insert_session(connection, session, &user_id, session_expires, now)?;
            Ok(true)
        };
        self.0.writer.write(sign_in).await
    }
}

/// How long an expired session is kept: a stream that was opened in time goes on, and a session
/// that is not there any more was ended.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// So many are kept whatever the clock says: it may have leapt ahead, and nobody is signed out, or loses streams, by that.
const FEW: u32 = 10_000;

/// Opens a session, and takes the occasion to remove those that are long over, where there are many.
fn insert_session(
    connection: &Connection,
    session: Digest,
    user_id: &str,
    expires: Timestamp,
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "DELETE FROM liveops_sessions
               WHERE expires <= ?1 AND (SELECT count(*) FROM liveops_sessions) > ?2";
    connection.prepare_cached(sql)?.execute(params![micros(now - KEPT), FEW])?;
    let sql =
        "INSERT INTO liveops_sessions (digest, user_id, expires, opened, used) VALUES (?1, ?2, ?3, ?4, ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![session.as_bytes(), user_id, micros(expires), micros(now)])?;
    Ok(())
}

fn one(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Option<User>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(user).transpose()
}

/// A user from a row of [`USER`].
fn user(row: &Row<'_>) -> Result<User, Fault> {
    Ok(User {
        id: row.get("id")?,
        name: row.get("name")?,
        groups: json(&row.get::<_, String>("groups")?)?,
        superuser: row.get("superuser")?,
        password_hash: row.get("password_hash")?,
    })
}

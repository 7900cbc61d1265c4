//! The binary's own people: users, sessions and login links.

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreResult;

/// A user of the binary. A host application has its own. `Debug` does not show the password's hash.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The id that operations are owned by: never reused.
    pub id: String,
    /// The name to sign in with.
    pub name: String,
    /// The groups that they belong to.
    pub groups: Vec<String>,
    /// Passes every group check.
    pub superuser: bool,
    /// The hash of the password; without one only a login link signs in.
    pub password_hash: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("groups", &self.groups)
            .field("superuser", &self.superuser)
            .finish_non_exhaustive()
    }
}

/// A session of the binary, with its user as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user: User,
    /// When it ends, however much it is used.
    pub expires: Timestamp,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it was last used, as far as that was noted.
    pub used: Timestamp,
}

/// Where the binary's users and sessions last. Secrets reach it as [`Digest`]s only.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Adds a user.
    async fn add_user(&self, user: User, now: Timestamp) -> StoreResult<()>;

    /// The user of that name.
    async fn user_by_name(&self, name: &str) -> StoreResult<Option<User>>;

    /// Every user, by name.
    async fn users(&self) -> StoreResult<Vec<User>>;

    /// Removes a user with their sessions and links; false when there is none of that name. Their
    /// operations stay.
    async fn remove_user(&self, name: &str) -> StoreResult<bool>;

    /// Sets a user's password and ends their sessions and links in the same commit; false when
    /// there is none of that name.
    async fn set_password(&self, name: &str, password_hash: String) -> StoreResult<bool>;

    /// Sets the groups that a user belongs to; false when there is none of that name.
    async fn set_groups(&self, name: &str, groups: Vec<String>) -> StoreResult<bool>;

    /// Opens a session at `now`, until `expires`; false when the user is gone, or has another password than
    /// `user` says: who signs in with the old one while it is changed does not get in.
    async fn open_session(
        &self,
        session: Digest,
        user: &User,
        expires: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// A session that nobody ended. Whether its time is over is for the caller to say.
    async fn session(&self, session: Digest) -> StoreResult<Option<Session>>;

    /// Notes that a session was used at `now`.
    async fn touch_session(&self, session: Digest, now: Timestamp) -> StoreResult<()>;

    /// Those of these sessions that nobody ended, with their users as they are now. One that
    /// expired of late is among them: expiry ends no open stream.
    async fn sessions_left(&self, sessions: Vec<Digest>) -> StoreResult<Vec<(Digest, User)>>;

    /// Ends a session.
    async fn close_session(&self, session: Digest) -> StoreResult<()>;

    /// Stores a login link's digest until `expires`.
    async fn add_login_link(&self, link: Digest, user_id: &str, expires: Timestamp) -> StoreResult<()>;

    /// Uses a login link up, and opens `session` for its user in the same commit; false when the
    /// link is not there, used or expired at `now`.
    async fn use_login_link(
        &self,
        link: Digest,
        session: Digest,
        session_expires: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool>;
}

/// SHA-256 of a secret that is looked up by: whoever reads the database cannot sign in with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a secret text.
    pub fn of(secret: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

//! What goes wrong inside a query, before it is known what that means for the caller.

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Why a query came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite said no.
    Sql(rusqlite::Error),
    /// The store did.
    Store(StoreError),
}

impl Fault {
    /// What is stored is not what was ever written: damaged, or of another program.
    pub(super) fn stored(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Store(StoreError::Failed(error.into()))
    }

    /// As the error of a write.
    pub(super) fn of_write(self) -> StoreError {
        match self {
            Self::Sql(error) if unwritable(&error) => StoreError::Unwritable(error.into()),
            other => other.of_read(),
        }
    }

    /// As the error of a read.
    pub(super) fn of_read(self) -> StoreError {
        match self {
            Self::Sql(error) => StoreError::Failed(error.into()),
            Self::Store(error) => error,
        }
    }
}

/// Whether the same write may succeed later.
fn unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
        )
    )
}

/// The same error once more, for each of those whom it concerns.
pub(super) fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => {
            let unknown = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR);
            rusqlite::Error::SqliteFailure(unknown, Some(other.to_string()))
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

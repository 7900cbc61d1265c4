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
            Self::Sql(error) if held(&error) => StoreError::Busy(error.into()),
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
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen)
    )
}

/// Whether another connection was in the way.
fn held(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The same error once more, for each of those whom it concerns.
pub(super) fn again(fault: &Fault) -> Fault {
    match fault {
        Fault::Sql(rusqlite::Error::SqliteFailure(code, text)) => {
            rusqlite::Error::SqliteFailure(*code, text.clone()).into()
        }
        Fault::Sql(other) => Fault::stored(other.to_string()),
        Fault::Store(StoreError::Replaced(path)) => StoreError::Replaced(path.clone()).into(),
        Fault::Store(other) => Fault::stored(other.to_string()),
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
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

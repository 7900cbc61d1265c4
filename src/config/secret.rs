//! The secret key that `demo` makes beside the database.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use liveops::SecretKey;
use liveops::access::{SecretKeyError, random_text};

/// Longest text that a file with a key may hold, in bytes.
const LONGEST: u64 = 4096;

/// Why there is no secret key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("secret_key: the file {} cannot be used: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the file {}: {source}", path.display())]
    Unusable { path: PathBuf, source: SecretKeyError },
}

/// The key in the file beside the database, where there is one.
pub(crate) fn stored_secret(database: &Path) -> Result<Option<SecretKey>, SecretFileError> {
    let path = path_of(database);
    match read(&path) {
        Ok(text) => key(&path, &text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SecretFileError::File { path, source }),
    }
}

/// The key in the file beside the database, made there when it is missing.
pub(crate) fn stored_or_new_secret(database: &Path) -> Result<SecretKey, SecretFileError> {
    if let Some(secret) = stored_secret(database)? {
        return Ok(secret);
    }
    let path = path_of(database);
    let text = make(&path).map_err(|source| SecretFileError::File { path: path.clone(), source })?;
    key(&path, &text)
}

/// A path beside the database: its name with `suffix`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    // Whichever way processes go to a database, they mean the same files.
    let real = database.canonicalize();
    let database = real.as_deref().unwrap_or(database);
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    database.with_file_name(name)
}

fn path_of(database: &Path) -> PathBuf {
    beside(database, "-secret")
}

fn key(path: &Path, text: &str) -> Result<SecretKey, SecretFileError> {
    SecretKey::new(text.trim().as_bytes())
        .map_err(|source| SecretFileError::Unusable { path: path.to_owned(), source })
}

fn read(path: &Path) -> std::io::Result<String> {
    // A pipe of that name would be waited for.
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let file = OpenOptions::new().read(true).open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(std::io::Error::other(
                "other users can read it: run chmod 600 on it, and replace it if they may have",
            ));
        }
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn make(path: &Path) -> std::io::Result<String> {
    // Written whole under another name first: nobody reads half a key.
    let unfinished = beside(path, &format!(".{}", random_text()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(random_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let made = std::fs::hard_link(&unfinished, path);
    std::fs::remove_file(&unfinished)?;
    match made {
        Ok(()) => {}
        // Another process was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    read(path)
}

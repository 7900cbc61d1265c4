//! Uploads on their way to the disk.
//!
//! A file is locked for as long as it is received, and until the operation that reads it is
//! committed. One that is neither locked nor known to the store was left by a process that died; the
//! housekeeping removes it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::access::random_text;
use crate::operation::Upload;
use crate::progress::Text;

/// A file that is being received. Unless it is kept, it is removed when this is dropped.
pub struct Receiving {
    path: PathBuf,
    name: String,
    size: u64,
    file: Option<File>,
    /// The same open file: what holds the lock.
    lock: std::fs::File,
    content: digest::Context,
    keep: bool,
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiving")
            .field("path", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Receiving {
    /// Opens a new file of a random name in `folder`, which is made when it is missing. `name` is
    /// what the browser calls it: text for people, no path.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn create(folder: &Path, name: &str) -> std::io::Result<Self> {
        fs::create_dir_all(folder).await?;
        let path = std::path::absolute(folder.join(random_text()))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await?.into_std().await;
        file.lock()?;
        let lock = file.try_clone()?;
        let file = Some(File::from_std(file));
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        // The one character that browsers encode and people use: multipart/form-data in the HTML standard.
        let name = name.replace("%22", "\"");
        let name = Text::new(&name.chars().take(200).collect::<String>()).to_string();
        let content = digest::Context::new(&digest::SHA256);
        Ok(Self { path, name, size: 0, file, lock, content, keep: false })
    }

    /// Adds what came.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.size += bytes.len() as u64;
        self.content.update(bytes);
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None => Err(std::io::Error::other("the upload is complete already")),
        }
    }

    /// Makes what came durable, since the operation that reads it will be.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn complete(&mut self) -> std::io::Result<Upload> {
        if let Some(mut file) = self.file.take() {
            file.flush().await?;
            file.sync_all().await?;
        }
        Ok(Upload { path: self.path.clone(), name: self.name.clone(), size: self.size })
    }

    /// Where it lies, as the input names it, and the SHA-256 of what came so far, by which two
    /// uploads are the same.
    pub(crate) fn content(&self) -> (&Path, String) {
        (&self.path, URL_SAFE_NO_PAD.encode(self.content.clone().finish()))
    }

    /// Its name in the folder.
    pub(crate) fn stored_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The operation that it is for has been started.
    pub(crate) fn keep(mut self) {
        self.keep = true;
        // Closing it would do, but a copy of it may be on its way through a blocking thread.
        let _ = self.lock.unlock();
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.keep {
            // One unlink; a blocking one is better than an orphan.
            if let Err(error) = std::fs::remove_file(&self.path) {
                tracing::warn!(%error, "an upload that was not used could not be removed");
            }
        }
    }
}

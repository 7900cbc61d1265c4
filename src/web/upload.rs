//! Uploads on their way to the disk.

use std::path::{Path, PathBuf};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::access::random_text;
use crate::operation::Upload;
use crate::progress::Text;

/// A file that is being received. Unless it is kept, it is removed when this is dropped.
pub(super) struct Receiving {
    path: PathBuf,
    name: String,
    size: u64,
    file: Option<File>,
    keep: bool,
}

impl Receiving {
    /// Opens a new file of a random name in `folder`, which is made when it is missing. `name` is
    /// what the browser calls it: text for people, no path.
    pub(super) async fn create(folder: &Path, name: &str) -> std::io::Result<Self> {
        fs::create_dir_all(folder).await?;
        let path = std::path::absolute(folder.join(random_text()))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await?;
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
        // The one character that browsers encode and people use: multipart/form-data in the HTML standard.
        let name = name.replace("%22", "\"");
        let name = Text::new(&name.chars().take(200).collect::<String>()).to_string();
        Ok(Self { path, name, size: 0, file: Some(file), keep: false })
    }

    /// Adds what came.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.size += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None => Err(std::io::Error::other("the upload is complete already")),
        }
    }

    /// Makes what came durable, since the operation that reads it will be.
    pub(super) async fn complete(&mut self) -> std::io::Result<Upload> {
        if let Some(mut file) = self.file.take() {
            file.flush().await?;
            file.sync_all().await?;
        }
        Ok(Upload { path: self.path.clone(), name: self.name.clone(), size: self.size })
    }

    /// The operation that it is for has been started.
    pub(super) fn keep(mut self) {
        self.keep = true;
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

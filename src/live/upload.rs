//! Uploads on their way to the disk.
//!
//! A file is locked for as long as it is received, and until the operation that reads it is
//! committed. One that is neither locked nor known to the store was left by a process that died; the
//! housekeeping removes it, which holds the lock meanwhile.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;

use crate::access::random_text;
use crate::operation::Upload;
use crate::progress::Text;

/// Length of the random end of a name.
const RANDOM: usize = 43;

/// The folder for the uploads of one store.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    folder: PathBuf,
    /// What their names begin with: the folder may hold files of others, other stores among them.
    prefix: String,
}

impl Uploads {
    /// Uploads in `folder` of the store with that identity.
    pub(crate) fn new(folder: PathBuf, identity: u64) -> Self {
        Self { folder, prefix: format!("{identity:016x}-") }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a new file of a random name in the folder, which is made when it is missing. `name` is
    /// what the browser calls it: text for people, no path.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) async fn receive(&self, name: &str) -> std::io::Result<Receiving> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        folder.mode(0o700);
        folder.create(&self.folder).await?;
        loop {
            let stored = format!("{}{}", self.prefix, random_text());
            let receiving = Receiving::create(&self.folder, &stored, name).await?;
            // The housekeeping may have seen it before it was locked, and removed it.
            if fs::try_exists(&receiving.path).await? {
                return Ok(receiving);
            }
        }
    }

    /// Whether a file of that name in the folder is an upload of this store.
    pub(crate) fn is_ours(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix).is_some_and(is_random)
    }

    /// The same, or of a version that gave names without a beginning.
    pub(crate) fn may_be_ours(&self, name: &str) -> bool {
        self.is_ours(name) || is_random(name)
    }
}

fn is_random(text: &str) -> bool {
    text.len() == RANDOM && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

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
    async fn create(folder: &Path, stored: &str, name: &str) -> std::io::Result<Self> {
        let path = std::path::absolute(folder.join(stored))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&path).await?.into_std().await;
        // Only the housekeeping may hold it, for as long as a query takes.
        let lock = file.try_clone()?;
        spawn_blocking(move || lock.lock()).await.map_err(std::io::Error::other)??;
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
            // Its name as well.
            #[cfg(unix)]
            if let Some(folder) = self.path.parent() {
                File::open(folder).await?.sync_all().await?;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_gave_are_ours() {
        let (ours, other) = (Uploads::new("u".into(), 1), Uploads::new("u".into(), 2));
        let name = format!("{}{}", ours.prefix, random_text());
        assert!(ours.is_ours(&name) && !other.is_ours(&name) && !other.may_be_ours(&name));
        assert!(ours.may_be_ours(&random_text()) && !ours.is_ours(&random_text()));
        let outside = format!("{}../../{}", ours.prefix, "x".repeat(37));
        for foreign in ["", "notes.txt", &ours.prefix, &outside, &format!("{name}x"), &format!("../{name}")] {
            assert!(!ours.may_be_ours(foreign), "{foreign}");
        }
    }

    #[tokio::test]
    async fn what_is_received_is_there_until_it_is_dropped_and_when_it_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().join("uploads"), 7);
        let mut receiving = uploads.receive("/home/me/a%22b.csv").await.expect("a file");
        receiving.write(b"abc").await.expect("it is written");
        let upload = receiving.complete().await.expect("it is durable");
        assert_eq!((upload.name.as_str(), upload.size), ("a\"b.csv", 3));
        assert_eq!(std::fs::read(&upload.path).expect("a file"), b"abc");
        drop(receiving);
        assert!(!upload.path.exists());
        let mut receiving = uploads.receive("a.csv").await.expect("a file");
        let upload = receiving.complete().await.expect("it is durable");
        receiving.keep();
        assert!(upload.path.exists());
    }
}

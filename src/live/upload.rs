//! Uploads on their way to the disk.
//!
//! A file is locked for as long as it is received, and until the operation that reads it is
//! committed. One that is neither locked nor known to the store was left by a process that died; the
//! housekeeping removes it, which holds the lock meanwhile.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::Value;
use tokio::fs::{self, File};
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
            let (folder, name) = (self.folder.clone(), name.to_owned());
            // In one go: where nobody waits for it any more, it is dropped and so removed.
            let create = move || Receiving::create(&folder, &stored, &name);
            let receiving = spawn_blocking(create).await.map_err(std::io::Error::other)??;
            // The housekeeping may have seen it before it was locked, and removed it.
            if fs::try_exists(&receiving.path).await? {
                return Ok(receiving);
            }
        }
    }

    /// Lets an input name its uploads where they lie now: the database may have been moved with them, or be
    /// a copy, which must not read and write beside the original.
    pub(crate) fn bring_home(&self, input: &mut Value) {
        let fields = input.as_object_mut().into_iter().flat_map(|fields| fields.values_mut());
        for path in fields.filter_map(|field| field.get_mut("path")) {
            let name = path.as_str().and_then(|path| Path::new(path).file_name()?.to_str());
            let Some(name) = name.filter(|name| self.may_be_ours(name)) else { continue };
            if let Ok(here) = std::path::absolute(self.folder.join(name))
                && here.exists()
                && let Some(here) = here.to_str()
            {
                *path = here.into();
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

/// The uploads of the store of that identity that lie in a folder, with their sizes, but for those that are being received; none
/// where there is no folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn uploads_in(folder: &Path, identity: u64) -> std::io::Result<Vec<(String, u64)>> {
    let uploads = Uploads::new(folder.to_owned(), identity);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().into_string().ok().filter(|name| uploads.may_be_ours(name)) else {
            continue;
        };
        // Whoever receives it holds its lock alone.
        // What is no file, a pipe say, is none of ours, and opening it might take for ever.
        let Some(file) = entry.metadata().ok().filter(std::fs::Metadata::is_file) else { continue };
        let is_received = std::fs::File::open(entry.path()).is_ok_and(|file| file.try_lock_shared().is_err());
        if !is_received {
            all.push((name, file.len()));
        }
    }
    Ok(all)
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
    fn create(folder: &Path, stored: &str, name: &str) -> std::io::Result<Self> {
        let path = std::path::absolute(folder.join(stored))?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        // Only the housekeeping may hold it, for as long as a query takes.
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

    /// From here on only the store knows whether somebody needs it: where nobody says what became of it,
    /// the housekeeping looks there.
    pub(crate) fn leave(&mut self) {
        self.keep = true;
    }

    /// Nobody needs it.
    pub(crate) fn discard(mut self) {
        self.keep = false;
    }

    /// The operation that it is for has been started, and the store says so.
    pub(crate) fn release(self) {
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
    use std::time::Duration;

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
        receiving.leave();
        receiving.release();
        assert!(upload.path.exists());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().to_owned(), 7);
        for _ in 0..200 {
            tokio::select! {
                biased;
                _ = uploads.receive("a.csv") => {}
                () = tokio::task::yield_now() => {}
            }
        }
        // Blocking threads may still be at it.
        let empty = async {
            while std::fs::read_dir(folder.path()).expect("a folder").next().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), empty).await.expect("nothing is left");
    }

    #[test]
    fn inputs_name_uploads_where_they_lie() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().to_owned(), 7);
        let (here, gone) = (random_text(), random_text());
        std::fs::write(folder.path().join(&here), "x").expect("it is written");
        let mut input = serde_json::json!({
            "file": { "path": format!("/before/{here}"), "name": "a.csv", "size": 1 },
            "gone": { "path": format!("/before/{gone}") },
            "other": { "path": "/etc/passwd" },
            "path": format!("/before/{here}"),
        });
        let mut expected = input.clone();
        expected["file"]["path"] = folder.path().join(&here).to_str().into();
        uploads.bring_home(&mut input);
        assert_eq!(input, expected);
    }
}

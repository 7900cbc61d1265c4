//! Uploads on their way back to whoever sent them.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::LiveOps;
use crate::operation::{Record, Upload};
use crate::store::{StoreError, StoreResult};

/// A file that came in a field of the form that started an operation.
pub(crate) struct Sent {
    /// The field's name.
    pub(crate) field: String,
    /// What the browser called it.
    pub(crate) name: String,
    /// Where it lies now.
    path: PathBuf,
}

/// Such a file, open: it can be read to its end even when it is removed meanwhile.
pub(crate) struct Download {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) file: tokio::fs::File,
}

impl LiveOps {
    /// The files that an operation's input names. Whatever stands in the input, these are files that the store calls this
    /// operation's, in the folder for uploads.
    pub(crate) async fn sent_files(&self, record: &Record) -> StoreResult<Vec<Sent>> {
        let uploads = &self.0.uploads;
        let fields = record.input.as_object().into_iter().flatten();
        let named: Vec<_> = fields
            .filter_map(|(field, value)| {
                let (stored, name) = named_by(value)?;
                uploads.may_be_ours(&stored).then(|| (field.clone(), stored, name))
            })
            .collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let theirs = self.0.store.uploads_of(record.id).await?;
        let sent = named.into_iter().filter(|(_, stored, _)| theirs.contains(stored));
        Ok(sent
            .map(|(field, stored, name)| Sent { field, name, path: uploads.folder().join(stored) })
            .collect())
    }

    /// The file that came in a field; none where there came none, or it is gone.
    pub(crate) async fn download(&self, record: &Record, field: &str) -> StoreResult<Option<Download>> {
        let sent = self.sent_files(record).await?;
        let Some(Sent { name, path, .. }) = sent.into_iter().find(|sent| sent.field == field) else {
            return Ok(None);
        };
        let opened = spawn_blocking(move || open(&path)).await.map_err(io::Error::other);
        match opened.flatten() {
            Ok((file, size)) => Ok(Some(Download { name, size, file: tokio::fs::File::from_std(file) })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::Failed(error.into())),
        }
    }
}

impl Sent {
    /// How many bytes it has; none where it is gone.
    pub(crate) async fn size(&self) -> Option<u64> {
        let file = tokio::fs::symlink_metadata(&self.path).await.ok()?;
        file.is_file().then_some(file.len())
    }
}

/// The name under which a file is stored that a value of an input stands for, and what people call it.
fn named_by(value: &Value) -> Option<(String, String)> {
    let Upload { path, name, .. } = Upload::deserialize(value).ok()?;
    Some((path.file_name()?.to_str()?.to_owned(), name))
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    // What was received is a file and nothing else: a link would lead out of the folder, and a pipe has no end.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

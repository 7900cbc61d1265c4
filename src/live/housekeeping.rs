//! What nobody asked for and has to be done now and then: old operations are removed, and uploads
//! that a dead process left.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use jiff::Timestamp;

use super::Inner;
use crate::store::StoreResult;

const HOUR: Duration = Duration::from_secs(3600);
/// So many operations are removed at once: other writers wait for as long as that takes.
const STEP: u32 = 20;
/// Between two such steps.
const PAUSE: Duration = Duration::from_millis(50);
/// A file that was touched later than this may be about to be locked.
const YOUNG: Duration = Duration::from_secs(60);
/// Files that are looked at together.
const BATCH: usize = 200;

/// Keeps house at once and then each hour, until the [`LiveOps`](super::LiveOps) is gone.
pub(super) async fn keep_house(inner: Weak<Inner>) {
    loop {
        // Where it is still being built, it is there in a moment.
        tokio::time::sleep(PAUSE).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = inner.remove_old().await {
            tracing::warn!(%error, "old operations could not be removed; trying again in an hour");
        }
        if let Err(error) = inner.remove_orphans().await {
            tracing::warn!(%error, "uploads that nobody needs could not be removed; trying again in an hour");
        }
        drop(inner);
        tokio::time::sleep(HOUR).await;
    }
}

impl Inner {
    /// Removes what ended longer ago than the retention says: first from the store, then its files.
    async fn remove_old(&self) -> StoreResult<()> {
        let Some(age) = self.retention else { return Ok(()) };
        let before = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut all = 0;
        loop {
            let removed = self.store.remove_ended(before, STEP).await?;
            // Whatever stands in the database, no other file is touched.
            for name in removed.uploads.iter().filter(|name| is_name(name)) {
                remove(&self.uploads.join(name));
            }
            all += removed.operations;
            if removed.operations < STEP {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if all > 0 {
            tracing::info!(operations = all, "removed because of their age");
        }
        Ok(())
    }

    /// Removes uploads that no operation needs and no living process is receiving.
    async fn remove_orphans(&self) -> StoreResult<()> {
        let folder = self.uploads.clone();
        let Ok(mut left) = tokio::task::spawn_blocking(move || unlocked(&folder)).await else {
            return Ok(());
        };
        while !left.is_empty() {
            let batch = left.split_off(left.len().saturating_sub(BATCH));
            let needed = self.store.uploads_needed(batch.clone()).await?;
            for name in batch.iter().filter(|name| !needed.contains(name)) {
                tracing::info!("an upload that nobody needs is removed");
                remove(&self.uploads.join(name));
            }
        }
        Ok(())
    }
}

/// The names of files in the folder that may be uploads and that nobody holds. Who gets the lock of
/// an upload knows that its operation is committed, or never will be.
fn unlocked(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_old = entry.metadata().is_ok_and(|file| {
            let touched = file.modified().ok().and_then(|at| at.elapsed().ok());
            file.is_file() && touched.is_some_and(|age| age > YOUNG)
        });
        if is_name(&name) && is_old && is_unlocked(&entry.path()) {
            names.push(name);
        }
    }
    names
}

fn is_unlocked(path: &PathBuf) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Whether it can be a name that we gave: the folder may hold files of others.
fn is_name(name: &str) -> bool {
    name.len() == 43 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "an upload could not be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::random_text;

    #[test]
    fn only_names_that_we_gave_are_removed() {
        assert!(is_name(&random_text()));
        let outside = format!("../../{}", "x".repeat(37));
        for other in ["", "notes.txt", outside.as_str(), &"x".repeat(44), &format!("{}/", "x".repeat(42))] {
            assert!(!is_name(other), "{other}");
        }
    }
}

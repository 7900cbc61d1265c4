//! What nobody asked for and has to be done now and then: old operations are removed, and uploads
//! that a dead process left.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;

use super::Inner;
use super::upload::Uploads;
use crate::store::StoreResult;

const HOUR: Duration = Duration::from_secs(3600);
/// So far retention follows a clock at once.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So many operations are removed at once: other writers wait for as long as that takes.
const STEP: u32 = 20;
/// Between two such steps.
const PAUSE: Duration = Duration::from_millis(50);
/// Files that are looked at together, and held open meanwhile.
const BATCH: usize = 50;

/// Keeps house at once and then each hour, until the [`LiveOps`](super::LiveOps) is gone.
pub(super) async fn keep_house(inner: Weak<Inner>) {
    // Whoever starts again and again does not hurry what is removed by its age.
    let mut step = HOUR;
    loop {
        // Where it is still being built, it is there in a moment.
        tokio::time::sleep(PAUSE).await;
        let Some(inner) = inner.upgrade() else { return };
        let clock = Arc::clone(&inner.clock);
        let next = clock.now().checked_add(HOUR).unwrap_or(Timestamp::MAX);
        if let Err(error) = inner.remove_old(step).await {
            tracing::warn!(%error, "old operations could not be removed; trying again in an hour");
        }
        if let Err(error) = inner.remove_orphans().await {
            tracing::warn!(%error, "uploads that nobody needs could not be removed; trying again in an hour");
        }
        step = DAY;
        drop(inner);
        clock.sleep_until(next).await;
    }
}

impl Inner {
    /// Removes what ended longer ago than the retention says: first from the store, then its files.
    /// Where the clock leapt ahead, that is as of `step` after the last time.
    async fn remove_old(&self, step: Duration) -> StoreResult<()> {
        let Some(age) = self.retention else { return Ok(()) };
        let now = self.clock.now();
        let believed = match self.clock.leaps_are_meant() {
            true => now,
            false => self.store.follow_clock(now, step).await?,
        };
        if believed < now {
            tracing::warn!(
                clock = %now, removing_as_of = %believed,
                "the clock is far ahead of when old operations were last removed: a day's worth is removed each hour"
            );
        }
        let before = believed.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut all = 0;
        loop {
            let removed = self.store.remove_ended(before, STEP).await?;
            // Whatever stands in the database, no other file is touched.
            for name in removed.uploads.iter().filter(|name| self.uploads.may_be_ours(name)) {
                remove(&self.uploads.folder().join(name));
            }
            all += removed.operations;
            if !removed.more {
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
        let uploads = self.uploads.clone();
        let Ok(mut names) = tokio::task::spawn_blocking(move || names(&uploads)).await else { return Ok(()) };
        while !names.is_empty() {
            let batch = names.split_off(names.len().saturating_sub(BATCH));
            // Held until it is removed: whoever gets the lock of an upload knows that its operation is
            // committed or never will be, and nobody who receives one gets it in between.
            let held: HashMap<String, File> = batch
                .into_iter()
                .filter_map(|name| lock(&self.uploads.folder().join(&name)).map(|file| (name, file)))
                .collect();
            let needed = self.store.uploads_needed(held.keys().cloned().collect()).await?;
            for name in held.keys().filter(|name| !needed.contains(name)) {
                tracing::info!("an upload that nobody needs is removed");
                remove(&self.uploads.folder().join(name));
            }
        }
        Ok(())
    }
}

/// The names of this store's files in the folder.
fn names(uploads: &Uploads) -> Vec<String> {
    let Ok(entries) = fs::read_dir(uploads.folder()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| uploads.is_ours(name)).collect()
}

/// The file, locked; none where a living process holds it, or where it is no file: opening a pipe might take for ever.
fn lock(path: &Path) -> Option<File> {
    path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    File::open(path).ok().filter(|file| file.try_lock().is_ok())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "an upload could not be removed");
        }
        _ => {}
    }
}

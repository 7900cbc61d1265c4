//! `liveops backup FILE`: a copy of everything, made while servers run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::HumanBytes;
use liveops::store::{Copied, Sqlite};
use tempfile::{Builder, TempDir};

use super::check::few;
use super::server::Signals;
use super::{Failure, INTERRUPTED, say};
use crate::config::{Settings, beside};

/// What comes before the random end of a name until the backup is whole.
pub(super) const UNFINISHED: &str = "-unfinished-";
/// How long this end is.
pub(super) const RANDOM: usize = 12;

pub(super) async fn backup(file: &Path, settings: &Settings) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let stop = Arc::new(AtomicBool::new(false));
    let (database, to, stopped) = (settings.database.clone(), file.to_owned(), Arc::clone(&stop));
    let goes_on = move || !stopped.load(Ordering::Relaxed);
    let mut writing = tokio::task::spawn_blocking(move || write(&database, &to, &goes_on));
    let written = tokio::select! {
        written = &mut writing => written??,
        () = signals.stop() => {
            stop.store(true, Ordering::Relaxed);
            // It takes away what there is; only then are we done.
            writing.await??
        }
    };
    let Some(written) = written else { return Ok(ExitCode::from(INTERRUPTED)) };
    let (database, bytes) = (settings.database.display(), HumanBytes(written.bytes));
    say(&format!("{}: {} operations of {database}, {bytes}", file.display(), written.operations));
    if let Some((folder, count, bytes)) = &written.uploads {
        say(&format!("{}: {count} uploads, {}", folder.display(), HumanBytes(*bytes)));
    }
    let secret = beside(&settings.database, "-secret");
    if secret.exists() {
        say(&format!("not copied: the key in {}; keep it in another place", secret.display()));
    }
    warn_of(written.missing, &settings.database);
    Ok(ExitCode::SUCCESS)
}

/// What a backup came to.
struct Written {
    operations: u64,
    bytes: u64,
    /// The folder of the uploads, how many there are and their bytes; none where no operation needs any.
    uploads: Option<(PathBuf, usize, u64)>,
    /// Uploads that were not there, each with an operation that needs it.
    missing: BTreeMap<String, String>,
}

/// Whether SQLite, or a server, takes a file of that name for one that belongs to the database.
fn is_part_of(database: &Path, folder: &Path, name: &str) -> bool {
    let database = beside(database, "");
    let same_folder = folder.canonicalize().is_ok_and(|folder| Some(&*folder) == database.parent());
    let own = database.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(&*own).filter(|_| same_folder).unwrap_or_default();
    ["-wal", "-shm", "-journal", "-secret", "-uploads"].contains(&rest) || rest.starts_with("-worker-")
}

/// Writes all of it under other names first: what bears the name of a backup is a whole one. None where it was stopped.
fn write(database: &Path, file: &Path, goes_on: &impl Fn() -> bool) -> Result<Option<Written>, Failure> {
    let failed = |error: io::Error| format!("{} cannot be written: {error}", file.display());
    let name = file.file_name().ok_or_else(|| format!("{} is no name of a file", file.display()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!("there is no folder {}: make it, or choose another one", folder.display()).into());
    }
    let uploads = beside(file, "-uploads");
    for path in [file, &uploads] {
        if path.symlink_metadata().is_ok() {
            return Err(format!("{} is there already: choose another name", path.display()).into());
        }
    }
    if is_part_of(database, folder, &name.to_string_lossy()) {
        let file = file.display();
        return Err(format!("{file} would be taken for a part of the database: choose another name").into());
    }
    if !database.exists() {
        return Err(format!("database: there is no file {}", database.display()).into());
    }
    let mut prefix = name.to_owned();
    prefix.push(UNFINISHED);
    let mut builder = Builder::new();
    builder.prefix(&prefix).rand_bytes(RANDOM);
    // Its owner's only, as a temporary file is. Closed, since closing it later would free SQLite's locks.
    let unfinished = builder.tempfile_in(folder).map_err(failed)?.into_temp_path();
    let Some(copied) = Sqlite::back_up(database, &unfinished, goes_on)? else { return Ok(None) };
    let Some(copies) = copy_uploads(database, &copied, &mut builder, folder, goes_on).map_err(failed)? else {
        return Ok(None);
    };
    let whole = File::open(&unfinished).map_err(failed)?;
    whole.sync_all().map_err(failed)?;
    let bytes = whole.metadata().map_err(failed)?.len();
    if !goes_on() {
        return Ok(None);
    }
    let mut written =
        Written { operations: copied.operations, bytes, uploads: None, missing: copies.missing };
    if copies.count > 0 {
        fs::rename(&copies.folder, &uploads).map_err(failed)?;
        written.uploads = Some((uploads.clone(), copies.count, copies.bytes));
    }
    if let Err(error) = unfinished.persist_noclobber(file) {
        if written.uploads.is_some() {
            let _ = fs::remove_dir_all(&uploads);
        }
        return Err(failed(error.error).into());
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(Some(written))
}

/// The uploads of a backup, in a folder that goes unless it gets another name.
struct Copies {
    folder: TempDir,
    count: usize,
    bytes: u64,
    missing: BTreeMap<String, String>,
}

/// Copies the uploads after the database: whatever its rows need was there before them. No links: a backup shares nothing with
/// what it is a backup of.
fn copy_uploads(
    database: &Path,
    copied: &Copied,
    builder: &mut Builder<'_, '_>,
    beside_file: &Path,
    goes_on: &impl Fn() -> bool,
) -> io::Result<Option<Copies>> {
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let folder = builder.tempdir_in(beside_file)?;
    let from = beside(database, "-uploads");
    let mut copies = Copies { folder, count: 0, bytes: 0, missing: BTreeMap::new() };
    for (name, operation) in &copied.uploads {
        if !goes_on() {
            return Ok(None);
        }
        // Whatever stands in the database, no other file is touched.
        let source = Some(from.join(name)).filter(|path| path.file_name() == Some(name.as_ref()));
        let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|file| file.is_file());
        let Some(source) = source.filter(is_file) else {
            copies.missing.insert(name.clone(), operation.clone());
            continue;
        };
        let to = copies.folder.path().join(name);
        match fs::copy(source, &to) {
            Ok(bytes) => copies.bytes += bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                copies.missing.insert(name.clone(), operation.clone());
                continue;
            }
            Err(error) => return Err(error),
        }
        File::open(&to)?.sync_all()?;
        copies.count += 1;
    }
    File::open(copies.folder.path())?.sync_all()?;
    Ok(Some(copies))
}

/// Says which uploads were not there, but for those that were removed with their operations meanwhile.
fn warn_of(mut missing: BTreeMap<String, String>, database: &Path) {
    if missing.is_empty() {
        return;
    }
    // One of an older version cannot be asked; nothing removes its uploads then.
    if let Ok(uploaded) = Sqlite::uploaded(database) {
        missing.retain(|name, _| uploaded.needed.contains_key(name));
    }
    if !missing.is_empty() {
        tracing::warn!(
            uploads = missing.len(),
            missing = few(&missing),
            folder = %beside(database, "-uploads").display(),
            "operations need uploads that are not there, so that they cannot be run again"
        );
    }
}

//! `liveops check`: a look at everything, which changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::HumanBytes;
use liveops::live::uploads_in;
use liveops::render::{Addresses, Reading, Renderer};
use liveops::store::{Checked, Sqlite, StoreError};

use super::backup::{RANDOM, UNFINISHED};
use super::{Failure, say};
use crate::config::{Settings, beside, stored_secret};

/// So many missing uploads are named.
const NAMED: usize = 3;

pub(super) fn check(settings: &Settings) -> ExitCode {
    let mut report = Report::default();
    look_at_settings(settings, &mut report);
    let database = &settings.database;
    if let Some(checked) = look_at_database(database, &mut report) {
        if checked.older.is_none()
            && let Err(error) = look_at_uploads(database, &mut report)
        {
            report.error("uploads", error);
        }
        look_at_processes(database, &mut report);
    }
    if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What was found, told as it is found.
#[derive(Default)]
struct Report {
    /// There was an error.
    failed: bool,
}

impl Report {
    fn ok(&self, subject: &str, text: impl std::fmt::Display) {
        say(&format!("ok       {subject}: {text}"));
    }

    fn warning(&self, subject: &str, text: impl std::fmt::Display) {
        say(&format!("warning  {subject}: {text}"));
    }

    fn error(&mut self, subject: &str, text: impl std::fmt::Display) {
        self.failed = true;
        say(&format!("error    {subject}: {text}"));
    }
}

/// They were read and each is valid, else there would be no look; this is what a server finds out later.
fn look_at_settings(settings: &Settings, report: &mut Report) {
    match &settings.exposed {
        Some(file) => report.warning(
            "settings",
            format_args!(
                "other users can read the secret in {}: run chmod 600 on it, and replace it if they may have",
                file.display()
            ),
        ),
        None => report.ok("settings", "each is understood"),
    }
    let database = &settings.database;
    match (&settings.secret_key, stored_secret(database)) {
        (Some(_), _) => report.ok("secret_key", "set"),
        (None, Ok(Some(_))) => {
            let file = beside(database, "-secret");
            report.ok(
                "secret_key",
                format_args!("in {}, for demo; serve needs one that is set", file.display()),
            );
        }
        (None, Err(error)) => report.error("secret_key", without_name("secret_key", &error)),
        (None, Ok(None)) => {
            if let Err(error) = settings.needed_secret() {
                report.error("secret_key", without_name("secret_key", &error));
            }
        }
    }
    if let Some(folder) = &settings.templates {
        match Renderer::new(Addresses::new("")).with_templates(folder, Reading::Once) {
            Ok(_) => report.ok("templates", format_args!("those in {} can be used", folder.display())),
            Err(error) => report.error("templates", without_name("templates", &error)),
        }
    }
}

/// What it says of a setting, whose name stands before it already.
fn without_name(name: &str, error: &dyn std::error::Error) -> String {
    let said = error.to_string();
    said.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&said).to_owned()
}

/// What is in the database; nothing where it cannot be looked at.
fn look_at_database(path: &Path, report: &mut Report) -> Option<Checked> {
    let shown = path.display();
    let checked = match Sqlite::check(path) {
        Ok(checked) => checked,
        Err(_) if !path.exists() => {
            report.error(
                "database",
                format_args!(
                    "there is no file {shown}: name another one with --database, or let serve make it"
                ),
            );
            return None;
        }
        Err(StoreError::NoTables(_)) => {
            report.error(
                "database",
                format_args!(
                    "{shown} has no tables of liveops: name another file with --database, restore it from a \
                     backup, or let serve make them"
                ),
            );
            return None;
        }
        Err(StoreError::Failed(reason)) => {
            report.error("database", format_args!("{shown}: {reason}"));
            return None;
        }
        Err(error) => {
            report.error("database", format_args!("{shown}: {error}"));
            return None;
        }
    };
    for damage in &checked.damage {
        report.error("database", damage);
    }
    match checked.damaged - checked.damage.len() {
        0 => {}
        more => report.error("database", format_args!("and {more} more")),
    }
    if checked.damaged > 0 {
        report.error("database", format_args!("{shown} is damaged: restore it from a backup"));
    } else if checked.older.is_some() {
        report.ok("database", format_args!("the file {shown} is whole"));
    } else {
        let (operations, lines) = (checked.operations, checked.lines);
        report.ok(
            "database",
            format_args!("{shown} is whole: {operations} operations, {lines} lines of their logs"),
        );
    }
    if let Some(version) = checked.older {
        report.warning(
            "database",
            format_args!(
                "{shown} has schema version {version}: its records, pages, logs and uploads were not looked at; \
                 check again after a server of this program has brought it up to date"
            ),
        );
    }
    look_at_mode(path, report);
    Some(checked)
}

/// The hashes of passwords, and what people uploaded, are their owner's only.
fn look_at_mode(path: &Path, report: &Report) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = path.metadata().map_or(0, |file| file.permissions().mode());
        if mode & 0o077 != 0 {
            let (path, mode) = (path.display(), mode & 0o777);
            report.warning(
                "files",
                format_args!("{path} is for other users too ({mode:o}): run chmod go= on it"),
            );
        }
    }
}

/// Whether it is a file in the folder, and no link, by which another one would be taken for it.
fn is_upload(folder: &Path, name: &str) -> bool {
    let path = folder.join(name);
    path.parent() == Some(folder) && path.symlink_metadata().is_ok_and(|file| file.is_file())
}

fn look_at_uploads(database: &Path, report: &mut Report) -> Result<(), Failure> {
    let folder = beside(database, "-uploads");
    look_at_mode(&folder, report);
    let lying = uploads_in(&folder, Sqlite::uploaded(database)?.identity)
        .map_err(|error| format!("{} cannot be read: use the server's user ({error})", folder.display()))?;
    // Asked for after the files were looked at: an upload is needed from before its lock is given back.
    let needed = Sqlite::uploaded(database)?.needed;
    let mut missing = needed.clone();
    missing.retain(|name, _| !is_upload(&folder, name));
    // Whose operation was removed meanwhile is missed by nobody.
    if !missing.is_empty() {
        let needed = Sqlite::uploaded(database)?.needed;
        missing.retain(|name, _| needed.contains_key(name));
    }
    let unneeded = lying.iter().filter(|(name, _)| !needed.contains_key(name));
    let (count, bytes) = unneeded.fold((0, 0), |(count, all), (_, bytes)| (count + 1, all + bytes));
    let shown = folder.display();
    if !missing.is_empty() {
        report.error(
            "uploads",
            format_args!(
                "{} that operations need are not in {shown}: restore them from a backup, else those cannot be \
                 run again: {}",
                missing.len(),
                few(&missing)
            ),
        );
    } else {
        report.ok("uploads", format_args!("{} that operations need are in {shown}", needed.len()));
    }
    if count > 0 {
        let bytes = HumanBytes(bytes);
        report.warning(
            "uploads",
            format_args!(
                "{count} in {shown} are needed by no operation, {bytes}: a server removes them within an hour"
            ),
        );
    }
    Ok(())
}

/// The first few of uploads that are missing, each with an operation that needs it.
pub(super) fn few(missing: &BTreeMap<String, String>) -> String {
    let named = |(name, operation): (&String, &String)| {
        format!("{} of operation {}", name.escape_debug(), operation.escape_debug())
    };
    let mut few: Vec<_> = missing.iter().take(NAMED).map(named).collect();
    if missing.len() > NAMED {
        few.push(format!("and {} more", missing.len() - NAMED));
    }
    few.join(", ")
}

/// The files by which processes know each other, and what those that died left.
fn look_at_processes(database: &Path, report: &mut Report) {
    let (mut alive, mut dead, mut left) = (0, 0, Vec::new());
    let real = beside(database, "");
    let real_name = real.file_name().unwrap_or_default().to_string_lossy();
    for path in in_folder_of(&real) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(&*real_name);
        match rest.unwrap_or_default() {
            rest if rest.starts_with("-worker-") && !rest.ends_with(".new") => {
                // Shared and for a moment: nobody takes its process for another one's meanwhile.
                // What is no file, a pipe say, is nobody's, and opening it might take for ever.
                let file = path.symlink_metadata().ok().filter(fs::Metadata::is_file);
                match file.map(|_| File::open(&path).map(|file| file.try_lock_shared())) {
                    Some(Ok(Err(TryLockError::WouldBlock))) => alive += 1,
                    Some(_) => dead += 1,
                    None => {}
                }
            }
            rest if rest.starts_with("-worker-") || rest.starts_with("-secret.") => {
                left.push((path, "unfinished"));
            }
            "-wal.replaced" | "-shm.replaced" => left.push((path, "by a server whose database was replaced")),
            _ if is_of_backup(&name) => {
                left.push((path, "by a backup that was killed, unless one is being made now"));
            }
            _ => {}
        }
    }
    report.ok("processes", format_args!("{alive} run operations"));
    if dead > 0 {
        report.warning(
            "processes",
            format_args!("{dead} died: the next server marks what they ran as interrupted, or runs it again"),
        );
    }
    for (path, how) in left {
        report.warning("files", format_args!("{} was left {how}: it can be removed", path.display()));
    }
}

/// Whether a backup has such a name until it is whole.
fn is_of_backup(name: &str) -> bool {
    let random = name.rsplit_once(UNFINISHED).map(|(_, random)| random.as_bytes());
    random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
}

/// The files beside one, and itself.
fn in_folder_of(file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

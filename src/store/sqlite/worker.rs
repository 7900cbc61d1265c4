//! How processes know of each other who lives: each that runs operations holds a lock on a file of
//! its own beside the database. The kernel frees it at the process's death, whatever kills it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use uuid::Uuid;

/// This process, as claims name it.
pub(super) struct Worker {
    id: String,
    database: PathBuf,
    /// Guards the making of the file; held open, it is the lock.
    lock: Mutex<Option<Shown>>,
}

/// The file, and when it was touched last.
struct Shown {
    file: File,
    touched: Instant,
}

/// So often the file is touched: it tells others until when this process lived.
const BEAT: Duration = Duration::from_secs(5);

/// That a process is dead.
pub(super) struct Death {
    /// When it was alive last, where its file was still there.
    pub(super) seen: Option<SystemTime>,
}

impl Worker {
    pub(super) fn new(database: &Path) -> Self {
        Self { id: Uuid::new_v4().to_string(), database: database.to_owned(), lock: Mutex::new(None) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Makes the file at the first call, and where somebody removed it; claims come after it. It is locked before
    /// it has its name, so that nobody finds it unlocked while this process lives.
    pub(super) fn show(&self) -> io::Result<()> {
        let mut lock = self.lock.lock();
        let path = path_of(&self.database, &self.id);
        if lock.is_some() && path.exists() {
            return Ok(());
        }
        remove_stale(&self.database);
        let mut unnamed = path.clone().into_os_string();
        unnamed.push(".new");
        let file = create(&unnamed)?;
        let shown = file.lock().and_then(|()| std::fs::rename(&unnamed, &path));
        if let Err(error) = shown {
            let _ = std::fs::remove_file(&unnamed);
            return Err(error);
        }
        *lock = Some(Shown { file, touched: Instant::now() });
        Ok(())
    }

    /// Takes the file away again. Left behind it does no harm: it is unlocked, and the next process removes it.
    pub(super) fn hide(&self) {
        if self.lock.lock().take().is_some() {
            let _ = std::fs::remove_file(path_of(&self.database, &self.id));
        }
    }

    /// Says that this process lives, to be called each second or so.
    pub(super) fn beat(&self) {
        if let Some(shown) = self.lock.lock().as_mut().filter(|shown| shown.touched.elapsed() >= BEAT) {
            shown.touched = Instant::now();
            // Without it a death is dated too early, no more.
            let _ = shown.file.set_modified(SystemTime::now());
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.hide();
    }
}

/// Makes the file its owner's only: whoever can open it can hold its lock.
fn create(path: &OsStr) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The death of the process of that id, where it is dead. Its file is removed then.
pub(super) fn death(database: &Path, id: &str) -> Option<Death> {
    let path = path_of(database, id);
    match File::open(&path) {
        Ok(file) => {
            let seen = file.metadata().and_then(|file| file.modified()).ok();
            is_left(&path, &file).then_some(Death { seen })
        }
        Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(Death { seen: None }),
    }
}

/// Whether nobody holds the lock; the file is removed then. Where that can't be told, its process
/// counts as alive: two runs of one operation are worse than one that is marked late.
fn is_left(path: &Path, file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            true
        }
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "the lock of another process could not be tried");
            false
        }
    }
}

/// Removes the files of dead processes that left nothing to recover.
fn remove_stale(database: &Path) {
    let prefix = path_of(database, "");
    let (Some(folder), Some(prefix)) = (prefix.parent(), prefix.file_name()) else { return };
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let name = file.file_name();
        let id = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let is_worker =
            id.and_then(|id| std::str::from_utf8(id).ok()).is_some_and(|id| Uuid::try_parse(id).is_ok());
        if is_worker {
            let path = file.path();
            if let Ok(file) = File::open(&path) {
                is_left(&path, &file);
            }
        }
    }
}

fn path_of(database: &Path, id: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push("-worker-");
    name.push(id);
    name.into()
}

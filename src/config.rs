//! The settings: a flag, or `LIVEOPS_<NAME>` in the environment.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use liveops::SecretKey;
use liveops::access::{SecretKeyError, random_text};

/// Settings of a server.
#[derive(Debug, Args)]
pub(crate) struct ServeSettings {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "LIVEOPS_LISTEN", default_value = "127.0.0.1:8000")]
    pub(crate) listen: String,

    #[command(flatten)]
    pub(crate) tokens: TokenSettings,

    /// Most flushes a second to one watcher of one operation
    #[arg(long, env = "LIVEOPS_THROTTLE_HZ", default_value_t = 10.0, value_parser = hertz)]
    pub(crate) throttle_hz: f64,

    /// Log lines kept on a page
    #[arg(long, env = "LIVEOPS_LOG_TAIL", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) log_tail: u32,

    /// Operations that run at once; by default the number of processors, at least 4
    #[arg(long, env = "LIVEOPS_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// Larger form bodies are refused
    #[arg(long, env = "LIVEOPS_MAX_UPLOAD_BYTES", default_value_t = 104_857_600)]
    pub(crate) max_upload_bytes: u64,

    /// What SIGTERM gives running operations, in seconds
    #[arg(long, env = "LIVEOPS_SHUTDOWN_GRACE_SECONDS", default_value_t = 10)]
    pub(crate) shutdown_grace_seconds: u64,

    /// What users type to get here, behind a proxy: https://ops.example.com
    #[arg(long, env = "LIVEOPS_PUBLIC_URL", value_parser = public_url)]
    pub(crate) public_url: Option<String>,
}

/// What subscription tokens are signed with and how long they last.
#[derive(Debug, Args)]
pub(crate) struct TokenSettings {
    #[command(flatten)]
    pub(crate) secret: SecretSettings,

    /// Life of a subscription token, in seconds
    #[arg(long, env = "LIVEOPS_TOKEN_TTL_SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) token_ttl_seconds: u64,
}

/// The secret key, wherever it comes from. In the environment it is safer than as a flag, which every
/// user of the machine can see.
#[derive(Debug, Args)]
pub(crate) struct SecretSettings {
    /// The key that signs tokens, at least 32 bytes; by default it is made beside the database
    #[arg(long, env = "LIVEOPS_SECRET_KEY", hide_env_values = true, value_parser = Secret::parse)]
    secret_key: Option<Secret>,
}

/// A secret text, which `Debug` does not show.
#[derive(Clone)]
struct Secret(String);

impl Secret {
    #[expect(clippy::unnecessary_wraps, reason = "what clap takes")]
    fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why there is no secret key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error(transparent)]
    Unusable(#[from] SecretKeyError),
    #[error("secret_key: the file {} cannot be used: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

impl SecretSettings {
    /// The key that is set, or else the one in the file beside the database, made there when it is
    /// missing.
    pub(crate) fn key(&self, database: &Path) -> Result<SecretKey, SecretError> {
        if let Some(Secret(text)) = &self.secret_key {
            return Ok(SecretKey::new(text.as_bytes())?);
        }
        let path = beside(database, "-secret");
        let text = read_or_make(&path).map_err(|source| SecretError::File { path, source })?;
        Ok(SecretKey::new(text.trim().as_bytes())?)
    }
}

/// A path beside the database: its name with `suffix`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    database.with_file_name(name)
}

fn read_or_make(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    match OpenOptions::new().read(true).open(path) {
        Ok(mut file) => {
            file.read_to_string(&mut text)?;
            return Ok(text);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Written whole under another name first: nobody reads half a key.
    let unfinished = beside(path, &format!(".{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(random_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let made = std::fs::hard_link(&unfinished, path);
    std::fs::remove_file(&unfinished)?;
    match made {
        Ok(()) => {}
        // Another process was first.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    std::fs::read_to_string(path)
}

fn hertz(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(hertz) if (0.1..=1000.0).contains(&hertz) => Ok(hertz),
        _ => Err("expected a number from 0.1 to 1000".to_owned()),
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['/', ' ', '@', '?', '#']) => Ok(text.to_owned()),
        _ => Err("expected scheme and host only, such as https://ops.example.com".to_owned()),
    }
}

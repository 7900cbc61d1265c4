//! The settings: a file, `LIVEOPS_<NAME>` in the environment, a flag; the later of these wins.

mod secret;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use secret::{beside, stored_or_new_secret, stored_secret};
pub(crate) use sources::SettingError;
pub(crate) use table::{DatabaseFlag, SettingFlags};

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use liveops::SecretKey;
use liveops::web::SessionLimits;

use value::Values;

/// Every setting, with its default where nothing was given.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) database: PathBuf,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) secret_key_fallbacks: Vec<SecretKey>,
    pub(crate) token_ttl: Duration,
    pub(crate) required_group: Option<String>,
    pub(crate) throttle_hz: f64,
    pub(crate) log_tail: usize,
    /// None: what suits the machine.
    pub(crate) workers: Option<usize>,
    /// None: everything is kept.
    pub(crate) retention: Option<Duration>,
    pub(crate) max_upload_bytes: u64,
    pub(crate) shutdown_grace: Duration,
    pub(crate) public_url: Option<String>,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) sessions: SessionLimits,
    pub(crate) streams_per_user: usize,
    pub(crate) streams_per_address: usize,
    /// 0: any number.
    pub(crate) running_per_user: u32,
    /// 0: any number.
    pub(crate) waiting_per_user: u32,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) templates: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    /// The settings file, where a secret stands in it and other users of the machine can read it.
    pub(crate) exposed: Option<PathBuf>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

const DAY: u64 = 24 * 3600;

impl Settings {
    /// Reads them from flags, the process's environment and the file: the named one, or else
    /// `liveops.toml` where it is there.
    pub(crate) fn read(flags: SettingFlags, file: Option<&Path>) -> Result<Self, SettingError> {
        Self::read_from(flags, std::env::vars_os(), file)
    }

    fn read_from(
        flags: SettingFlags,
        environment: impl Iterator<Item = (OsString, OsString)>,
        file: Option<&Path>,
    ) -> Result<Self, SettingError> {
        let mut values = Values(sources::gather(flags, environment, file)?);
        values.take("bus", value::local_bus)?;
        let mut whole = |name, range, default| Ok(values.take(name, value::whole(range))?.unwrap_or(default));
        let token_ttl = Duration::from_secs(whole("token_ttl_seconds", 1..=DAY, 300)?);
        let log_tail = whole("log_tail", 1..=10_000, 200)?;
        let retention_days = whole("retention_days", 0..=36_500, 30)?;
        let max_upload_bytes = whole("max_upload_bytes", 1..=u64::MAX, 100 * 1024 * 1024)?;
        let shutdown_grace = Duration::from_secs(whole("shutdown_grace_seconds", 0..=DAY, 10)?);
        let hours = |hours| Duration::from_secs(hours * 3600);
        let sessions = SessionLimits {
            life: hours(whole("session_hours", 1..=87_600, 336)?),
            idle: hours(whole("session_idle_hours", 1..=87_600, 168)?),
        };
        let streams_per_user = whole("streams_per_user", 1..=1_000_000, 100)?;
        let streams_per_address = whole("streams_per_address", 1..=10_000_000, streams_per_user * 10)?;
        let running_per_user = whole("running_per_user", 0..=1_000_000, 0)?;
        let waiting_per_user = whole("waiting_per_user", 0..=1_000_000_000, 10_000)?;
        Ok(Self {
            token_ttl,
            log_tail: as_size(log_tail),
            retention: (retention_days > 0).then(|| Duration::from_secs(retention_days * DAY)),
            max_upload_bytes,
            shutdown_grace,
            sessions,
            streams_per_user: as_size(streams_per_user),
            streams_per_address: as_size(streams_per_address),
            running_per_user: u32::try_from(running_per_user).unwrap_or(u32::MAX),
            waiting_per_user: u32::try_from(waiting_per_user).unwrap_or(u32::MAX),
            workers: values.take("workers", value::whole(1..=1024))?.map(as_size),
            listen: values.take("listen", value::address)?.unwrap_or_else(|| "127.0.0.1:8000".to_owned()),
            database: values
                .take("database", value::sqlite)?
                .unwrap_or_else(|| "liveops.db".to_owned())
                .into(),
            exposed: values.exposed_file(),
            secret_key: values.take("secret_key", value::secret)?,
            secret_key_fallbacks: values
                .take("secret_key_fallbacks", value::list(value::secret))?
                .unwrap_or_default(),
            required_group: values.take("required_group", value::text)?,
            throttle_hz: values.take("throttle_hz", value::hertz)?.unwrap_or(10.0),
            public_url: values.take("public_url", value::public_url)?,
            metrics_listen: values.take("metrics_listen", value::address)?,
            trusted_proxies: values.take("trusted_proxies", value::list(value::network))?.unwrap_or_default(),
            templates: values.take("templates", value::text)?.map(PathBuf::from),
            log_format: values.take("log_format", log_format)?.unwrap_or_default(),
        })
    }

    /// The secret key, which has to be set.
    pub(crate) fn needed_secret(&self) -> Result<SecretKey, SettingError> {
        self.secret_key.clone().ok_or(SettingError::Missing {
            name: "secret_key",
            expected: "at least 32 random bytes in LIVEOPS_SECRET_KEY or the settings file, as `openssl rand -base64 32` gives",
        })
    }
}

fn as_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn log_format(value: &toml::Value) -> Result<LogFormat, String> {
    match value.as_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}

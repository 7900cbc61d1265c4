//! Where values come from: the file, then the environment, then flags, the later ones winning.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::SettingFlags;
use super::table::{SETTINGS, Setting, setting};

/// Read when it is there and no other file is named.
pub(super) const DEFAULT_FILE: &str = "liveops.toml";
const PREFIX: &str = "LIVEOPS_";
/// What a script of a script kind finds in its environment; not settings.
const FIELDS: &str = "LIVEOPS_FIELD_";
/// A settings file is small; anything larger is another file.
const LARGEST_FILE: u64 = 1024 * 1024;

/// Why the settings cannot be used. Its text is one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// A value is not what is expected.
    #[error("{name}: {shown} ({origin}) cannot be used: expected {expected}")]
    Value { name: &'static str, shown: String, origin: Origin, expected: String },
    /// There is no such setting.
    #[error("{name}: there is no such setting ({origin}){hint}")]
    Unknown { name: String, origin: Origin, hint: String },
    /// A setting is needed and not given.
    #[error("{name}: not set: expected {expected}")]
    Missing { name: &'static str, expected: &'static str },
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {reason}", path.display())]
    File { path: PathBuf, reason: String },
}

/// Who gave a value, in words for whoever has to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl Origin {
    pub(super) fn file(&self) -> Option<&PathBuf> {
        if let Self::File(path) = self { Some(path) } else { None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Environment(variable) => write!(f, "in the environment, {variable}"),
            Self::Flag(flag) => write!(f, "by --{flag}"),
        }
    }
}

/// A value as it was written. Environment and flags give text, whatever the setting takes.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) value: toml::Value,
    pub(super) origin: Origin,
}

/// Gathers what is given, and refuses what is no setting.
pub(super) fn gather(
    flags: SettingFlags,
    environment: impl Iterator<Item = (OsString, OsString)>,
    file: Option<&Path>,
) -> Result<BTreeMap<&'static str, Given>, SettingError> {
    let mut all = BTreeMap::new();
    from_file(file, &mut all)?;
    from_environment(environment, &mut all)?;
    for (name, mut values) in flags.0 {
        let Some(setting) = setting(name) else { continue };
        let value = if setting.shape.is_list() {
            toml::Value::Array(values.iter().flat_map(|text| split(text)).collect())
        } else {
            toml::Value::String(values.pop().unwrap_or_default())
        };
        all.insert(setting.name, Given { value, origin: Origin::Flag(setting.flag()) });
    }
    Ok(all)
}

fn from_file(named: Option<&Path>, all: &mut BTreeMap<&'static str, Given>) -> Result<(), SettingError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let failed = |reason: String| SettingError::File { path: path.to_owned(), reason };
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let table: toml::Table = toml::from_str(&text).map_err(|error| failed(describe(&error, &text)))?;
    for (name, value) in table {
        let origin = Origin::File(path.to_owned());
        let setting = setting(&name).ok_or_else(|| unknown_key(&name, origin.clone()))?;
        all.insert(setting.name, Given { value, origin });
    }
    Ok(())
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    if file.len() > LARGEST_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    fs::read_to_string(path)
}

/// Where and what, on one line and without the line itself, which may hold a secret.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let reason = error.message().replace('\n', ", ");
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {reason}")
        }
        None => reason,
    }
}

fn from_environment(
    environment: impl Iterator<Item = (OsString, OsString)>,
    all: &mut BTreeMap<&'static str, Given>,
) -> Result<(), SettingError> {
    for (variable, value) in environment {
        let variable = variable.to_string_lossy().into_owned();
        if !variable.starts_with(PREFIX) || variable.starts_with(FIELDS) {
            continue;
        }
        let origin = Origin::Environment(variable.clone());
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.variable() == variable)
            .ok_or_else(|| unknown_variable(&variable, origin.clone()))?;
        let Ok(text) = value.into_string() else {
            return Err(SettingError::Value {
                name: setting.name,
                shown: "the value".to_owned(),
                origin,
                expected: "UTF-8 text".to_owned(),
            });
        };
        let value = if setting.shape.is_list() {
            toml::Value::Array(split(&text).collect())
        } else {
            toml::Value::String(text)
        };
        all.insert(setting.name, Given { value, origin });
    }
    Ok(())
}

/// The values of a list that came as one text.
fn split(text: &str) -> impl Iterator<Item = toml::Value> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(toml::Value::from)
}

fn unknown_variable(variable: &str, origin: Origin) -> SettingError {
    let name = variable.trim_start_matches(PREFIX).to_lowercase();
    unknown(variable, origin, likely(&name).map(Setting::variable))
}

fn unknown_key(name: &str, origin: Origin) -> SettingError {
    unknown(name, origin, likely(name).map(|setting| setting.name.to_owned()))
}

fn unknown(name: &str, origin: Origin, likely: Option<String>) -> SettingError {
    let hint = match likely {
        _ if name == "operation" => ": this version runs no kinds from the settings yet".to_owned(),
        Some(likely) => format!(": did you mean {likely}?"),
        None => String::new(),
    };
    let name = name.chars().take(64).flat_map(char::escape_debug).collect();
    SettingError::Unknown { name, origin, hint }
}

/// The setting that was probably meant.
fn likely(name: &str) -> Option<&'static Setting> {
    const ALIKE: f64 = 0.8;
    let alike = SETTINGS.iter().map(|setting| (strsim::jaro_winkler(setting.name, name), setting));
    let alike = alike.filter(|(alike, _)| *alike > ALIKE);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, setting)| setting)
}

//! What a setting's value may be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use axum::http::Uri;
use axum::http::uri::Authority;
use ipnet::IpNet;
use liveops::SecretKey;

use super::sources::{Given, SettingError};
use super::table::setting;

/// Longest part of a bad value that an error shows, in characters.
const SHOWN: usize = 100;

/// The given values, to be taken one after the other.
pub(super) struct Values(pub(super) BTreeMap<&'static str, Given>);

impl Values {
    /// The value of a setting as `read` understands it; none when it is not given. `read` says
    /// what it expects.
    pub(super) fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&toml::Value) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let Some(given) = self.0.remove(name) else { return Ok(None) };
        read(&given.value).map(Some).map_err(|expected| SettingError::Value {
            name,
            shown: shown(name, &given.value),
            origin: given.origin,
            expected,
        })
    }

    /// The file that a secret comes from, where more people can read it than should.
    pub(super) fn exposed_file(&self) -> Option<PathBuf> {
        let secrets = self.0.iter().filter(|(name, _)| setting(name).is_some_and(|of| of.shape.is_secret()));
        secrets.filter_map(|(_, given)| given.origin.file()).find(|path| is_readable_by_others(path)).cloned()
    }
}

/// A URL without the user and password that stand in it (RFC 3986 section 3.2.1); any other text as it is.
fn without_password(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    // A password may hold what ends an authority, so the last `@` counts wherever it is.
    match rest.rfind('@') {
        Some(at) if authority.contains('@') || rest[..at].contains(':') => {
            format!("{scheme}://…{}", &rest[at..]).into()
        }
        _ => text.into(),
    }
}

/// Whether others than a file's owner can read it.
#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o044 != 0)
}

/// Files have no such modes here.
#[cfg(not(unix))]
fn is_readable_by_others(_: &Path) -> bool {
    false
}

/// A bad value for an error's line: short, escaped, and never a secret.
fn shown(name: &str, value: &toml::Value) -> String {
    if setting(name).is_none_or(|setting| setting.shape.is_secret()) {
        return "what is given".to_owned();
    }
    let text = match value {
        toml::Value::String(text) => format!("{:?}", without_password(text)),
        toml::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| shown(name, item)).collect();
            format!("[{}]", items.join(", "))
        }
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Table(_) => "a table".to_owned(),
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// Text that is not empty.
pub(super) fn text(value: &toml::Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.trim().is_empty() && !text.contains('\0') => Ok(text.to_owned()),
        _ => Err("text".to_owned()),
    }
}

/// A whole number within `range`.
pub(super) fn whole(range: RangeInclusive<u64>) -> impl FnOnce(&toml::Value) -> Result<u64, String> {
    move |value| {
        let number = match value {
            toml::Value::Integer(number) => u64::try_from(*number).ok(),
            toml::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| match *range.end() {
            u64::MAX => format!("a whole number, at least {}, without a unit", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        })
    }
}

/// A number from 0.1 to 1000.
pub(super) fn hertz(value: &toml::Value) -> Result<f64, String> {
    let number = match value {
        #[expect(clippy::cast_precision_loss, reason = "checked against small bounds below")]
        toml::Value::Integer(number) => Some(*number as f64),
        toml::Value::Float(number) => Some(*number),
        toml::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (0.1..=1000.0).contains(number))
        .ok_or_else(|| "a number from 0.1 to 1000".to_owned())
}

/// A host or address with a port, as [`tokio::net::TcpListener::bind`] takes it.
pub(super) fn address(value: &toml::Value) -> Result<String, String> {
    let expected = || "an address and port such as 127.0.0.1:8000".to_owned();
    let text = text(value).map_err(|_| expected())?;
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let host_is_whole =
        !host.is_empty() && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
    if host_is_whole && port.parse::<u16>().is_ok() { Ok(text) } else { Err(expected()) }
}

/// Scheme and authority of a site.
pub(super) fn public_url(value: &toml::Value) -> Result<String, String> {
    let expected = || "scheme and host only, such as https://ops.example.com".to_owned();
    let text = text(value).map_err(|_| expected())?;
    let url: Uri = text.parse().map_err(|_| expected())?;
    let scheme = url.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
    let authority = url.authority().map(Authority::as_str).filter(|authority| !authority.contains('@'));
    let is_bare = url.path() == "/" && url.query().is_none() && !text.contains('#');
    match (scheme, authority) {
        (Some(scheme), Some(authority)) if is_bare && has_real_port(authority) => {
            Ok(format!("{scheme}://{authority}"))
        }
        _ => Err(expected()),
    }
}

fn has_real_port(authority: &str) -> bool {
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    after_host.split_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// A path of this machine's SQLite file.
pub(super) fn sqlite(value: &toml::Value) -> Result<String, String> {
    match text(value) {
        Ok(text) if !text.contains("://") => Ok(text),
        _ => Err("the path of an SQLite file (this version knows no other database)".to_owned()),
    }
}

/// The one bus of this version.
pub(super) fn local_bus(value: &toml::Value) -> Result<(), String> {
    if value.as_str() == Some("local") {
        Ok(())
    } else {
        Err("local (this version knows no other bus)".to_owned())
    }
}

/// A key of at least 32 bytes.
pub(super) fn secret(value: &toml::Value) -> Result<SecretKey, String> {
    let expected = || "at least 32 random bytes, as `openssl rand -base64 32` gives".to_owned();
    SecretKey::new(value.as_str().ok_or_else(expected)?.as_bytes()).map_err(|_| expected())
}

/// Several values that `item` reads.
pub(super) fn list<T>(
    item: impl Fn(&toml::Value) -> Result<T, String>,
) -> impl FnOnce(&toml::Value) -> Result<Vec<T>, String> {
    move |value| match value {
        toml::Value::Array(items) => items
            .iter()
            .map(|value| item(value).map_err(|expected| format!("each to be {expected}")))
            .collect(),
        _ => Err("a list".to_owned()),
    }
}

/// An address or a network of addresses.
pub(super) fn network(value: &toml::Value) -> Result<IpNet, String> {
    let expected = || "an IP address or network such as 10.0.0.1 or 10.0.0.0/8".to_owned();
    let text = value.as_str().ok_or_else(expected)?.trim();
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => text.parse().map_err(|_| expected()),
    }
}

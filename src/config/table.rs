//! Every setting, once: its flag, its variable, its name in the file and its help all come from here.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// What is known of a setting before its value is.
pub(super) struct Setting {
    /// Its name in the file; `LIVEOPS_<NAME>` and `--<na-me>` are made from it.
    pub(super) name: &'static str,
    /// What a value is called in the help.
    value: &'static str,
    /// How many values it takes, and whether they may be shown.
    pub(super) shape: Shape,
    /// What it means, with its default.
    help: &'static str,
}

/// How many values a setting takes, and whether errors may show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Many,
    Secret,
    Secrets,
}

impl Shape {
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets)
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Many | Self::Secrets)
    }
}

/// The setting that every command has.
pub(super) const DATABASE: &str = "database";

const fn one(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value, shape: Shape::One, help }
}

pub(super) const SETTINGS: &[Setting] = &[
    one(DATABASE, "FILE", "The SQLite file [default: liveops.db]"),
    one("listen", "ADDRESS", "Address to listen on; port 0 takes a free one [default: 127.0.0.1:8000]"),
    one(
        "bus",
        "URL",
        "What joins several machines; `local` joins the processes of this one [default: local]",
    ),
    one(
        "secret_key",
        "TEXT",
        "Signs tokens; at least 32 bytes. Every user of the machine can see a flag: better set \
         LIVEOPS_SECRET_KEY [default: none; `demo` makes one beside the database]",
    )
    .shaped(Shape::Secret),
    one("secret_key_fallbacks", "TEXT,…", "Older keys that are still accepted [default: none]")
        .shaped(Shape::Secrets),
    one("token_ttl_seconds", "SECONDS", "Life of a subscription token [default: 300]"),
    one("required_group", "GROUP", "Only its members get in, and superusers [default: none]"),
    one("throttle_hz", "NUMBER", "Most flushes a second to one watcher of one operation [default: 10]"),
    one("log_tail", "LINES", "Log lines kept on a page [default: 200]"),
    one("workers", "NUMBER", "Operations that run at once [default: the processors, at least 4]"),
    one("retention_days", "DAYS", "Finished operations are removed after so long; 0 keeps all [default: 30]"),
    one("max_upload_bytes", "BYTES", "Larger form bodies are refused [default: 104857600]"),
    one("shutdown_grace_seconds", "SECONDS", "What SIGTERM gives running operations [default: 10]"),
    one("public_url", "URL", "What users type to get here, behind a proxy [default: none]"),
    one("metrics_listen", "ADDRESS", "Address that serves /metrics and nothing else [default: none]"),
    one("session_hours", "HOURS", "How long a sign-in lasts at most [default: 336, which is 14 days]"),
    one("session_idle_hours", "HOURS", "How long one lasts that is not used [default: 168, which is 7 days]"),
    one("streams_per_user", "NUMBER", "Streams that one user may have open at once [default: 100]"),
    one(
        "streams_per_address",
        "NUMBER",
        "Streams that one client address may have open at once [default: ten times streams_per_user]",
    ),
    one(
        "running_per_user",
        "NUMBER",
        "Operations of one user that may run at once, the others wait; 0 is no limit [default: 0]",
    ),
    one(
        "waiting_per_user",
        "NUMBER",
        "Operations of one user that may wait, one more is refused; 0 is no limit [default: 10000]",
    ),
    one(
        "trusted_proxies",
        "ADDRESS,…",
        "Addresses or networks whose X-Forwarded-For is believed [default: none]",
    )
    .shaped(Shape::Many),
    one("templates", "FOLDER", "Templates in it replace the embedded ones [default: none]"),
    one("log_format", "FORMAT", "How the log on stderr is written: text or json [default: text]"),
];

/// The setting of that name.
pub(super) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    pub(super) fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(super) fn variable(&self) -> String {
        format!("LIVEOPS_{}", self.name.to_uppercase())
    }

    fn argument(&self) -> Arg {
        Arg::new(self.name)
            .long(self.flag())
            .value_name(self.value)
            .help(self.help)
            .help_heading("Settings, also as LIVEOPS_<NAME> or in the file")
            .allow_negative_numbers(true)
            // Keys in base64url may begin with one, and an error would show the letter after it.
            .allow_hyphen_values(self.shape.is_secret())
            .action(if self.shape.is_list() { ArgAction::Append } else { ArgAction::Set })
    }
}

/// What flags gave, by the settings' names.
#[derive(Clone, Default)]
pub(crate) struct SettingFlags(pub(super) BTreeMap<&'static str, Vec<String>>);

impl std::fmt::Debug for SettingFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without values: some are secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SettingFlags {
    fn gather(matches: &ArgMatches, names: impl Iterator<Item = &'static str>) -> Self {
        let given = names.filter_map(|name| {
            let values = matches.try_get_many::<String>(name).ok()??;
            Some((name, values.cloned().collect()))
        });
        Self(given.collect())
    }

    /// These, and `others`.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

fn other_names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name).filter(|name| *name != DATABASE)
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let others = SETTINGS.iter().filter(|setting| setting.name != DATABASE);
        others.fold(command, |command, setting| command.arg(setting.argument()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::gather(matches, other_names()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = std::mem::take(self).and(Self::gather(matches, other_names()));
        Ok(())
    }
}

/// The one flag of a setting that every command takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatabaseFlag(pub(crate) SettingFlags);

impl Args for DatabaseFlag {
    fn augment_args(command: Command) -> Command {
        match setting(DATABASE) {
            Some(database) => command.arg(database.argument().help_heading(None).global(true)),
            None => command,
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DatabaseFlag {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(SettingFlags::gather(matches, std::iter::once(DATABASE))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

use super::*;
use std::collections::BTreeMap;
use std::io::Write as _;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn read(
    flags: &[(&'static str, &str)],
    environment: &[(&str, &str)],
    file: &str,
) -> Result<Settings, String> {
    let mut given: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (name, value) in flags {
        given.entry(name).or_default().push((*value).to_owned());
    }
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mut on_disk = tempfile::NamedTempFile::new().expect("a file");
    on_disk.write_all(file.as_bytes()).expect("it is written");
    let read = Settings::read_from(SettingFlags(given), environment, Some(on_disk.path()));
    read.map_err(|error| error.to_string().replace(&on_disk.path().display().to_string(), "FILE"))
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let file = "log_tail = 3\nworkers = 3\nlisten = 'a:3'";
    let environment = [("LIVEOPS_LOG_TAIL", "2"), ("LIVEOPS_WORKERS", "2"), ("PATH", "/bin")];
    let settings = read(&[("log_tail", "1")], &environment, file).expect("they are right");
    assert_eq!((settings.log_tail, settings.workers), (1, Some(2)));
    assert_eq!((settings.listen.as_str(), settings.streams_per_user), ("a:3", 100));
}

#[test]
fn lists_come_in_every_way() {
    let networks =
        |settings: Settings| settings.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>();
    let file = read(&[], &[], "trusted_proxies = ['10.0.0.1', '10.1.0.0/16']").expect("right");
    assert_eq!(networks(file), ["10.0.0.1/32", "10.1.0.0/16"]);
    let environment = read(&[], &[("LIVEOPS_TRUSTED_PROXIES", "::1, 10.0.0.1")], "").expect("right");
    assert_eq!(networks(environment), ["::1/128", "10.0.0.1/32"]);
    let flags = [("trusted_proxies", "::1"), ("trusted_proxies", "::2,::3")];
    assert_eq!(networks(read(&flags, &[], "").expect("right")).len(), 3);
    let none = read(&[], &[("LIVEOPS_TRUSTED_PROXIES", "")], "trusted_proxies = ['::1']").expect("right");
    assert!(none.trusted_proxies.is_empty());
}

#[test]
fn a_number_may_stand_in_quotes() {
    let settings = read(&[], &[], "workers = '7'\nthrottle_hz = 5\nretention_days = 0").expect("right");
    assert_eq!((settings.workers, settings.throttle_hz, settings.retention), (Some(7), 5.0, None));
}

#[test]
fn every_error_is_one_line_that_names_setting_value_and_expectation() {
    let mut lines = Vec::new();
    for (name, value) in [
        ("LIVEOPS_LISTEN", "8000"),
        ("LIVEOPS_LISTEN", "::1:80"),
        ("LIVEOPS_LISTEN", "h:99999"),
        ("LIVEOPS_DATABASE", "postgres://h/d"),
        ("LIVEOPS_DATABASE", ""),
        ("LIVEOPS_BUS", "redis://h"),
        ("LIVEOPS_TOKEN_TTL_SECONDS", "0"),
        ("LIVEOPS_REQUIRED_GROUP", ""),
        ("LIVEOPS_THROTTLE_HZ", "NaN"),
        ("LIVEOPS_THROTTLE_HZ", "fast\nfaster"),
        ("LIVEOPS_LOG_TAIL", "-1"),
        ("LIVEOPS_WORKERS", "1.5"),
        ("LIVEOPS_RETENTION_DAYS", "forever"),
        ("LIVEOPS_MAX_UPLOAD_BYTES", "100MB"),
        ("LIVEOPS_SHUTDOWN_GRACE_SECONDS", "99999999999999999999"),
        ("LIVEOPS_PUBLIC_URL", "ops.example.com"),
        ("LIVEOPS_PUBLIC_URL", "https://ops.example.com/path"),
        ("LIVEOPS_PUBLIC_URL", "https://me@ops.example.com"),
        ("LIVEOPS_PUBLIC_URL", "https://ops.example.com:0"),
        ("LIVEOPS_METRICS_LISTEN", "9000"),
        ("LIVEOPS_STREAMS_PER_USER", "0"),
        ("LIVEOPS_TRUSTED_PROXIES", "proxy.example.com"),
        ("LIVEOPS_TEMPLATES", ""),
        ("LIVEOPS_LOG_FORMAT", "xml"),
    ] {
        let error = read(&[], &[(name, value)], "").expect_err(name);
        lines.push(error);
    }
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:#?}");
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn what_is_no_setting_is_refused_wherever_it_stands() {
    let lines = [
        read(&[], &[("LIVEOPS_THROTLE_HZ", "5")], ""),
        read(&[], &[("LIVEOPS_XYZZY", "5")], ""),
        read(&[], &[], "lisen = 'h:1'"),
        read(&[], &[], "[server]\nlisten = 'h:1'"),
        read(&[], &[], "[[operation]]\nkind = 'backup'"),
        read(&[], &[], "listen = \nworkers = 1"),
        read(&[], &[], "workers = 1\nworkers = 2"),
    ];
    let lines: Vec<_> = lines.into_iter().map(|read| read.expect_err("it is refused")).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:#?}");
    insta::assert_snapshot!(lines.join("\n"));
    // These are for scripts.
    read(&[], &[("LIVEOPS_FIELD_DATABASE", "x")], "").expect("no setting");
}

#[test]
fn an_address_has_ten_times_the_streams_of_a_user_unless_it_is_set() {
    let per_address = |file: &str| read(&[], &[], file).expect("right").streams_per_address;
    assert_eq!(per_address(""), 1000);
    assert_eq!(per_address("streams_per_user = 20000"), 200_000);
    assert_eq!(per_address("streams_per_user = 20000\nstreams_per_address = 7"), 7);
    read(&[], &[], "streams_per_address = 0").expect_err("nobody would see anything");
}

#[test]
fn a_secret_is_named_and_never_shown() {
    let short = "hunter2";
    for error in [
        read(&[("secret_key", short)], &[], ""),
        read(&[], &[("LIVEOPS_SECRET_KEY", short)], ""),
        read(&[], &[], &format!("secret_key = '{short}'")),
        read(&[], &[], "secret_key = 222222222"),
        read(&[], &[("LIVEOPS_SECRET_KEY_FALLBACKS", &format!("{KEY},{short}"))], ""),
        read(&[], &[], &format!("secret_key_fallbacks = '{short}'")),
        read(&[], &[], &format!("secret_key = '{short}")),
    ] {
        let error = error.expect_err("too short");
        assert!(!error.contains(short) && !error.contains("2222") && !error.contains('\n'), "{error}");
    }
    let settings = read(&[], &[("LIVEOPS_SECRET_KEY", KEY)], "").expect("long enough");
    assert!(settings.secret_key.is_some() && !format!("{settings:?}").contains(KEY));
}

#[cfg(unix)]
#[test]
fn a_secret_in_a_file_that_others_can_read_is_noticed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("liveops.toml");
    let exposed = |text: &str, mode: u32, environment: &[(&str, &str)]| {
        std::fs::write(&file, text).expect("it is written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let read = Settings::read_from(SettingFlags::default(), environment, Some(&file));
        read.expect("it is right").exposed.is_some()
    };
    let secret = format!("secret_key = '{KEY}'");
    assert!(exposed(&secret, 0o644, &[]) && exposed(&secret, 0o640, &[]));
    assert!(exposed(&format!("secret_key_fallbacks = ['{KEY}']"), 0o604, &[]));
    assert!(!exposed(&secret, 0o600, &[]));
    assert!(!exposed("workers = 3", 0o644, &[("LIVEOPS_SECRET_KEY", KEY)]));
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    for (variable, value) in [
        ("LIVEOPS_DATABASE", "postgres://u:hunter2@h/db"),
        ("LIVEOPS_DATABASE", "postgres://u:hunter2/@h/db"),
        ("LIVEOPS_BUS", "redis://:hunter2@h"),
        ("LIVEOPS_PUBLIC_URL", "https://u:hunter2@h"),
        ("LIVEOPS_METRICS_LISTEN", "http://u:hunter2@h"),
    ] {
        let error = read(&[], &[(variable, value)], "").expect_err("it cannot be used");
        assert!(!error.contains("hunter2") && error.contains("://…@h"), "{error}");
    }
}

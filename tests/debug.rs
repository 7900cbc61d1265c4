//! What `Debug` writes may come into a log, so it shows no secret.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use liveops::access::{Grant, Keys, Password, PasswordVerifier, hash_password};
use liveops::live::Opened;
use liveops::render::Personal;
use liveops::store::{Sqlite, User};
use liveops::stream::Cursor;
use liveops::testing::StreamClient;
use liveops::web::{Sessions, WebOptions};
use liveops::{Channel, LiveOps, Operation, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};

const KEY: &str = "secret-key-of-at-least-32-bytes-long";
const SESSION: &str = "secret-session";

#[derive(Serialize, Deserialize)]
struct Wait {}

impl Operation for Wait {
    const KIND: &'static str = "wait";

    async fn run(self, p: Progress) -> liveops::Result {
        Err(p.cancelled().await.into())
    }
}

/// What `{:?}` and `{:#?}` write of it, after a look for what must not be there.
fn assert_hides(value: &dyn Debug, secrets: &[&str]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        // Also as bytes in a list, whichever way numbers are written.
        let numbers: String = text.split(|c: char| !c.is_ascii_alphanumeric()).collect::<Vec<_>>().join(" ");
        for secret in secrets {
            assert!(!secret.is_empty() && !text.contains(secret), "{secret} in {text}");
            let bytes: Vec<_> = secret.bytes().take(8).map(|byte| byte.to_string()).collect();
            assert!(!numbers.contains(&bytes.join(" ")), "the bytes of {secret} in {text}");
        }
    }
}

/// What stands after `begin`, up to the next quote.
fn between(html: &str, begin: &str) -> String {
    let (_, rest) = html.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {html}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_shows_no_secret() {
    let key = SecretKey::new(KEY.as_bytes()).expect("long enough");
    assert_hides(&key, &[KEY]);
    let keys = Keys::new(&key, std::slice::from_ref(&key));
    let grant = Grant { user: "ada".into(), channels: vec![Channel::User("ada".into())], expires: 9 };
    let signed = keys.sign(&grant);
    assert_hides(&(&signed, keys.verify(signed.as_str(), Timestamp::UNIX_EPOCH)), &[signed.as_str()]);
    assert_hides(&keys, &[KEY]);

    let password = Password::new("secret-password");
    let hash = hash_password(&password);
    let mut verifier = PasswordVerifier::default();
    assert!(verifier.verify(&password, Some(&hash)));
    assert_hides(&(&password, &verifier), &["secret-password", &hash]);
    let user = User {
        id: "ada".into(),
        name: "Ada".into(),
        groups: vec![],
        superuser: false,
        password_hash: Some(hash.clone()),
    };
    assert_hides(&user, &[&hash, "argon2"]);

    let viewer = Viewer {
        id: "ada".into(),
        name: "Ada".into(),
        groups: vec![],
        superuser: false,
        session: SESSION.into(),
    };
    assert_hides(&viewer, &[SESSION]);
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
    assert_hides(&(&store, Sessions::new(Arc::new(store.clone()), None)), &[KEY]);
    let builder = LiveOps::builder()
        .store(store)
        .secret_key(key.clone())
        .secret_key_fallbacks(vec![key])
        .operation::<Wait>();
    assert_hides(&builder, &[KEY]);
    let live = builder.start().await.expect("it starts");
    let id = live.start(&viewer, Wait {}).await.expect("started");
    let token = live.subscription_token("ada", id);
    let opened = live.open(&viewer, token.as_str(), None, Cursor::START).await.expect("it opens");
    assert!(matches!(opened, Opened::Stream(..)));
    let page = live.page(&viewer, id).await.expect("the store").expect("hers");
    let csrf = between(&page.head().expect("templates"), "name=\"liveops-csrf\" content=\"");
    let on_page = between(&page.operation().expect("templates"), "data-liveop-token=\"");
    assert!(csrf.len() > 40 && on_page.starts_with("v1."), "{csrf} {on_page}");
    let client = StreamClient::open(&live, &viewer, id).await;
    let options = WebOptions::default();
    assert_hides(&(&opened, &live, &page, &options), &[KEY, SESSION, token.as_str(), &on_page, &csrf]);
    assert_hides(&client, &[KEY, SESSION]);
    let personal = Personal {
        token: Some("secret-token".into()),
        csrf: "secret-csrf".into(),
        owner_name: "Ada".into(),
        kind_title: "Wait".into(),
    };
    assert_hides(&personal, &["secret-token", "secret-csrf"]);
}

/// What fields that hold secrets are called; text and bytes only, since types of ours look after themselves.
const NAMES: [&str; 9] =
    ["token", "csrf", "password", "password_hash", "secret", "session", "cookie", "link", "by_session"];
const PLAIN: [&str; 5] = ["String", "&str", "&'a str", "Vec<u8>", "[u8; 32]"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The lines of a type with a derived `Debug` that show what is called like a secret.
fn shown_secrets(code: &str) -> Vec<&str> {
    let mut shown = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if !(line.trim_start().starts_with("#[derive(") && line.contains("Debug")) {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        for line in lines.by_ref().take_while(|line| *line != format!("{indent}}}") && !line.ends_with(';')) {
            let field = line.trim().trim_start_matches("pub ").trim_start_matches("pub(super) ");
            let field = field.trim_start_matches("pub(crate) ");
            let Some((name, kind)) = field.split_once(": ") else { continue };
            if NAMES.contains(&name) && PLAIN.iter().any(|plain| kind.contains(plain)) {
                shown.push(line.trim());
            }
        }
    }
    shown
}

#[test]
fn no_derived_debug_shows_a_field_that_is_called_like_a_secret() {
    let bad = "#[derive(Clone, Debug)]\npub struct Open {\n    /// Which.\n    pub(crate) session: Option<String>,\n}\n";
    assert_eq!(shown_secrets(bad), ["pub(crate) session: Option<String>,"], "the search finds one");
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let code = fs::read_to_string(&file).unwrap_or_default();
        let shown = shown_secrets(&code);
        assert!(shown.is_empty(), "{}: {shown:?}", file.display());
    }
}

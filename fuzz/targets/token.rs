//! A token that nobody signed opens nothing, whatever it is; one that was signed is what it was made from.

#![no_main]

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use liveops::access::{Channel, Grant, Keys, SecretKey};

/// Keys that the inputs do not know.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let secret = |byte| SecretKey::new(&[byte; 32]).expect("32 bytes");
    Keys::new(&secret(1), &[secret(2)])
});

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    assert!(KEYS.verify(&text, Timestamp::UNIX_EPOCH).is_err(), "{text:?} opens something");
    // The same text behind a genuine beginning, and before a genuine end.
    let grant =
        Grant { user: text.clone().into_owned(), channels: vec![Channel::User("ada".into())], expires: 1 };
    let token = KEYS.sign(&grant);
    let token = token.as_str();
    if token.len() <= 4096 {
        assert_eq!(KEYS.verify(token, Timestamp::UNIX_EPOCH), Ok(grant));
    }
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    for forged in [
        format!("{signed}.{text}"),
        format!("v1.{text}.{signature}"),
        format!("{text}{token}"),
        format!("{token}{text}"),
    ] {
        if forged != token {
            assert!(KEYS.verify(&forged, Timestamp::UNIX_EPOCH).is_err(), "{forged:?} opens something");
        }
    }
});

//! The subscription token from outside: as its documentation has it, and under attack.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use liveops::access::{Channel, Grant, Keys, Purpose, Refused, SecretKey};
use proptest::prelude::*;
use ring::hmac;

const SECRET: &[u8] = b"an example of a key, 32 bytes or more";
const TOKEN: &str = "v1.eyJ1IjoiYWRhIiwiYyI6WyJsaXZlb3AuNjdlNTUwNDQtMTBiMS00MjZmLTkyNDctYmI2ODBlNWZlMGM4Il0sImV4cCI6MTc2NzIyNTYwMH0.4pQY6FeAguUICpB0WCH9hmeZsqDbkGJjU0EcK6XGoeI";

fn secret(text: &[u8]) -> SecretKey {
    SecretKey::new(text).expect("long enough")
}

fn keys() -> Keys {
    Keys::new(&secret(SECRET), &[])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn grant() -> Grant {
    let channel = "liveop.67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("a channel");
    Grant { user: "ada".to_owned(), channels: vec![channel], expires: 1_767_225_600 }
}

/// What the right key signed, whatever it says.
fn signed(payload: &str) -> String {
    let text = format!("v1.{payload}");
    let tag = hmac::sign(&secret(SECRET).derive(Purpose::Subscription), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// As somebody would write it who has only the documentation: HKDF (RFC 5869) from nothing but HMAC.
#[test]
fn the_documentation_says_how_it_is_made() {
    let hmac = |key: &[u8], message: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let extracted = hmac(b"liveops secret_key v1", SECRET);
    let key = hmac(&extracted, b"subscription token v1\x01");
    let payload = r#"{"u":"ada","c":["liveop.67e55044-10b1-426f-9247-bb680e5fe0c8"],"exp":1767225600}"#;
    let text = format!("v1.{}", URL_SAFE_NO_PAD.encode(payload));
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac(&key, text.as_bytes())));
    assert_eq!(token, TOKEN);
    assert_eq!(keys().sign(&grant()).as_str(), TOKEN);
    assert_eq!(keys().verify(TOKEN, at(1_767_225_599)), Ok(grant()));
    let documentation = include_str!("../docs/protocol.md");
    let secret = std::str::from_utf8(SECRET).expect("text");
    for part in [secret, &hex(&extracted), &hex(&key), payload, TOKEN] {
        assert!(documentation.contains(part), "{part} is not in docs/protocol.md");
    }
}

/// Another version, another letter of base64, another spelling of the same bytes (RFC 4648 section 3.5): each is another text.
#[test]
fn each_change_of_a_character_is_refused() {
    let keys = keys();
    assert!(keys.verify(TOKEN, at(0)).is_ok());
    for index in 0..TOKEN.len() {
        for other in (0..=0x7f_u8).map(char::from).filter(|other| !TOKEN[index..].starts_with(*other)) {
            let (before, after) = (&TOKEN[..index], &TOKEN[index..]);
            for text in [format!("{before}{other}{}", &after[1..]), format!("{before}{other}{after}")] {
                // What is put before a letter may be that letter.
                if text != TOKEN {
                    assert_eq!(keys.verify(&text, at(0)), Err(Refused), "{text}");
                }
            }
        }
        for text in [&TOKEN[..index], &TOKEN[index + 1..]] {
            assert_eq!(keys.verify(text, at(0)), Err(Refused), "{text}");
        }
        let without = format!("{}{}", &TOKEN[..index], &TOKEN[index + 1..]);
        assert_eq!(keys.verify(&without, at(0)), Err(Refused), "{without}");
    }
    for end in ["=", "==", "A", ".", "\n", "%3D", ".x", "\u{0}", "é"] {
        assert_eq!(keys.verify(&format!("{TOKEN}{end}"), at(0)), Err(Refused), "{end:?}");
    }
}

#[test]
fn a_key_that_was_removed_opens_nothing_and_others_never_did() {
    let [old, new, other] = [b"old", b"new", b"oth"].map(|name| secret(&name.repeat(11)));
    let token = Keys::new(&old, &[]).sign(&grant());
    let opens = |keys: Keys| keys.verify(token.as_str(), at(0)).is_ok();
    assert!(opens(Keys::new(&new, &[other.clone(), old.clone()])), "while it is a fallback");
    assert!(!opens(Keys::new(&new, std::slice::from_ref(&other))));
    assert!(!opens(Keys::new(&new, &[])));
    let later = Keys::new(&new, std::slice::from_ref(&old)).sign(&grant());
    assert!(Keys::new(&old, &[]).verify(later.as_str(), at(0)).is_err(), "the new one signs");
    // A key for forms is none for streams.
    let tag =
        hmac::sign(&old.derive(Purpose::Csrf), token.as_str().rsplit_once('.').expect("parts").0.as_bytes());
    let crossed =
        format!("{}.{}", token.as_str().rsplit_once('.').expect("parts").0, URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(Keys::new(&old, &[]).verify(&crossed, at(0)), Err(Refused));
}

/// Also what is signed is read with care: the key may be used by another program.
#[test]
fn a_signed_payload_that_is_none_is_refused() {
    let good = r#"{"u":"a","c":["liveops.user.a"],"exp":9,"more":[1]}"#;
    assert!(keys().verify(&signed(&URL_SAFE_NO_PAD.encode(good)), at(0)).is_ok(), "more keys are allowed");
    for bad in [
        "",
        "{}",
        "null",
        "[]",
        r#"{"u":"a","c":["liveops.user.a"]}"#,
        r#"{"u":"a","c":["*"],"exp":9}"#,
        r#"{"u":"a","c":"liveops.user.a","exp":9}"#,
        r#"{"u":1,"c":["liveops.user.a"],"exp":9}"#,
        r#"{"u":"a","c":["liveops.user.a"],"exp":"9"}"#,
        r#"{"u":"a","c":["liveops.user.a"],"exp":9e99}"#,
        r#"{"u":"a","u":"b","c":["liveops.user.a"],"exp":9}"#,
        r#"{"u":"a","c":["liveops.user.a"],"exp":9} x"#,
        r#"{"u":"a","c":["liveops.user.a"],"exp":0}"#,
        r#"{"u":"a","c":["liveops.user.a"],"exp":-1}"#,
    ] {
        assert_eq!(keys().verify(&signed(&URL_SAFE_NO_PAD.encode(bad)), at(0)), Err(Refused), "{bad}");
    }
    for spelt in [format!("{}==", URL_SAFE_NO_PAD.encode(good)), "a+b/".to_owned(), "x.y".to_owned()] {
        assert_eq!(keys().verify(&signed(&spelt), at(0)), Err(Refused), "{spelt}");
    }
    let long = format!(r#"{{"u":"{}","c":["liveops.user.a"],"exp":9}}"#, "a".repeat(4096));
    assert_eq!(keys().verify(&signed(&URL_SAFE_NO_PAD.encode(long)), at(0)), Err(Refused), "it is too long");
}

fn channels() -> impl Strategy<Value = Channel> {
    let operation = any::<u128>()
        .prop_map(|id| format!("liveop.{}", uuid::Uuid::from_u128(id)).parse().expect("a channel"));
    prop_oneof![operation, "\\PC{1,40}".prop_map(Channel::User)]
}

proptest! {
    #[test]
    fn what_is_signed_is_read_back_until_it_expires(
        user in "\\PC{0,60}",
        channels in prop::collection::vec(channels(), 0..5),
        expires in -1_000_000_000i64..100_000_000_000,
    ) {
        let grant = Grant { user, channels, expires };
        let token = keys().sign(&grant);
        prop_assert_eq!(keys().verify(token.as_str(), at(expires - 1)), Ok(grant.clone()));
        prop_assert_eq!(keys().verify(token.as_str(), at(expires)), Err(Refused));
        let others = Keys::new(&secret(&[7; 32]), &[secret(&[8; 32])]);
        prop_assert_eq!(others.verify(token.as_str(), at(expires - 1)), Err(Refused));
        // Nothing of it that a log, an address or a header could not hold.
        prop_assert!(token.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}|(v1\\.|\\.)?[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_=-]{0,50}){0,3}|[\\x00-\\x7f]{0,100}") {
        prop_assert_eq!(keys().verify(&text, at(0)), Err(Refused));
    }

    #[test]
    fn any_signed_payload_is_read_without_a_panic(payload in "\\PC{0,100}|\\{\"u\":\\PC{0,9},\"c\":\\PC{0,30},\"exp\":-?[0-9e.]{0,30}\\}") {
        let read = keys().verify(&signed(&URL_SAFE_NO_PAD.encode(&payload)), at(0));
        if let Ok(grant) = read {
            let told: serde_json::Value = serde_json::from_str(&payload).expect("it was read as JSON");
            prop_assert_eq!(&told["u"], &grant.user);
            prop_assert!(grant.expires > 0);
        }
    }
}

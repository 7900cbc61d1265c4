//! The subscription token: who may open which stream, until when.
//!
//! Text: `v1.<payload>.<signature>`, both parts base64url without padding (RFC 4648 section 5);
//! the payload is JSON `{"u":user,"c":[channels],"exp":unix seconds}`, the signature HMAC-SHA256
//! (RFC 2104) over `v1.<payload>`. docs/protocol.md says how the key is derived, with an example.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::{Channel, Purpose, SecretKey};

/// Longest text that is looked at.
const LONGEST: usize = 4096;

/// A signed token's text. `Debug` does not show it, so that it cannot reach a log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The text, for a page or a terminal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The user's id.
    #[serde(rename = "u")]
    pub user: String,
    /// The channels that may be opened.
    #[serde(rename = "c")]
    pub channels: Vec<Channel>,
    /// The Unix second from which it no longer opens anything.
    #[serde(rename = "exp")]
    pub expires: i64,
}

/// The token opens nothing: malformed, forged or expired. One answer for all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the subscription token is not valid: open the operation's page for a new one")]
pub struct Refused;

/// The keys that sign and check tokens.
#[derive(Debug)]
pub struct Keys {
    sign: hmac::Key,
    /// Older keys that are still accepted, for rotation.
    fallbacks: Vec<hmac::Key>,
}

impl Keys {
    /// Signs with `secret`, accepts the fallbacks too.
    pub fn new(secret: &SecretKey, fallbacks: &[SecretKey]) -> Self {
        Self {
            sign: secret.derive(Purpose::Subscription),
            fallbacks: fallbacks.iter().map(|key| key.derive(Purpose::Subscription)).collect(),
        }
    }

    /// The token that says `grant`.
    ///
    /// ```
    /// use jiff::Timestamp;
    /// use liveops::access::{Channel, Grant, Keys, SecretKey};
    ///
    /// let keys = Keys::new(&SecretKey::new(&[7; 32])?, &[]);
    /// let grant = Grant { user: "alice".into(), channels: vec![Channel::User("alice".into())], expires: 300 };
    /// let token = keys.sign(&grant);
    /// assert_eq!(keys.verify(token.as_str(), Timestamp::UNIX_EPOCH), Ok(grant));
    /// # Ok::<(), liveops::access::SecretKeyError>(())
    /// ```
    pub fn sign(&self, grant: &Grant) -> Token {
        let payload = serde_json::to_vec(grant).expect("strings and a number serialise");
        let mut text = format!("v1.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = hmac::sign(&self.sign, text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Token(text)
    }

    /// Reads a token's text: signature first, in constant time, then what it says.
    ///
    /// # Errors
    /// [`Refused`], whatever is wrong with it.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Grant, Refused> {
        if text.len() > LONGEST {
            return Err(Refused);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refused)?;
        let payload = signed.strip_prefix("v1.").ok_or(Refused)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused)?;
        let genuine = std::iter::once(&self.sign)
            .chain(&self.fallbacks)
            .any(|key| hmac::verify(key, signed.as_bytes(), &signature).is_ok());
        if !genuine {
            return Err(Refused);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refused)?;
        let grant: Grant = serde_json::from_slice(&payload).map_err(|_| Refused)?;
        if now.as_second() >= grant.expires { Err(Refused) } else { Ok(grant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::OperationId;

    fn keys(byte: u8) -> Keys {
        Keys::new(&SecretKey::new(&[byte; 32]).expect("32 bytes"), &[])
    }

    fn grant() -> Grant {
        Grant { user: "u1".into(), channels: vec![Channel::Operation(OperationId::new())], expires: 1000 }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn it_expires_to_the_second() {
        let token = keys(1).sign(&grant());
        assert_eq!(
            keys(1).verify(token.as_str(), at(999)),
            Ok(grant()).map(|mut g: Grant| {
                g.channels = keys(1).verify(token.as_str(), at(0)).expect("valid").channels;
                g
            })
        );
        assert_eq!(keys(1).verify(token.as_str(), at(1000)), Err(Refused));
    }

    #[test]
    fn fallbacks_are_accepted_and_dropped_keys_are_not() {
        let token = keys(1).sign(&grant());
        let old = SecretKey::new(&[1; 32]).expect("32 bytes");
        let new = SecretKey::new(&[2; 32]).expect("32 bytes");
        assert!(Keys::new(&new, &[old]).verify(token.as_str(), at(0)).is_ok());
        assert_eq!(Keys::new(&new, &[]).verify(token.as_str(), at(0)), Err(Refused));
    }

    #[test]
    fn another_purpose_is_another_key() {
        let secret = SecretKey::new(&[1; 32]).expect("32 bytes");
        let token = keys(1).sign(&grant());
        let (signed, signature) = token.as_str().rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        assert!(hmac::verify(&secret.derive(Purpose::Csrf), signed.as_bytes(), &signature).is_err());
    }

    #[test]
    fn a_secret_needs_32_bytes_and_debug_hides_it() {
        assert!(SecretKey::new(&[b'k'; 31]).is_err());
        let key = SecretKey::new(&[b'k'; 32]).expect("32 bytes");
        assert!(!format!("{key:?} {:?}", keys(b'k').sign(&grant())).contains("kkk"));
    }
}

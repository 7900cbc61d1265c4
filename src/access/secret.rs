//! The secret key, and the keys derived from it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom as _;
use ring::{hkdf, hmac, rand};

/// The server's secret, at least 32 bytes. Nothing is signed with it directly: each purpose has a
/// key derived by HKDF-SHA256 (RFC 5869). `Debug` does not show it.
#[derive(Clone)]
pub struct SecretKey(hkdf::Prk);

/// What a derived key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Subscription tokens.
    Subscription,
    /// Tokens that show that a form came from our own page.
    Csrf,
}

/// The secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "secret_key: has {length} bytes, expected at least 32 random ones, as `openssl rand -base64 32` gives"
)]
pub struct SecretKeyError {
    length: usize,
}

impl SecretKey {
    /// Takes the secret.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, SecretKeyError> {
        if secret.len() < 32 {
            return Err(SecretKeyError { length: secret.len() });
        }
        Ok(Self(hkdf::Salt::new(hkdf::HKDF_SHA256, b"liveops secret_key v1").extract(secret)))
    }

    /// The HMAC-SHA256 key for one purpose.
    pub fn derive(&self, purpose: Purpose) -> hmac::Key {
        let info: &[u8] = match purpose {
            Purpose::Subscription => b"subscription token v1",
            Purpose::Csrf => b"csrf token v1",
        };
        let mut key = [0; 32];
        self.0
            .expand(&[info], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 bytes are one block of HKDF-SHA256");
        hmac::Key::new(hmac::HMAC_SHA256, &key)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// 256 random bits as 43 characters of base64url, from the system's generator.
///
/// # Panics
/// When the system has no randomness, without which nothing here is safe.
pub fn random_text() -> String {
    let mut bytes = [0; 32];
    rand::SystemRandom::new().fill(&mut bytes).expect("the system's random generator works");
    URL_SAFE_NO_PAD.encode(bytes)
}

//! Passwords, hashed with argon2id (RFC 9106).

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};

/// A password as it was typed. `Debug` does not show it.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Takes what was typed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The hash of a password with a random salt, as a PHC string. It takes some 20 ms and 19 MiB on
/// purpose: call it off the async threads.
///
/// # Panics
/// When the system has no randomness.
pub fn hash_password(password: &Password) -> String {
    Argon2::default()
        .hash_password(password.0.as_bytes())
        .expect("the system's random generator works")
        .to_string()
}

/// Whether `password` is the one behind `hash`. Without a hash the same work is done for nothing,
/// so that the time does not tell which users exist.
pub fn verify_password(password: &Password, hash: Option<&str>) -> bool {
    // Of a random text that nobody kept.
    const NOBODY: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Kp9xAuhEPUIzQoGSYRDHDtfMIBc0YOIhNDyS5W9E0kA";
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else {
        return false;
    };
    let right = Argon2::default().verify_password(password.0.as_bytes(), &parsed).is_ok();
    right && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_and_only_that() {
        let hash = hash_password(&Password::new("korrekt"));
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password(&Password::new("korrekt"), Some(&hash)));
        assert!(!verify_password(&Password::new("Korrekt"), Some(&hash)));
        assert!(!verify_password(&Password::new("korrekt"), None));
        assert!(!verify_password(&Password::new("korrekt"), Some("not a hash")));
    }
}

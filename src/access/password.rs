//! Passwords, hashed with argon2id (RFC 9106).

use std::fmt;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};

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

/// Of a random text that nobody kept: it is checked where there is no hash, and costs what the others cost.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Kp9xAuhEPUIzQoGSYRDHDtfMIBc0YOIhNDyS5W9E0kA";

/// Checks passwords one after the other, in memory that is kept: the allocator would take 19 MiB
/// anew for each, and give little of it back.
#[derive(Default)]
pub struct PasswordVerifier(Vec<Block>);

impl PasswordVerifier {
    /// Whether `password` is the one behind `hash`. Without a hash the same work is done for
    /// nothing, so that the time does not tell which users exist. It takes as long as
    /// [`hash_password`].
    pub fn verify(&mut self, password: &Password, hash: Option<&str>) -> bool {
        let right = self.try_verify(password, hash.unwrap_or(NOBODY)).unwrap_or(false);
        right && hash.is_some()
    }

    /// `None` where the hash is none of argon2's.
    fn try_verify(&mut self, password: &Password, hash: &str) -> Option<bool> {
        let hash = PasswordHash::new(hash).ok()?;
        let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(&hash).ok()?;
        self.0.resize(params.block_count(), Block::default());
        let mut output = vec![0; expected.as_ref().len()];
        Argon2::new(algorithm, version, params)
            .hash_password_into_with_memory(password.0.as_bytes(), salt, &mut output, &mut self.0)
            .ok()?;
        // Compared in constant time.
        Some(Output::new(&output).ok()? == *expected)
    }
}

impl fmt::Debug for PasswordVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordVerifier(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_and_only_that() {
        let hash = hash_password(&Password::new("korrekt"));
        assert!(hash.starts_with("$argon2id$"));
        let mut verifier = PasswordVerifier::default();
        assert!(verifier.verify(&Password::new("korrekt"), Some(&hash)));
        assert!(!verifier.verify(&Password::new("Korrekt"), Some(&hash)));
        assert!(!verifier.verify(&Password::new("korrekt"), None));
        assert!(!verifier.verify(&Password::new("korrekt"), Some("not a hash")));
    }

    /// Else the time would tell which names exist.
    #[test]
    fn a_name_that_nobody_has_costs_as_much_as_one_with_a_password() {
        let hash = hash_password(&Password::new("korrekt"));
        // Algorithm, version, memory, passes and lanes; then the lengths of salt and output.
        let cost = |hash: &str| {
            let parts: Vec<_> = hash.split('$').map(str::to_owned).collect();
            (parts[..4].to_vec(), parts[4].len(), parts[5].len())
        };
        assert_eq!(cost(NOBODY), cost(&hash));
        let work = |hash| {
            let mut verifier = PasswordVerifier::default();
            assert!(!verifier.verify(&Password::new("falsch"), hash));
            // What is left in its memory is that of a run to the end.
            let touched = verifier.0.iter().filter(|block| block.as_ref().iter().any(|word| *word != 0));
            (verifier.0.len(), touched.count())
        };
        let (blocks, touched) = work(Some(&*hash));
        assert_eq!((blocks, touched), (19456, 19456));
        assert_eq!(work(None), (blocks, touched));
    }
}

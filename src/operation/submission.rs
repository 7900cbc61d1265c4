//! What makes two posts of a form the same one.

use ring::digest::{Context, SHA256};
use serde_json::Value;

/// The fingerprint of a form's key and input. Posted again, by a second click or a browser that asks
/// once more, it starts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submission([u8; 32]);

impl Submission {
    /// The submission of `input` under the key that the form carried. Files stand in the input by
    /// their content: where they lie differs each time.
    pub fn new(key: &str, input: &Value) -> Self {
        let mut context = Context::new(&SHA256);
        // Its length first, so that no key and input look like another pair.
        context.update(&(key.len() as u64).to_be_bytes());
        context.update(key.as_bytes());
        context.update(input.to_string().as_bytes());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        Self(fingerprint)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_and_input_both_count() {
        let same = Submission::new("key", &json!({ "steps": 3 }));
        assert_eq!(same, Submission::new("key", &json!({ "steps": 3 })));
        assert_ne!(same, Submission::new("key", &json!({ "steps": 4 })));
        assert_ne!(same, Submission::new("yek", &json!({ "steps": 3 })));
        assert_ne!(Submission::new("a1", &json!(1)), Submission::new("a", &json!(11)));
    }
}

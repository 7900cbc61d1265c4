//! The text of one field: as much of it as is worth holding in memory.

use crate::operation::TEXT_LIMIT;
use crate::web::error::Refusal;

/// Enough to see that it is too long, whatever character the cut goes through.
const KEPT: usize = TEXT_LIMIT + 4;

/// Text as it comes, of which only the beginning is kept where it is longer than a field may be.
#[derive(Default)]
pub(super) struct FieldText {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl FieldText {
    /// Adds what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = KEPT - self.bytes.len();
        self.is_cut |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Whether it is longer than a field may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.bytes.len() > TEXT_LIMIT
    }

    /// The text of the field `name`, too long still where it was too long.
    pub(super) fn into_text(self, name: &str) -> Result<String, Refusal> {
        match String::from_utf8(self.bytes) {
            Ok(text) => Ok(text),
            Err(error) if self.is_cut && error.utf8_error().error_len().is_none() => {
                let whole = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(whole);
                Ok(String::from_utf8(bytes).unwrap_or_default())
            }
            Err(_) => Err(Refusal::Malformed(format!("the field {name:?} is not UTF-8"))),
        }
    }
}

impl Extend<u8> for FieldText {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        for byte in bytes {
            if self.bytes.len() == KEPT {
                self.is_cut = true;
                return;
            }
            self.bytes.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_stays_too_long_and_whole_characters() {
        for before in 0..8 {
            let long = "x".repeat(TEXT_LIMIT - before) + &"é€😀".repeat(10);
            let (mut pieces, mut bytes) = (FieldText::default(), FieldText::default());
            long.as_bytes().chunks(7).for_each(|piece| pieces.push(piece));
            bytes.extend(long.bytes());
            for text in [pieces, bytes] {
                assert!(text.is_too_long());
                let text = text.into_text("name").expect("UTF-8");
                assert!(text.len() > TEXT_LIMIT && long.starts_with(&text), "{before}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_refused_also_at_its_end() {
        for bad in [&b"\xff"[..], b"a\xc3", b"\xe2\x82"] {
            let mut text = FieldText::default();
            text.push(bad);
            assert!(text.into_text("name").is_err(), "{bad:?}");
        }
    }
}

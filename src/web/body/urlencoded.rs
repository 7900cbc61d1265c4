//! An urlencoded body as it comes (URL standard, section 5.1), however long it is.

use percent_encoding::percent_decode;

use super::text::FieldText;
use crate::operation::TEXT_LIMIT;
use crate::web::error::Refusal;

/// So much of a pair is kept: a name, and a value that is too long whatever is escaped in it.
const KEPT: usize = 3 * (TEXT_LIMIT + 4) + 1024;

/// Cuts pieces of a body into its pairs.
#[derive(Default)]
pub(super) struct Pairs {
    /// The pair that is not complete yet.
    raw: Vec<u8>,
}

impl Pairs {
    /// Adds a piece, and hands each pair that it completes to `take`.
    pub(super) fn feed(
        &mut self,
        mut piece: &[u8],
        mut take: impl FnMut(String, FieldText) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'&') {
            let (rest, next) = piece.split_at(end);
            self.push(rest);
            self.finish(&mut take)?;
            piece = next.get(1..).unwrap_or_default();
        }
        self.push(piece);
        Ok(())
    }

    /// The body is over: what is left is its last pair.
    pub(super) fn finish(
        &mut self,
        mut take: impl FnMut(String, FieldText) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.raw.is_empty() {
            return Ok(());
        }
        for byte in self.raw.iter_mut().filter(|byte| **byte == b'+') {
            *byte = b' ';
        }
        let equals = self.raw.iter().position(|byte| *byte == b'=').unwrap_or(self.raw.len());
        let (name, value) = self.raw.split_at(equals);
        let name = String::from_utf8(percent_decode(name).collect());
        let name = name.map_err(|_| Refusal::Malformed("the name of a field is not UTF-8".to_owned()))?;
        let mut text = FieldText::default();
        text.extend(percent_decode(value.get(1..).unwrap_or_default()));
        self.raw.clear();
        take(name, text)
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = KEPT - self.raw.len();
        self.raw.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &[u8], size: usize) -> Result<Vec<(String, String)>, Refusal> {
        let (mut pairs, mut all) = (Pairs::default(), Vec::new());
        let mut take = |name: String, text: FieldText| {
            let text = text.into_text(&name)?;
            all.push((name, text));
            Ok(())
        };
        for piece in body.chunks(size.max(1)) {
            pairs.feed(piece, &mut take)?;
        }
        pairs.finish(&mut take)?;
        Ok(all)
    }

    proptest! {
        #[test]
        fn it_is_what_the_crate_reads_of_the_whole(
            pairs in prop::collection::vec(("\\PC{0,8}", "[\\PC\n]{0,20}"), 0..8), size in 1..40usize
        ) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let expected: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            prop_assert_eq!(read(body.as_bytes(), size), Ok(expected));
        }

        #[test]
        fn any_text_is_read_as_the_crate_does(body in "[a%=&+0-9é]{0,60}", size in 1..40usize) {
            let expected: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            // The crate puts a sign in the place of what is not UTF-8.
            match read(body.as_bytes(), size) {
                Ok(read) => prop_assert_eq!(read, expected),
                Err(_) => {
                    let is_replaced = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
                    let found = expected.iter().any(|(name, value)| is_replaced(name) || is_replaced(value));
                    prop_assert!(found);
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_not_held() {
        let body = format!("a={}&b=2", "%41".repeat(1024 * 1024));
        let pairs = read(body.as_bytes(), 8192).expect("UTF-8");
        assert_eq!(pairs.len(), 2);
        assert!(pairs[0].1.len() > TEXT_LIMIT && pairs[0].1.len() < TEXT_LIMIT + 8);
        assert_eq!(pairs[1], ("b".to_owned(), "2".to_owned()));
    }
}

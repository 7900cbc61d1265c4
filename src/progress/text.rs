//! Text that a person will read: one line, without control characters.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text and longest log line, in bytes.
pub const LINE_LIMIT: usize = 64 * 1024;

/// One line for people: control characters other than tab (C0, DEL, C1) are U+FFFD, and it is at
/// most [`LINE_LIMIT`] bytes long. Bidirectional controls stay; pages isolate them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// Cleans `text`, and cuts what is over the limit.
    pub fn new(text: &str) -> Self {
        let cut = &text[..text.floor_char_boundary(LINE_LIMIT)];
        let mut clean = clean(cut).into_owned();
        if cut.len() < text.len() {
            clean.truncate(clean.floor_char_boundary(LINE_LIMIT - '…'.len_utf8()));
            clean.push('…');
        }
        clean.truncate(clean.floor_char_boundary(LINE_LIMIT));
        Self(clean)
    }

    /// Cleans `text` and splits what is over the limit, so that nothing is lost.
    pub fn lines_of(text: &str) -> impl Iterator<Item = Self> {
        let mut rest = Some(clean(text));
        std::iter::from_fn(move || {
            let text = rest.take()?;
            if text.len() <= LINE_LIMIT {
                return Some(Self(text.into_owned()));
            }
            let (line, more) = text.split_at(text.floor_char_boundary(LINE_LIMIT));
            rest = Some(Cow::Owned(more.to_owned()));
            Some(Self(line.to_owned()))
        })
    }

    /// A text that was cleaned before it was stored.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn clean(text: &str) -> Cow<'_, str> {
    let control = |c: char| c.is_control() && c != '\t';
    if text.contains(control) { Cow::Owned(text.replace(control, "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn controls_are_replaced_and_bidi_stays() {
        assert_eq!(Text::new("a\tb\r\nc\u{1b}[31m\u{7f}\u{85}\u{202e}").as_str(), "a\tb��c�[31m��\u{202e}");
    }

    #[test]
    fn a_long_text_is_cut_visibly() {
        let text = Text::new(&"é".repeat(LINE_LIMIT));
        assert!(text.as_str().len() <= LINE_LIMIT && text.as_str().ends_with('…'));
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing(text in "(\\PC|\t){0,40}", times in 1usize..6000) {
            let long = text.repeat(times);
            let lines: Vec<_> = Text::lines_of(&long).collect();
            prop_assert!(lines.iter().all(|line| line.0.len() <= LINE_LIMIT));
            prop_assert_eq!(lines.iter().map(Text::as_str).collect::<String>(), long);
        }
    }
}

//! Text that a person will read: one line, without control characters.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest log line, in bytes; a longer one is split.
pub const LINE_LIMIT: usize = 64 * 1024;
/// Longest other text, in bytes; a longer one is cut.
pub const TEXT_LIMIT: usize = 16 * 1024;

/// Longest name of a row, in characters.
const LABEL_LIMIT: usize = 200;

/// One line for people: control characters other than tab (C0, DEL, C1) are U+FFFD, and its length
/// is bounded. Bidirectional controls stay; pages isolate them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// Cleans `text`, and cuts what is over [`TEXT_LIMIT`], visibly.
    pub fn new(text: &str) -> Self {
        let mut clean = clean(&text[..text.floor_char_boundary(TEXT_LIMIT)]).into_owned();
        if clean.len().max(text.len()) > TEXT_LIMIT {
            clean.truncate(clean.floor_char_boundary(TEXT_LIMIT - '…'.len_utf8()));
            clean.push('…');
        }
        Self(clean)
    }

    /// What stands for one row or item: short, and without tabs.
    pub(crate) fn label(text: &str) -> Self {
        Self(clean(&shortened(text, LABEL_LIMIT)).replace('\t', " "))
    }

    /// Cleans `text` and splits what is over [`LINE_LIMIT`], so that nothing is lost.
    pub fn lines_of(text: &str) -> impl Iterator<Item = Self> {
        let text = clean(text);
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let rest = &text[next.take()?..];
            let end = rest.floor_char_boundary(LINE_LIMIT);
            next = (end < rest.len()).then_some(text.len() - rest.len() + end);
            Some(Self(rest[..end].to_owned()))
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

/// A text of `most` characters at most, cut visibly.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn clean(text: &str) -> Cow<'_, str> {
    let control = |c: char| c.is_control() && c != '\t';
    if text.contains(control) { Cow::Owned(text.replace(control, "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// Whether a character is no control and yet not seen, so that two texts which people read alike may differ by it: line and paragraph
/// separators, the empty pattern of Braille, and what is shown by nothing (Default_Ignorable_Code_Point of Unicode 16) but the joiners, without
/// which some languages cannot be written.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' |
        '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' |
        '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' |
        '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
        for long in ["é".repeat(TEXT_LIMIT), "\0".repeat(TEXT_LIMIT / 2)] {
            let text = Text::new(&long);
            assert!(text.as_str().len() <= TEXT_LIMIT && text.as_str().ends_with('…'));
        }
        let fits = "x".repeat(TEXT_LIMIT);
        assert_eq!(Text::new(&fits).as_str(), fits);
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

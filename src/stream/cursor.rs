//! Where a reader stands.

use std::fmt;

/// All that a reader of one channel has seen: epoch, attempt and version, and whether it was told beside them that the
/// operation was asked to stop. Its text is the `id:` of events, opaque to clients; a text that is not one of ours is the
/// start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor(Option<Position>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Position {
    epoch: u64,
    attempt: u32,
    version: u64,
    asked: bool,
}

/// What the text of a cursor ends with whose reader was told that the operation was asked to stop.
const ASKED: &str = "-asked";

impl Cursor {
    /// A reader that has seen nothing.
    pub const START: Self = Self(None);

    pub(crate) fn new(epoch: u64, attempt: u32, version: u64) -> Self {
        Self(Some(Position { epoch, attempt, version, asked: false }))
    }

    /// The same, of a reader that was told that the operation was asked to stop, before the page of that version says so.
    pub(crate) fn asked(self, asked: bool) -> Self {
        Self(self.0.map(|position| Position { asked, ..position }))
    }

    /// Whether its reader was told so.
    pub(crate) fn is_asked(self) -> bool {
        self.0.is_some_and(|position| position.asked)
    }

    /// Reads the text of a cursor; whatever else it is means the start.
    pub fn parse(text: &str) -> Self {
        Self::try_parse(text).unwrap_or(Self::START)
    }

    fn try_parse(text: &str) -> Option<Self> {
        let (numbers, asked) = text.strip_suffix(ASKED).map_or((text, false), |numbers| (numbers, true));
        let mut parts = numbers.splitn(3, '-');
        let (epoch, attempt, version) = (parts.next()?, parts.next()?, parts.next()?);
        let cursor =
            Self::new(u64::from_str_radix(epoch, 16).ok()?, attempt.parse().ok()?, version.parse().ok()?);
        let cursor = cursor.asked(asked);
        // One spelling each: `+1` and `01` are not ours.
        (cursor.to_string() == text).then_some(cursor)
    }

    /// The version that the reader has seen of this life of the page; none when it comes from
    /// another one or from the future.
    pub(crate) fn version_within(self, epoch: u64, attempt: u32, newest: u64) -> Option<u64> {
        self.0
            .filter(|seen| seen.epoch == epoch && seen.attempt == attempt && seen.version <= newest)
            .map(|seen| seen.version)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Position { epoch, attempt, version, asked }) => {
                write!(f, "{epoch:x}-{attempt}-{version}{}", if asked { ASKED } else { "" })
            }
            None => f.write_str("start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_texts_are_the_start() {
        for odd in [
            "",
            "start",
            "1-1",
            "1-1-1-1",
            "+1-1-1",
            "1-01-1",
            "G-1-1",
            "1-1-18446744073709551616",
            "é",
            "-asked",
            "1-1-asked",
            "1-1-1-asked-asked",
        ] {
            assert_eq!(Cursor::parse(odd), Cursor::START, "{odd}");
        }
    }

    #[test]
    fn a_foreign_or_future_cursor_has_seen_nothing() {
        let cursor = Cursor::new(7, 1, 5);
        assert_eq!(cursor.version_within(7, 1, 5), Some(5));
        assert_eq!(cursor.version_within(7, 1, 4), None);
        assert_eq!(cursor.version_within(8, 1, 9), None);
        assert_eq!(cursor.version_within(7, 2, 9), None);
        assert_eq!(Cursor::START.version_within(0, 0, 0), None);
    }

    proptest! {
        #[test]
        fn text_and_cursor_are_the_same(epoch: u64, attempt: u32, version: u64, asked: bool) {
            let cursor = Cursor::new(epoch, attempt, version).asked(asked);
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), cursor);
        }

        #[test]
        fn any_text_parses(text in "\\PC*") {
            Cursor::parse(&text);
        }
    }
}

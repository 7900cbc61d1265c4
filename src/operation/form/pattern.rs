//! What a text has to match.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// Most memory of a compiled pattern. Matching takes time linear in the text in any case.
const LARGEST: usize = 1024 * 1024;

/// A regular expression, in the syntax of the `regex` crate, for the whole of a text.
///
/// One that is none is told when its kind is registered.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: Cow<'static, str>,
    compiled: Result<Regex, String>,
}

impl Pattern {
    /// The pattern that is written so.
    pub fn new(source: impl Into<Cow<'static, str>>) -> Self {
        let source = source.into();
        let compile = |text: &str| RegexBuilder::new(text).size_limit(LARGEST).build();
        // On its own first, so that it cannot close the group around it.
        let compiled = compile(&source)
            .and_then(|_| compile(&format!(r"\A(?:{source})\z")))
            .map_err(|error| one_line(&error));
        Self { source, compiled }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// As browsers can check it (HTML, section 4.10.5.3.6): none where JavaScript would read something else in it, and keep
    /// people from what is right.
    pub(crate) fn for_browsers(&self) -> Option<&str> {
        let mut rest = &*self.source;
        while let Some(at) = rest.find(['\\', '[', '(', '&', '-', '~']) {
            let (sign, after) = rest.split_at(at).1.split_at(1);
            rest = after;
            let next = after.chars().next().unwrap_or(' ');
            let is_same = match sign {
                "\\" => {
                    rest = after.get(next.len_utf8()..).unwrap_or("");
                    r".^$*+?()[]{}|/\-".contains(next)
                }
                "[" => next != ':',
                "(" => next != '?' || after.starts_with("?:"),
                doubled => !after.starts_with(doubled),
            };
            if !is_same {
                return None;
            }
        }
        Some(&self.source)
    }

    /// Whether the whole of `text` matches; a pattern that is none matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.as_ref().is_ok_and(|pattern| pattern.is_match(text))
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<&str> {
        self.compiled.as_ref().err().map(String::as_str)
    }
}

/// The reason alone: the crate draws an arrow below the pattern.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_the_whole_text() {
        let pattern = Pattern::new("a|b[0-9]");
        assert!(pattern.matches("a") && pattern.matches("b7"));
        for other in ["", "ab", "b", "a\n", "xb7"] {
            assert!(!pattern.matches(other), "{other:?}");
        }
    }

    #[test]
    fn browsers_check_what_they_read_alike() {
        for same in ["[a-z_]+", r"[0-9]{5}|x\.y", "(?:ab)?c", r"\[a\]", "é+", "a-z"] {
            assert_eq!(Pattern::new(same).for_browsers(), Some(same));
        }
        for other in
            [r"\w+", r"a\d", "[[:alpha:]]+", "(?i)a", "[a-z&&[^b]]", "[a--b]", r"\\\w", r"\pL", "(?P<a>x)"]
        {
            assert_eq!(Pattern::new(other).for_browsers(), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_so_and_matches_nothing() {
        for bad in ["(", "a)|(?:b", "[a-", "(?x)a #", "\\p{L}{1000}{1000}"] {
            let pattern = Pattern::new(bad);
            assert!(pattern.fault().is_some_and(|fault| !fault.contains('\n')), "{bad}");
            assert!(!pattern.matches("a"), "{bad}");
        }
    }
}

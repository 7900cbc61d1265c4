//! What an operation puts on its page itself: the one place where HTML comes in.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::operation::{TooDeep, shallow};

/// Largest content of one call, in bytes.
pub const CONTENT_LIMIT: usize = 256 * 1024;

/// Most regions of one operation's own.
pub const REGION_LIMIT: usize = 20;

/// The names that the page's own elements have behind `op-<uuid>-`.
const TAKEN: [&str; 14] = [
    "stages",
    "status",
    "progress",
    "failures",
    "log",
    "log-more",
    "log-lines",
    "result",
    "extra",
    "controls",
    "row",
    "title",
    "percent",
    "restart",
];

/// HTML that whoever wrote the operation vouches for: it reaches the page as it is.
///
/// There is no other way for HTML to get in, so that a search for `Html::trusted` finds every place
/// where text of users would be dangerous: it is no field of an input, and what a stored page has of it cannot be copied.
#[derive(PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Html(String);

impl Html {
    /// HTML that is known to be harmless. Nothing in it may come from a user unescaped.
    pub fn trusted(html: impl Into<String>) -> Self {
        Self(html.into())
    }

    /// The HTML.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Html").field(&self.0).finish()
    }
}

/// The name of a region that an operation makes itself: `a-z`, then `a-z`, `0-9` and `-`, at most 40
/// characters, and none of the page's own names. Its element's id is `op-<uuid>-<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ElementId(String);

impl ElementId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ContentError::Id`] when it is not one.
    pub fn new(name: &str) -> Result<Self, ContentError> {
        let mut chars = name.chars();
        let well_formed = chars.next().is_some_and(|c| c.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && name.len() <= 40;
        let is_taken = TAKEN.contains(&name) || name.starts_with("log-");
        if well_formed && !is_taken {
            Ok(Self(name.to_owned()))
        } else {
            Err(ContentError::Id(name.chars().take(64).collect()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ElementId {
    type Error = ContentError;

    fn try_from(name: String) -> Result<Self, ContentError> {
        Self::new(&name)
    }
}

impl From<ElementId> for String {
    fn from(id: ElementId) -> Self {
        id.0
    }
}

impl fmt::Display for ElementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in a region of one's own.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// HTML as it is.
    Html(Html),
    /// The template `<kind>_<name>.html`, which escapes what it prints.
    Template {
        /// The name behind the kind's.
        name: String,
        /// What the template is given.
        context: Value,
    },
}

impl From<Html> for Content {
    fn from(html: Html) -> Self {
        Self::Html(html)
    }
}

impl Content {
    /// The template `<kind>_<name>.html` with `context`, any value that serialises to JSON. The name is `[a-z][a-z0-9_]*`.
    ///
    /// # Errors
    /// [`ContentError`] when the name is none, or the context does not serialise.
    pub fn template(name: &str, context: impl Serialize) -> Result<Self, ContentError> {
        let mut chars = name.chars();
        let well_formed = chars.next().is_some_and(|c| c.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && name.len() <= 64;
        if !well_formed {
            return Err(ContentError::Template(name.chars().take(64).collect()));
        }
        Ok(Self::Template { name: name.to_owned(), context: shallow(serde_json::to_value(context)?)? })
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Html(html) => html.0.len(),
            Self::Template { name, context } => name.len() + json_weight(context),
        }
    }

    pub(super) fn checked(self) -> Result<Self, ContentError> {
        let bytes = self.weight();
        if bytes > CONTENT_LIMIT { Err(ContentError::TooLarge(bytes)) } else { Ok(self) }
    }
}

/// About the length of a value's JSON, without making it.
fn json_weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| json_weight(item) + 1).sum::<usize>(),
        Value::Object(entries) => {
            2 + entries.iter().map(|(key, value)| key.len() + json_weight(value) + 4).sum::<usize>()
        }
        _ => 8,
    }
}

/// Content that was stored, which a run said once. There is no other way back from JSON: an input must not bring HTML along.
pub(crate) fn stored<'de, D: Deserializer<'de>>(stored: D) -> Result<Arc<Content>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Stored {
        Html(String),
        Template { name: String, context: Value },
    }
    Ok(Arc::new(match Stored::deserialize(stored)? {
        Stored::Html(html) => Content::Html(Html(html)),
        Stored::Template { name, context } => Content::Template { name, context },
    }))
}

/// Why something was not put on the page.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The name is not one for a region.
    #[error(
        "{0:?} is no name for a region: expected a lower-case letter and then letters, digits or '-', 40 characters at \
         most, and none of the page's own names"
    )]
    Id(String),
    /// The name is not one for a template.
    #[error("{0:?} is no name for a template: expected a lower-case letter and then letters, digits or '_'")]
    Template(String),
    /// The context does not serialise to JSON.
    #[error("the template's context does not serialise: {0}")]
    Context(#[from] serde_json::Error),
    /// The context nests too deep to be stored.
    #[error("the template's context cannot be kept: {0}")]
    Deep(#[from] TooDeep),
    /// It is larger than a page should have to hold.
    #[error(
        "the content has {0} bytes, more than {CONTENT_LIMIT}: show a part, and offer the whole as a file"
    )]
    TooLarge(usize),
    /// There are as many regions as a page should have.
    #[error(
        "{0:?} would be one more than the {REGION_LIMIT} regions that an operation may have: append to one of them"
    )]
    TooMany(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_not_the_pages_own() {
        for good in ["map", "chart-2", "x"] {
            assert!(ElementId::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(41);
        for bad in ["", "Map", "2", "-", "a_b", "a b", "a\"", "log", "log-7", "status", "extra", "é", &long]
        {
            assert!(ElementId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn content_has_a_limit() {
        assert!(Content::Html(Html::trusted("x".repeat(CONTENT_LIMIT))).checked().is_ok());
        assert!(Content::Html(Html::trusted("x".repeat(CONTENT_LIMIT + 1))).checked().is_err());
        let table = vec!["x".repeat(100); CONTENT_LIMIT / 100];
        assert!(Content::template("table", table).and_then(Content::checked).is_err());
        assert!(Content::template("../x", ()).is_err());
    }
}

//! One region, rendered.

use serde::{Deserialize, Serialize};

/// How a fragment's HTML goes into the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Swap {
    /// It replaces the element of that id; empty HTML removes it.
    Outer,
    /// It replaces the element's children.
    Inner,
    /// It becomes the element's last children; where an id is there already, it replaces that.
    Append,
    /// Likewise the first children.
    Prepend,
}

/// The envelope in which HTML travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// The id of the element.
    pub id: String,
    /// What happens to it.
    pub swap: Swap,
    /// The HTML, escaped by whoever rendered it.
    pub html: String,
}

//! What a stream subscribes to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::operation::OperationId;

/// The name of a stream's subject, parsed and printed here only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// One operation: `liveop.<uuid>`.
    Operation(OperationId),
    /// One user's list: `liveops.user.<id>`.
    User(String),
}

/// The text names no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a channel: expected liveop.<uuid> or liveops.user.<id>")]
pub struct ParseChannelError(String);

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(id) => write!(f, "liveop.{id}"),
            Self::User(id) => write!(f, "liveops.user.{id}"),
        }
    }
}

impl FromStr for Channel {
    type Err = ParseChannelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let user = text.strip_prefix("liveops.user.").filter(|id| !id.is_empty());
        let operation = || text.strip_prefix("liveop.")?.parse().ok().map(Self::Operation);
        user.map(|id| Self::User(id.to_owned()))
            .or_else(operation)
            .ok_or_else(|| ParseChannelError(text.chars().take(100).collect()))
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_print_as_they_parse() {
        for text in ["liveop.67e55044-10b1-426f-9247-bb680e5fe0c8", "liveops.user.7", "liveops.user.a.b"] {
            assert_eq!(text.parse::<Channel>().map(|channel| channel.to_string()), Ok(text.to_owned()));
        }
        for bad in [
            "",
            "liveop.",
            "liveop.7",
            "liveops.user.",
            "user.7",
            "LIVEOP.67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            assert!(bad.parse::<Channel>().is_err(), "{bad}");
        }
    }
}

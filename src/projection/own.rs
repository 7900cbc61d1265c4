//! Regions that the operation makes itself.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::progress::{CONTENT_LIMIT, Content, ElementId, REGION_LIMIT, stored};

/// Most pieces in one region.
const PIECES: usize = 200;

/// One thing that was put into a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Its number within the region, from 1, which never comes again.
    pub seq: u64,
    /// The version that publishes it.
    pub version: u64,
    #[serde(deserialize_with = "stored")]
    content: Arc<Content>,
}

impl Piece {
    /// What it is.
    pub fn content(&self) -> &Content {
        &self.content
    }
}

/// One region of the operation's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnRegion {
    id: ElementId,
    /// The version at which it became what cannot be reached by appending.
    whole: u64,
    pieces: VecDeque<Piece>,
    next: u64,
}

/// What a reader lacks of one region.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnChange {
    /// The region.
    pub id: ElementId,
    /// The pieces to append; without them the region is to be sent whole.
    pub append: Option<Vec<Piece>>,
}

/// The regions in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Own(Vec<OwnRegion>);

impl Own {
    /// The regions in their order.
    pub fn iter(&self) -> impl Iterator<Item = &OwnRegion> {
        self.0.iter()
    }

    /// The region of that name.
    pub fn get(&self, id: &str) -> Option<&OwnRegion> {
        self.0.iter().find(|region| region.id.as_str() == id)
    }

    pub(super) fn replace(&mut self, id: ElementId, content: Arc<Content>, version: u64) -> bool {
        let Some(region) = self.region(id, version) else { return false };
        if region.pieces.len() == 1 && region.pieces.back().is_some_and(|piece| piece.content == content) {
            return false;
        }
        region.pieces.clear();
        region.whole = version;
        region.push(content, version);
        true
    }

    pub(super) fn append(&mut self, id: ElementId, content: Arc<Content>, version: u64) -> bool {
        let Some(region) = self.region(id, version) else { return false };
        region.push(content, version);
        true
    }

    /// What a reader lacks that has seen version `seen`.
    pub(super) fn since(&self, seen: Option<u64>) -> Vec<OwnChange> {
        let change = |region: &OwnRegion| {
            let Some(seen) = seen.filter(|seen| region.whole <= *seen) else {
                return Some(OwnChange { id: region.id.clone(), append: None });
            };
            let pieces: Vec<_> = region.pieces.iter().filter(|piece| piece.version > seen).cloned().collect();
            (!pieces.is_empty()).then(|| OwnChange { id: region.id.clone(), append: Some(pieces) })
        };
        self.0.iter().filter_map(change).collect()
    }

    /// The newest version at which one of them changed.
    pub(super) fn changed(&self) -> u64 {
        let changed = |region: &OwnRegion| region.pieces.back().map_or(region.whole, |piece| piece.version);
        self.0.iter().map(changed).max().unwrap_or(0)
    }

    fn region(&mut self, id: ElementId, version: u64) -> Option<&mut OwnRegion> {
        let index = match self.0.iter().position(|region| region.id == id) {
            Some(index) => index,
            None if self.0.len() == REGION_LIMIT => return None,
            None => {
                self.0.push(OwnRegion { id, whole: version, pieces: VecDeque::new(), next: 1 });
                self.0.len() - 1
            }
        };
        self.0.get_mut(index)
    }
}

impl OwnRegion {
    /// Its name.
    pub fn id(&self) -> &ElementId {
        &self.id
    }

    /// What stands in it, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    fn push(&mut self, content: Arc<Content>, version: u64) {
        self.pieces.push_back(Piece { seq: self.next, version, content });
        self.next += 1;
        let weight =
            |pieces: &VecDeque<Piece>| -> usize { pieces.iter().map(|piece| piece.content.weight()).sum() };
        if self.pieces.len() > PIECES || (self.pieces.len() > 1 && weight(&self.pieces) > CONTENT_LIMIT) {
            // Half of it at once: after each cut all readers get the rest anew.
            while self.pieces.len() > 1
                && (self.pieces.len() > PIECES / 2 || weight(&self.pieces) > CONTENT_LIMIT / 2)
            {
                self.pieces.pop_front();
            }
            self.whole = version;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Html;

    fn id(name: &str) -> ElementId {
        ElementId::new(name).expect("a name")
    }

    fn html(text: &str) -> Arc<Content> {
        Arc::new(Content::Html(Html::trusted(text)))
    }

    #[test]
    fn a_reader_gets_what_it_lacks() {
        let mut own = Own::default();
        own.replace(id("a"), html("1"), 2);
        own.append(id("a"), html("2"), 3);
        own.append(id("b"), html("x"), 4);
        let lacks = |own: &Own, seen| {
            let changes = own.since(seen).into_iter();
            changes
                .map(|change| (change.id.to_string(), change.append.map(|pieces| pieces.len())))
                .collect::<Vec<_>>()
        };
        assert_eq!(lacks(&own, None), [("a".into(), None), ("b".into(), None)]);
        assert_eq!(lacks(&own, Some(2)), [("a".into(), Some(1)), ("b".into(), None)]);
        assert_eq!(lacks(&own, Some(4)), []);
        assert!(!own.replace(id("b"), html("x"), 5), "it is so already");
        assert!(own.replace(id("a"), html("x"), 5));
        assert_eq!(lacks(&own, Some(4)), [("a".into(), None)]);
    }

    #[test]
    fn what_is_too_much_loses_its_beginning() {
        let mut own = Own::default();
        for n in 0..1000 {
            own.append(id("a"), html(&"x".repeat(n)), n as u64);
        }
        let pieces: Vec<_> = own.iter().flat_map(OwnRegion::pieces).collect();
        assert!(pieces.len() <= PIECES && pieces.last().map(|piece| piece.seq) == Some(1000));
        assert!(pieces.iter().map(|piece| piece.content.weight()).sum::<usize>() <= CONTENT_LIMIT);
        for n in 0..100 {
            own.replace(id(&format!("r{n}")), html("x"), 1);
        }
        assert_eq!(own.iter().count(), REGION_LIMIT);
    }
}

//! Regions of an operation's own, from data to HTML.

use std::borrow::Cow;

use minijinja::value::{Serde, Value};

use super::{Renderer, templates};
use crate::progress::{Content, ElementId};
use crate::projection::{Delta, OwnRegion, Piece, Projection, Region};
use crate::stream::{Fragment, FrameBuilder, Subject, Swap};

impl Renderer {
    /// The regions that the container of the operation's kind has places for, rendered.
    pub(super) fn places(&self, subject: &Subject, projection: &Projection) -> Vec<(String, Value)> {
        let set = self.templates.get();
        let own = projection.own().iter().filter(|region| set.has_place(&subject.kind, region.id().as_str()));
        own.map(|region| (region.id().to_string(), Value::from_safe_string(self.own_region(subject, region))))
            .collect()
    }

    /// A region of the operation's own as its whole element.
    pub(super) fn own_region(&self, subject: &Subject, region: &OwnRegion) -> String {
        let pieces: String = region.pieces().map(|piece| self.piece(subject, region.id(), piece)).collect();
        templates::own_element(&subject.id.to_string(), region.id().as_str(), &pieces)
    }

    /// One piece of it. It has an id, so that a repeat is harmless.
    fn piece(&self, subject: &Subject, id: &ElementId, piece: &Piece) -> String {
        let html = match piece.content() {
            Content::Html(html) => html.as_str().into(),
            Content::Template { name, context } => {
                let name = format!("{}_{name}.html", subject.kind);
                Cow::Owned(self.page(&name, Value::from(Serde(context))).unwrap_or_else(|error| {
                    tracing::error!(operation = %subject.id, region = %id, %error, "a region failed to render");
                    format!("<p class=\"liveop-broken\">{}</p>", templates::BROKEN)
                }))
            }
        };
        // With a dot, which no name of a region has.
        format!("<div id=\"op-{}-{id}.{}\">{html}</div>", subject.id, piece.seq)
    }

    /// What is news in regions of the operation's own. One that has no place comes into the extra region,
    /// where an id that is there already is replaced. A reader from an attempt before may have something in a place
    /// that is empty now.
    pub(super) fn own_fragments(
        &self,
        subject: &Subject,
        projection: &Projection,
        delta: &Delta,
        frame: &mut FrameBuilder,
    ) {
        let set = self.templates.get();
        let element = format!("op-{}", subject.id);
        let is_new = delta.regions.contains(&Region::Extra);
        for change in &delta.own {
            let has_place = set.has_place(&subject.kind, change.id.as_str());
            let own = format!("{element}-{}", change.id);
            let (id, swap, html) = match &change.append {
                // It came with the extra region.
                _ if is_new && !has_place => continue,
                Some(pieces) => {
                    let html = pieces.iter().map(|piece| self.piece(subject, &change.id, piece)).collect();
                    (own, Swap::Append, html)
                }
                None => {
                    let Some(region) = projection.own().get(change.id.as_str()) else { continue };
                    let html = self.own_region(subject, region);
                    if has_place {
                        (own, Swap::Outer, html)
                    } else {
                        (format!("{element}-extra"), Swap::Append, html)
                    }
                }
            };
            frame.fragment(&Fragment { id, swap, html });
        }
        if is_new {
            for place in set.places(&subject.kind).filter(|place| projection.own().get(place).is_none()) {
                let html = templates::own_element(&subject.id.to_string(), place, "");
                frame.fragment(&Fragment { id: format!("{element}-{place}"), swap: Swap::Outer, html });
            }
        }
    }
}

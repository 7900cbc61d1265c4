//! An operation's page: as it was rendered, and as a stream makes it.

use std::ops::Deref;

use liveops::testing::{self, Element};

use super::{Event, attribute, text_of};

/// An operation's page as HTML.
pub(crate) struct Page {
    /// The operation.
    pub(crate) id: String,
    /// The whole page.
    pub(crate) html: String,
    /// What the container says of its state.
    pub(crate) state: String,
    /// The subscription token, while it is not over.
    pub(crate) token: Option<String>,
}

/// The page that somebody has who applies a stream's events as the shim does, beginning with an empty one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model(testing::Page);

impl Page {
    /// Reads a page.
    pub(crate) fn new(id: &str, html: String) -> Self {
        let container = format!("<section id=\"op-{id}\"");
        let read = |name: &str| attribute(&html, &container, name);
        let state = read("data-liveop-state").unwrap_or_else(|| panic!("no container in {html}"));
        let token = read("data-liveop-token");
        Self { id: id.to_owned(), state, token, html }
    }

    /// An attribute of the container.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.html, &format!("<section id=\"op-{}\"", self.id), name)
    }

    /// What a person reads.
    pub(crate) fn text(&self) -> String {
        text_of(&self.html)
    }
}

impl Model {
    /// An empty page that keeps `tail` lines.
    pub(crate) fn new(tail: usize) -> Self {
        Self(testing::Page::blank(tail))
    }

    /// What comes of these events on an empty page.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut model = Self::new(200);
        events.iter().for_each(|event| model.apply(event));
        model
    }

    /// Applies an event.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.0.apply(event);
        // The shim would replace it, but the contract says that none comes twice.
        assert_eq!(self.repeated_lines(), 0, "a line came twice: {event:?}");
    }

    /// A region's HTML.
    pub(crate) fn region(&self, name: &str) -> String {
        self.0.region(name).unwrap_or_else(|| panic!("no region {name} in {self:?}")).html()
    }

    /// Whether a rendered page has exactly this. The controls hold the viewer's own CSRF token there,
    /// and are compared by the caller.
    pub(crate) fn assert_is(&self, page: &Page) {
        assert_eq!(self.state().map(|state| state.to_string()).as_ref(), Some(&page.state));
        let rendered = Element::parse(&page.html);
        for region in self.document().children() {
            let id = region.attribute("id").expect("a region has an id");
            if !id.ends_with("-controls") {
                assert_eq!(Some(region), rendered.find(&id), "{id}");
            }
        }
    }
}

impl Deref for Model {
    type Target = testing::Page;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

//! An operation's page: as it was rendered, and as a stream makes it.

use std::collections::BTreeMap;

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

/// The page that somebody has who applies a stream's events as the shim does.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    /// The container's state.
    pub(crate) state: String,
    /// The regions' HTML by element id; the log's lines apart.
    pub(crate) regions: BTreeMap<String, String>,
    /// The log's lines on the page: id and HTML.
    pub(crate) lines: Vec<(String, String)>,
    /// The data of `end`.
    pub(crate) end: Option<serde_json::Value>,
    /// How many lines a page keeps.
    tail: usize,
}

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
        Self { tail, ..Self::default() }
    }

    /// What comes of these events on an empty page.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut model = Self::new(200);
        events.iter().for_each(|event| model.apply(event));
        model
    }

    /// Applies an event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event.name.as_str() {
            "state" => self.state = event.text("state").to_owned(),
            "end" => self.end = Some(event.data.clone()),
            "chain" => {}
            "fragment" => self.fragment(event),
            other => panic!("an event of the type {other:?}: {event:?}"),
        }
    }

    fn fragment(&mut self, event: &Event) {
        let (element, html) = (event.element(), event.html());
        match (event.text("swap"), element.strip_suffix("-log-lines")) {
            ("outer", None) => {
                self.regions.insert(element.to_owned(), html.to_owned());
            }
            ("outer", Some(operation)) => {
                self.lines = lines(operation, html.strip_suffix("</div>").expect("the log's own end"));
                let inside: usize = self.lines.iter().map(|(_, line)| line.len()).sum();
                let shell = html[..html.len() - "</div>".len() - inside].to_owned();
                self.regions.insert(element.to_owned(), shell);
            }
            ("append", Some(operation)) => {
                for (id, line) in lines(operation, html) {
                    // The shim would replace it, but the contract says that none comes twice.
                    assert!(!self.lines.iter().any(|(known, _)| *known == id), "{id} came twice");
                    self.lines.push((id, line));
                }
            }
            _ => panic!("this swap was not expected here: {event:?}"),
        }
        let excess = self.lines.len().saturating_sub(self.tail);
        self.lines.drain(..excess);
    }

    /// The numbers of the log's lines on the page.
    pub(crate) fn line_numbers(&self) -> Vec<u64> {
        let number = |id: &str| id.rsplit('-').next().and_then(|seq| seq.parse().ok()).expect("a number");
        self.lines.iter().map(|(id, _)| number(id)).collect()
    }

    /// A region by the end of its id.
    pub(crate) fn region(&self, name: &str) -> &str {
        let found = self.regions.iter().find(|(id, _)| id.ends_with(&format!("-{name}")));
        found.map(|(_, html)| html.as_str()).unwrap_or_else(|| panic!("no region {name} in {self:?}"))
    }

    /// Whether a rendered page has exactly this. The controls hold the viewer's own CSRF token there,
    /// and are compared by the caller.
    pub(crate) fn assert_is(&self, page: &Page) {
        assert_eq!(self.state, page.state);
        for (id, html) in &self.regions {
            let whole = if id.ends_with("-log-lines") {
                let lines: String = self.lines.iter().map(|(_, line)| line.as_str()).collect();
                format!("{html}{lines}</div>")
            } else if id.ends_with("-controls") {
                continue;
            } else {
                html.clone()
            };
            assert!(page.html.contains(&whole), "the page lacks\n{whole}\nin\n{}", page.html);
        }
    }
}

/// The lines in a piece of the log: each is an element with an id of its own, and nothing else is.
fn lines(operation: &str, html: &str) -> Vec<(String, String)> {
    let mark = format!(" id=\"{operation}-log-");
    let starts: Vec<usize> = html
        .match_indices(&mark)
        .filter(|(at, mark)| html[at + mark.len()..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|(at, _)| html[..at].rfind('<').expect("a tag"))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([html.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let line = &html[*start..end];
            (attribute(line, "<", "id").expect("an id"), line.to_owned())
        })
        .collect()
}

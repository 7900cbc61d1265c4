//! A page with a live container, changed by a stream's events as the script in a browser changes it.

use super::{Element, Event};
use crate::operation::State;

/// Where the rows of a list come in.
const ROWS: &str = "operations-rows";

/// What somebody has on the screen.
///
/// Regions go by the end of their id: `status` is `op-<uuid>-status`. There are `stages`, `status`, `progress`, `failures`,
/// `log-more`, `log-lines`, `result`, `extra`, `controls`, and those that the operation made itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    document: Element,
    /// The id of the live container; empty where that is not known yet.
    container: String,
    state: Option<State>,
    /// The stream said that nothing follows, or the page came so.
    is_over: bool,
    redirect: Option<String>,
    next: Option<String>,
    log_tail: usize,
    /// It was begun with nothing on it, so it has a place for whatever comes.
    is_blank: bool,
    repeated_lines: usize,
}

/// How an operation ended, as its page knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// One of the final states.
    pub state: State,
    /// Where the page leads on to.
    pub redirect: Option<String>,
    /// The page of the operation that it handed over to.
    pub next: Option<String>,
}

impl Page {
    /// A page as the server sent it.
    ///
    /// # Panics
    /// Where it has no live container.
    #[track_caller]
    pub fn parse(html: &str) -> Self {
        let document = Element::parse(html);
        let Some(container) = document.with("data-liveop-channel") else {
            panic!("the page has no live container, an element with data-liveop-channel:\n{html}")
        };
        let read = |name: &str| container.attribute(&format!("data-liveop-{name}"));
        let state = read("state").and_then(|state| State::from_name(&state));
        Self {
            container: container.attribute("id").unwrap_or_default(),
            state,
            is_over: state.is_some_and(State::is_final),
            redirect: read("redirect"),
            next: read("next"),
            log_tail: read("log-tail").and_then(|tail| tail.parse().ok()).unwrap_or(200),
            is_blank: false,
            repeated_lines: 0,
            document,
        }
    }

    /// An empty page that keeps so many lines of the log: what a stream's first flush fills.
    pub fn blank(log_tail: usize) -> Self {
        Self {
            document: Element::default(),
            container: String::new(),
            state: None,
            is_over: false,
            redirect: None,
            next: None,
            log_tail,
            is_blank: true,
            repeated_lines: 0,
        }
    }

    /// Takes an event.
    ///
    /// # Panics
    /// When it is none that a page knows, or touches what is not the container's own.
    #[track_caller]
    pub fn apply(&mut self, event: &Event) {
        if self.is_blank && event.name == "state" {
            self.container = format!("op-{}", event.text("operation"));
        }
        match event.name.as_str() {
            "state" => self.state = State::from_name(event.text("state")),
            "fragment" => self.change(event),
            "chain" => self.next = Some(event.text("url").to_owned()),
            "end" => {
                self.state = State::from_name(event.text("state"));
                self.redirect = event.data["redirect"].as_str().map(str::to_owned);
                self.is_over = true;
            }
            "ping" => {}
            other => panic!("a page knows no event of the type {other:?}: {event:?}"),
        }
    }

    /// The state that it shows; none in a list.
    pub fn state(&self) -> Option<State> {
        self.state
    }

    /// How the operation ended, where it did.
    pub fn ended(&self) -> Option<Ended> {
        let state = self.state.filter(|_| self.is_over)?;
        Some(Ended { state, redirect: self.redirect.clone(), next: self.next.clone() })
    }

    /// A region of the container, where there is one of that name.
    pub fn region(&self, name: &str) -> Option<&Element> {
        self.document.find(&format!("{}-{name}", self.container))
    }

    /// What a person reads in a region.
    ///
    /// # Panics
    /// When there is no region of that name: it says which there are.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        let Some(region) = self.region(name) else {
            panic!("there is no region {name:?}, but {}", self.region_names().join(", "))
        };
        region.text()
    }

    /// The names of the regions, but for lines of the log and other parts of them.
    pub(super) fn region_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        if let Some(container) = self.document.find(&self.container).or(Some(&self.document)) {
            container.outermost(&format!("{}-", self.container), &mut names);
        }
        names
    }

    /// The lines of the log that it shows, without their times.
    pub fn log(&self) -> Vec<String> {
        let text = |line: &Element| line.children().last().map(Element::text).unwrap_or_default();
        self.region("log-lines").into_iter().flat_map(Element::children).map(text).collect()
    }

    /// The numbers of these lines.
    pub fn line_numbers(&self) -> Vec<u64> {
        let number = |line: &Element| line.attribute("id")?.rsplit('-').next()?.parse().ok();
        self.region("log-lines").into_iter().flat_map(Element::children).filter_map(number).collect()
    }

    /// All of it.
    pub fn document(&self) -> &Element {
        &self.document
    }

    /// An attribute of the live container as it was sent.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.document.find(&self.container)?.attribute(name)
    }

    /// How many lines of the log came by `append` that were on the page already: none, unless a connection was cut.
    pub fn repeated_lines(&self) -> usize {
        self.repeated_lines
    }

    #[track_caller]
    fn change(&mut self, event: &Event) {
        let (id, swap) = (event.element(), event.text("swap"));
        let owns = if self.container.starts_with("op-") {
            id.strip_prefix(&*self.container).is_some_and(|rest| rest.starts_with('-'))
        } else {
            id == ROWS || (id.starts_with("op-") && id.ends_with("-row"))
        };
        assert!(owns, "{id:?} is not of the container {:?}: the script would refuse it", self.container);
        let mut content = std::mem::take(Element::parse(event.html()).nodes());
        if swap == "outer" {
            let is_there = self.document.replace(id, &mut content);
            if !is_there && self.is_blank {
                self.document.nodes().append(&mut content);
            }
        } else if let Some(target) = self.document.find_mut(id) {
            match swap {
                "inner" => *target.nodes() = content,
                "append" | "prepend" => {
                    let before = content.len();
                    content.retain_mut(|node| {
                        let Some(id) = node.id() else { return true };
                        !target.replace(id, &mut vec![node.clone()])
                    });
                    if id.ends_with("-log-lines") {
                        self.repeated_lines += before - content.len();
                    }
                    let is_closed = target.has_attribute("data-liveop-known-only");
                    let at = if swap == "append" { target.nodes().len() } else { 0 };
                    if !is_closed {
                        target.nodes().splice(at..at, content);
                    }
                }
                other => panic!("there is no swap {other:?}: {event:?}"),
            }
        }
        if id.ends_with("-log-lines")
            && let Some(log) = self.document.find_mut(id)
        {
            log.trim(self.log_tail);
        }
    }
}

//! HTML as a tree: enough to find an element, to read it, and to change it as the page's script does.

/// Elements that have no end.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements with nothing but text in them; that of the first two is not for people.
const RAW: [&str; 4] = ["script", "style", "textarea", "title"];

/// An element of a page, with all that is in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The start tag as it was written; empty for a whole document.
    start: String,
    /// Its id, which is looked for all the time.
    id: Option<String>,
    children: Vec<Node>,
    /// The end tag, where there is one.
    end: String,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Text as it was written.
    Text(String),
    Element(Element),
}

impl std::fmt::Debug for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.html())
    }
}

impl Element {
    /// Reads a document, or a piece of one.
    ///
    /// ```
    /// use liveops::testing::Element;
    ///
    /// let page = Element::parse(r#"<p id="a" title="&lt;">one <b>&amp;</b> two</p><br>"#);
    /// let a = page.find("a").expect("it is there");
    /// assert_eq!(a.text(), "one & two");
    /// assert_eq!(a.attribute("title").as_deref(), Some("<"));
    /// assert_eq!(a.html(), r#"<p id="a" title="&lt;">one <b>&amp;</b> two</p>"#);
    /// ```
    pub fn parse(html: &str) -> Self {
        // The document, and in it whatever is open.
        let mut open = vec![Self::default()];
        let mut rest = html;
        while !rest.is_empty() {
            let len =
                if rest.starts_with('<') { tag_len(rest) } else { rest.find('<').unwrap_or(rest.len()) };
            let (piece, after) = rest.split_at(len);
            rest = after;
            if let Some(name) = piece.strip_prefix("</") {
                let name = name_of(name);
                if let Some(depth) = (1..open.len()).rev().find(|depth| open[*depth].name() == name) {
                    open[depth].end = piece.to_owned();
                    close(&mut open, depth);
                }
                continue;
            }
            let Some(tag) = piece.strip_prefix('<').filter(|tag| is_tag(tag)) else {
                push(&mut open, Node::Text(piece.to_owned()));
                continue;
            };
            let mut element = Self { start: piece.to_owned(), ..Self::default() };
            element.id = element.attribute("id");
            let name = name_of(tag);
            if RAW.contains(&name) {
                let (text, after) = rest.split_at(rest.find(&format!("</{name}")).unwrap_or(rest.len()));
                element.children.push(Node::Text(text.to_owned()));
                rest = after;
            }
            let is_whole = tag.starts_with('!') || VOID.contains(&name) || piece.ends_with("/>");
            if is_whole { push(&mut open, Node::Element(element)) } else { open.push(element) }
        }
        close(&mut open, 1);
        open.swap_remove(0)
    }

    /// The HTML, this element's own tags included.
    pub fn html(&self) -> String {
        let mut html = String::new();
        self.write_to(&mut html);
        html
    }

    /// What a person reads of it: without tags, with a space between what stands apart.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.read_to(&mut text);
        unescape(text.trim_end())
    }

    /// The value of one of its attributes.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let value = self.behind(name)?.strip_prefix("=\"")?;
        Some(unescape(&value[..value.find('"')?]))
    }

    /// Whether it has an attribute, of whatever value.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.behind(name).is_some()
    }

    /// The element of that id in it.
    pub fn find(&self, id: &str) -> Option<&Self> {
        self.first(&|element| element.id.as_deref() == Some(id))
    }

    /// The first element in it that has the attribute.
    pub(super) fn with(&self, attribute: &str) -> Option<&Self> {
        self.first(&|element| element.has_attribute(attribute))
    }

    /// What follows `prefix` in the ids of the elements in it, outside of each other but for those of the log.
    pub(super) fn outermost(&self, prefix: &str, names: &mut Vec<String>) {
        for child in self.children() {
            match child.id.as_deref().and_then(|id| id.strip_prefix(prefix)) {
                Some("log") | None => child.outermost(prefix, names),
                Some(name) => names.push(name.to_owned()),
            }
        }
    }

    /// The elements that are its children.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Option<&mut Self> {
        for child in &mut self.children {
            let Node::Element(element) = child else { continue };
            if element.id.as_deref() == Some(id) {
                return Some(element);
            }
            if let Some(found) = element.find_mut(id) {
                return Some(found);
            }
        }
        None
    }

    /// Puts content in the place of the element of that id; false where there is none.
    pub(super) fn replace(&mut self, id: &str, content: &mut Vec<Node>) -> bool {
        let is_it = |child: &Node| child.id() == Some(id);
        if let Some(at) = self.children.iter().position(is_it) {
            self.children.splice(at..=at, content.drain(..));
            return true;
        }
        self.children.iter_mut().any(|child| match child {
            Node::Element(element) => element.replace(id, content),
            Node::Text(_) => false,
        })
    }

    /// Its children, for whoever changes them.
    pub(super) fn nodes(&mut self) -> &mut Vec<Node> {
        &mut self.children
    }

    /// Removes elements from its beginning until it has no more than so many.
    pub(super) fn trim(&mut self, most: usize) {
        let mut excess = self.children().count().saturating_sub(most);
        self.children.retain(|child| {
            let goes = excess > 0 && matches!(child, Node::Element(_));
            excess -= usize::from(goes);
            !goes
        });
    }

    fn first(&self, wanted: &dyn Fn(&Self) -> bool) -> Option<&Self> {
        self.children().find_map(|child| if wanted(child) { Some(child) } else { child.first(wanted) })
    }

    /// The start tag behind the name of an attribute.
    fn behind(&self, name: &str) -> Option<&str> {
        let is_comment = self.start.starts_with("<!");
        let mut found = self.start.match_indices(name).filter(|_| !is_comment);
        found.find_map(|(at, _)| {
            let (before, after) = (&self.start[..at], &self.start[at + name.len()..]);
            let is_whole = before.ends_with(|c: char| c.is_ascii_whitespace())
                && after.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'));
            is_whole.then_some(after)
        })
    }

    fn name(&self) -> &str {
        name_of(self.start.trim_start_matches('<'))
    }

    fn write_to(&self, html: &mut String) {
        html.push_str(&self.start);
        for child in &self.children {
            match child {
                Node::Text(text) => html.push_str(text),
                Node::Element(element) => element.write_to(html),
            }
        }
        html.push_str(&self.end);
    }

    fn read_to(&self, text: &mut String) {
        if matches!(self.name(), "script" | "style") {
            return;
        }
        for child in &self.children {
            match child {
                Node::Text(piece) => text.push_str(piece),
                Node::Element(element) if element.stands_alone() => {
                    apart(text);
                    element.read_to(text);
                    apart(text);
                }
                Node::Element(element) => element.read_to(text),
            }
        }
    }

    /// Whether a person sees it apart from what is beside it.
    fn stands_alone(&self) -> bool {
        const INLINE: [&str; 10] = ["a", "b", "bdi", "code", "em", "i", "span", "strong", "time", "u"];
        !INLINE.contains(&self.name())
    }
}

/// What follows is no part of the last word.
fn apart(text: &mut String) {
    if !text.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
}

impl Node {
    /// An element's id.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Element(element) => element.id.as_deref(),
            Self::Text(_) => None,
        }
    }
}

/// How long the tag, comment or stray `<` is that this begins with.
fn tag_len(html: &str) -> usize {
    if html.starts_with("<!--") {
        return html.find("-->").map_or(html.len(), |end| end + 3);
    }
    if !is_tag(&html[1..]) {
        return html[1..].find('<').map_or(html.len(), |next| next + 1);
    }
    let mut quote = None;
    let end = html.bytes().position(|byte| match (quote, byte) {
        (None, b'"' | b'\'') => {
            quote = Some(byte);
            false
        }
        (Some(open), _) if open == byte => {
            quote = None;
            false
        }
        (open, byte) => open.is_none() && byte == b'>',
    });
    end.map_or(html.len(), |end| end + 1)
}

/// Whether what stands behind a `<` makes it one.
fn is_tag(behind: &str) -> bool {
    behind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!')
}

/// The name that a tag begins with, behind its `<` or `</`.
fn name_of(tag: &str) -> &str {
    &tag[..tag.find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/')).unwrap_or(tag.len())]
}

fn push(open: &mut [Element], node: Node) {
    if let Some(innermost) = open.last_mut() {
        innermost.children.push(node);
    }
}

/// Closes what is open from that depth on.
fn close(open: &mut Vec<Element>, depth: usize) {
    while open.len() > depth
        && let Some(element) = open.pop()
    {
        push(open, Node::Element(element));
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').filter(|end| *end < 10).map(|end| &rest[1..end]);
        if let Some(character) = entity.and_then(resolve) {
            plain.push(character);
            rest = &rest[rest.find(';').map_or(0, |end| end + 1)..];
        } else {
            plain.push('&');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    plain
}

fn resolve(entity: &str) -> Option<char> {
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

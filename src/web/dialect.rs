//! Streams for pages of htmx and of Datastar: the same events, in their words.
//!
//! Only a stream that asks for it is translated; all others share their bytes as before.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;

use bytes::{Buf as _, Bytes};
use serde_json::{Value, json};

use super::stream::PIECE;
use crate::live::Reader;
use crate::stream::Swap;

/// Whose words a stream speaks, beside our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// htmx 2 with its `sse` extension: swaps out of band.
    Htmx,
    /// Datastar 1: patches.
    Datastar,
}

impl Dialect {
    /// By the name in a stream's address.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "htmx" => Some(Self::Htmx),
            "datastar" => Some(Self::Datastar),
            _ => None,
        }
    }
}

/// The reader of a stream, with its translation where it asked for one: neither library goes on from where it was, so that one
/// begins anew. None for a list, whose rows come by what they cannot do.
pub(super) fn translated(reader: Reader, dialect: Option<Dialect>) -> Option<(Reader, Option<Translation>)> {
    match (reader, dialect) {
        (reader, None) => Some((reader, None)),
        (Reader::Operation(watch), Some(dialect)) => {
            let translation =
                Translation::new(dialect, format!("op-{}", watch.subject().id), watch.log_tail());
            Some((Reader::Operation(watch.from_start()), Some(translation)))
        }
        (Reader::List(_), Some(_)) => None,
    }
}

/// Translates one stream from its very beginning, where everything is sent.
///
/// Neither library can be told to replace what is there and to add what is not, nor how long a log may get. So this keeps
/// what the page has, as far as that matters. Of a frame, which all readers share, it makes one piece when the one before was
/// taken: whoever reads nothing costs no more than a piece, however long the log is.
pub(super) struct Translation {
    dialect: Dialect,
    /// The operation's element, whose id begins those of its regions.
    element: String,
    /// Most lines of the log on the page, and how many are there.
    log_tail: usize,
    lines: usize,
    /// The ids of the regions in the extra region.
    extra: HashSet<String>,
    /// The events that are not translated yet, and what is left of the one that is.
    rest: Bytes,
    parts: VecDeque<Part>,
}

/// A part of a translated event.
enum Part {
    /// As it is.
    Text(String),
    /// HTML as it is in JSON, still among the frame's bytes; and how each line behind its first begins.
    Html(Bytes, &'static str),
}

/// One thing to do to the page. Its HTML is as it is in JSON.
enum Change<'a> {
    /// The element of this id becomes the HTML, whose own element is named before this place.
    Replace(&'a str, &'a str, usize),
    /// The HTML comes into the element of this id.
    Put(&'a str, Swap, &'a str),
    /// What a selector finds goes.
    Remove(String),
}

impl Translation {
    fn new(dialect: Dialect, element: String, log_tail: usize) -> Self {
        let (extra, rest, parts) = Default::default();
        Self { dialect, element, log_tail, lines: 0, extra, rest, parts }
    }

    /// Goes on with the events of a frame.
    pub(super) fn begin(&mut self, frame: Bytes) {
        self.rest = frame;
    }

    /// The next bytes in the dialect's words, about [`PIECE`]; none where all is said.
    pub(super) fn piece(&mut self) -> Bytes {
        if self.rest.is_empty() && self.parts.is_empty() {
            return Bytes::new();
        }
        // What is put at the beginning of a line may come on top.
        let mut piece = Vec::with_capacity(PIECE + 1024);
        while piece.len() < PIECE {
            match self.parts.pop_front() {
                Some(Part::Text(text)) => piece.extend_from_slice(text.as_bytes()),
                Some(Part::Html(mut html, line)) => {
                    unescape(&mut html, line, &mut piece);
                    if !html.is_empty() {
                        self.parts.push_front(Part::Html(html, line));
                    }
                }
                None if self.rest.is_empty() => break,
                None => self.event(),
            }
        }
        piece.shrink_to_fit();
        piece.into()
    }

    /// Takes the next event, which is ours: its data is one line.
    fn event(&mut self) {
        let (mut name, mut id, mut data) = (Bytes::new(), None, Bytes::new());
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n').unwrap_or(self.rest.len());
            let mut line = self.rest.split_to(end);
            self.rest.advance(self.rest.len().min(1));
            match line.iter().position(|byte| *byte == b' ').map(|at| line.split_to(at + 1)).as_deref() {
                Some(b"event: ") => name = line,
                Some(b"id: ") => id = Some(line),
                Some(b"data: ") => data = line,
                Some(_) => {}
                None => break,
            }
        }
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let (name, id) = (text(&name), id.as_deref().map(text));
        match fragment(text(&data)).filter(|_| name == "fragment") {
            Some((element, swap, html)) => self.fragment(element, swap, html, id, &data),
            None => self.other(name, id, text(&data)),
        }
    }

    fn fragment(&mut self, element: &str, swap: Swap, html: &str, id: Option<&str>, data: &Bytes) {
        let mut change = match swap {
            Swap::Outer if html.is_empty() => Change::Remove(format!("#{element}")),
            Swap::Outer => replace(element, html),
            Swap::Inner | Swap::Append | Swap::Prepend => Change::Put(element, swap, html),
        };
        let mut surplus = None;
        match element.strip_prefix(&self.element) {
            Some("-log-lines") => {
                let come = html.matches(&format!(r#" id=\"{}-log-"#, self.element)).count();
                // The element itself is called like its lines.
                self.lines = if swap == Swap::Append { self.lines + come } else { come.saturating_sub(1) };
                if self.lines > self.log_tail {
                    let most = self.lines - self.log_tail;
                    surplus = Some(Change::Remove(format!("#{element} > :nth-child(-n+{most})")));
                    self.lines = self.log_tail;
                }
            }
            Some("-extra") if swap == Swap::Outer => {
                // The pieces of a region have a dot in their names, which no region has.
                let own = |id: &&str| id.strip_prefix(&self.element).is_some_and(|name| !name.contains('.'));
                self.extra = ids(html).filter(own).map(str::to_owned).collect();
            }
            Some("-extra") => {
                if let Some(own) = ids(html).next()
                    && !self.extra.insert(own.to_owned())
                {
                    change = replace(own, html);
                }
            }
            _ => {}
        }
        match self.dialect {
            // One event does any number of them.
            Dialect::Htmx => {
                self.parts.push_back(Part::Text(head("fragment", id) + "data: "));
                surplus.into_iter().chain([change]).for_each(|change| self.out_of_band(&change, data));
                self.parts.push_back(Part::Text("\n\n".to_owned()));
            }
            Dialect::Datastar => {
                if let Some(surplus) = surplus {
                    self.patch(&surplus, None, data);
                }
                self.patch(&change, id, data);
            }
        }
    }

    /// An event that changes nothing on the page by itself.
    fn other(&mut self, name: &str, id: Option<&str>, data: &str) {
        let event = match self.dialect {
            Dialect::Htmx => format!("{}data: {data}\n\n", head(name, id)),
            Dialect::Datastar => {
                let data = serde_json::from_str(data).unwrap_or(Value::Null);
                // With an underscore, which keeps it from being sent back with each request.
                let signals = json!({ "_liveop": { name: data } });
                format!("{}data: signals {signals}\n\n", head("datastar-patch-signals", id))
            }
        };
        self.parts.push_back(Part::Text(event));
    }

    /// A change as an element that htmx swaps out of band.
    fn out_of_band(&mut self, change: &Change<'_>, data: &Bytes) {
        let html = |html: &str| Part::Html(data.slice_ref(html.as_bytes()), "data: ");
        match change {
            Change::Replace(id, replaced, at) => {
                // The element itself has to say it, behind its name.
                let (start, rest) = replaced.split_at(*at);
                let swap = format!(" hx-swap-oob=\"outerHTML:#{id}\"");
                self.parts.extend([html(start), Part::Text(swap), html(rest)]);
            }
            Change::Put(id, swap, put) => {
                let style = match swap {
                    Swap::Append => "beforeend",
                    Swap::Prepend => "afterbegin",
                    Swap::Inner | Swap::Outer => "innerHTML",
                };
                let start = Part::Text(format!("<div hx-swap-oob=\"{style}:#{id}\">"));
                self.parts.extend([start, html(put), Part::Text("</div>".to_owned())]);
            }
            Change::Remove(selector) => {
                self.parts.push_back(Part::Text(format!("<div hx-swap-oob=\"delete:{selector}\"></div>")));
            }
        }
    }

    /// A change as an event that Datastar acts upon.
    fn patch(&mut self, change: &Change<'_>, id: Option<&str>, data: &Bytes) {
        let mut event = head("datastar-patch-elements", id);
        let (mode, selector, html) = match change {
            // By the id of the HTML's own element, and so that what stays the same is left alone.
            Change::Replace(_, html, _) => ("outer", None, *html),
            Change::Put(id, swap, html) => {
                let mode = match swap {
                    Swap::Append => "append",
                    Swap::Prepend => "prepend",
                    Swap::Inner | Swap::Outer => "inner",
                };
                (mode, Some(format!("#{id}")), *html)
            }
            Change::Remove(selector) => ("remove", Some(selector.clone()), ""),
        };
        if let Some(selector) = &selector {
            let _ = write!(event, "data: mode {mode}\ndata: selector {selector}\n");
        }
        if html.is_empty() {
            self.parts.push_back(Part::Text(event + "\n"));
        } else {
            let html = Part::Html(data.slice_ref(html.as_bytes()), "data: elements ");
            self.parts.extend([Part::Text(event + "data: elements "), html, Part::Text("\n\n".to_owned())]);
        }
    }
}

/// What a fragment's data says; its HTML stays as it is in JSON.
fn fragment(data: &str) -> Option<(&str, Swap, &str)> {
    let (element, rest) = data.strip_prefix(r#"{"id":""#)?.split_once(r#"","swap":""#)?;
    let (swap, html) = rest.strip_suffix(r#""}"#)?.split_once(r#"","html":""#)?;
    let swap = match swap {
        "outer" => Swap::Outer,
        "inner" => Swap::Inner,
        "append" => Swap::Append,
        "prepend" => Swap::Prepend,
        _ => return None,
    };
    Some((element, swap, html))
}

/// The element of this id becomes the HTML. Where that is no element, it becomes what is in it, so that there still is one for
/// what comes after.
fn replace<'a>(id: &'a str, html: &'a str) -> Change<'a> {
    let mut at = 0;
    while let Some(tag) = html[at..].find('<') {
        at += tag;
        if html[at..].starts_with("<!--") {
            let Some(end) = html[at..].find("-->") else { break };
            at += end + "-->".len();
            continue;
        }
        at += 1;
        if html[at..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            // A name ends before white space, some of which begins with a backslash in JSON.
            let Some(name) = html[at..].find([' ', '\\', '/', '>']) else { break };
            return Change::Replace(id, html, at + name);
        }
    }
    Change::Put(id, Swap::Inner, html)
}

/// The first lines of an event.
fn head(name: &str, id: Option<&str>) -> String {
    id.map_or_else(|| format!("event: {name}\n"), |id| format!("event: {name}\nid: {id}\n"))
}

/// The text of what is in a JSON string, until a piece is full. A lone CR ends a line of the stream too (WHATWG HTML, section
/// 9.2.5), so that each line of the text becomes one of data.
fn unescape(json: &mut Bytes, line: &str, piece: &mut Vec<u8>) {
    while piece.len() < PIECE && !json.is_empty() {
        let room = json.len().min(PIECE - piece.len());
        let plain = json[..room].iter().position(|byte| *byte == b'\\').unwrap_or(room);
        piece.extend_from_slice(&json.split_to(plain));
        let [b'\\', escaped, rest @ ..] = json.as_ref() else { continue };
        let mut length = 2;
        let character = match escaped {
            b'n' => '\n',
            b'r' => {
                length += if rest.starts_with(br"\n") { 2 } else { 0 };
                '\n'
            }
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                length = json.len().min(6);
                let code = std::str::from_utf8(&json[2..length]).ok();
                let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
                code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => char::from(*other),
        };
        json.advance(length);
        piece.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        if character == '\n' {
            piece.extend_from_slice(line.as_bytes());
        }
    }
}

/// The ids of the elements in some HTML that is in JSON.
fn ids(html: &str) -> impl Iterator<Item = &str> {
    html.split(r#" id=\""#).skip(1).filter_map(|rest| rest.split('\\').next())
}

#[cfg(test)]
mod tests;

//! Streams for pages of htmx and of Datastar: the same events, in their words.
//!
//! Only a stream that asks for it is translated; all others share their bytes as before.

use std::collections::HashSet;
use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::live::Reader;
use crate::stream::{Fragment, Swap};

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
            let translation = Translation::new(dialect, watch.log_tail());
            Some((Reader::Operation(watch.from_start()), Some(translation)))
        }
        (Reader::List(_), Some(_)) => None,
    }
}

/// Translates one stream from its very beginning, where everything is sent.
///
/// Neither library can be told to replace what is there and to add what is not, nor how long a log may get. So this keeps
/// what the page has, as far as that matters.
pub(super) struct Translation {
    dialect: Dialect,
    /// Most lines of the log on the page, and how many are there.
    log_tail: usize,
    lines: usize,
    /// The ids in the extra region.
    extra: HashSet<String>,
}

/// One thing to do to the page.
enum Change<'a> {
    /// The element of this id becomes the HTML.
    Replace(&'a str, &'a str),
    /// The HTML comes into the element of this id.
    Put(&'a str, Swap, &'a str),
    /// What a selector finds goes.
    Remove(String),
}

impl Translation {
    fn new(dialect: Dialect, log_tail: usize) -> Self {
        Self { dialect, log_tail, lines: 0, extra: HashSet::new() }
    }

    /// The events of a frame in the dialect's words.
    pub(super) fn frame(&mut self, bytes: &[u8]) -> Bytes {
        // They are ours: each event's data is one line.
        let text = String::from_utf8_lossy(bytes);
        let mut translated = String::with_capacity(text.len());
        for event in text.split_terminator("\n\n") {
            let (mut name, mut id, mut data) = ("", None, "");
            for line in event.split('\n') {
                match line.split_once(": ") {
                    Some(("event", value)) => name = value,
                    Some(("id", value)) => id = Some(value),
                    Some(("data", value)) => data = value,
                    _ => {}
                }
            }
            match serde_json::from_str::<Fragment>(data) {
                Ok(fragment) if name == "fragment" => self.fragment(&fragment, id, &mut translated),
                _ => self.other(name, id, data, &mut translated),
            }
        }
        translated.into()
    }

    fn fragment(&mut self, fragment: &Fragment, id: Option<&str>, to: &mut String) {
        let Fragment { id: element, swap, html } = fragment;
        let boxed;
        let change = match swap {
            Swap::Outer if html.is_empty() => Change::Remove(format!("#{element}")),
            // A template of the host's own may write text alone, which neither library would put anywhere.
            Swap::Outer if name_end(html).is_none() => {
                boxed = format!("<div id=\"{element}\">{html}</div>");
                Change::Replace(element, &boxed)
            }
            Swap::Outer => Change::Replace(element, html),
            Swap::Inner | Swap::Append | Swap::Prepend => Change::Put(element, *swap, html),
        };
        let mut surplus = None;
        if element.ends_with("-log-lines") {
            let come = html.matches(&format!(" id=\"{}", element.trim_end_matches("lines"))).count();
            // The element itself is called like its lines.
            self.lines = if *swap == Swap::Append { self.lines + come } else { come.saturating_sub(1) };
            if self.lines > self.log_tail {
                let most = self.lines - self.log_tail;
                surplus = Some(Change::Remove(format!("#{element} > :nth-child(-n+{most})")));
                self.lines = self.log_tail;
            }
        }
        let mut place = None;
        if element.ends_with("-extra") {
            if *swap == Swap::Outer {
                self.extra.clear();
                self.extra.extend(ids(html).map(str::to_owned));
            } else if let Some(own) = ids(html).next()
                && !self.extra.insert(own.to_owned())
            {
                place = Some(Change::Replace(own, html));
            }
        }
        let changes = [surplus, Some(place.unwrap_or(change))];
        self.event(changes.into_iter().flatten(), id, to);
    }

    fn event<'a>(&self, changes: impl Iterator<Item = Change<'a>>, id: Option<&str>, to: &mut String) {
        let mut changes = changes.peekable();
        match self.dialect {
            // One event does any number of them.
            Dialect::Htmx => {
                let html: String = changes.map(|change| out_of_band(&change)).collect();
                write_event(to, "fragment", id, &[("", &html)]);
            }
            Dialect::Datastar => {
                while let Some(change) = changes.next() {
                    let id = id.filter(|_| changes.peek().is_none());
                    patch(&change, id, to);
                }
            }
        }
    }

    /// An event that changes nothing on the page by itself.
    fn other(&self, name: &str, id: Option<&str>, data: &str, to: &mut String) {
        match self.dialect {
            Dialect::Htmx => write_event(to, name, id, &[("", data)]),
            Dialect::Datastar => {
                let data = serde_json::from_str(data).unwrap_or(Value::Null);
                // With an underscore, which keeps it from being sent back with each request.
                let signals = json!({ "_liveop": { name: data } }).to_string();
                write_event(to, "datastar-patch-signals", id, &[("signals ", &signals)]);
            }
        }
    }
}

/// A change as an element that htmx swaps out of band.
fn out_of_band(change: &Change<'_>) -> String {
    match change {
        Change::Replace(id, html) => {
            // The element itself has to say it, behind its name. There is one: see `Translation::fragment`.
            let (start, rest) = html.split_at(name_end(html).unwrap_or_default());
            format!("{start} hx-swap-oob=\"outerHTML:#{id}\"{rest}")
        }
        Change::Put(id, swap, html) => {
            let style = match swap {
                Swap::Append => "beforeend",
                Swap::Prepend => "afterbegin",
                Swap::Inner | Swap::Outer => "innerHTML",
            };
            format!("<div hx-swap-oob=\"{style}:#{id}\">{html}</div>")
        }
        Change::Remove(selector) => format!("<div hx-swap-oob=\"delete:{selector}\"></div>"),
    }
}

/// A change as an event that Datastar acts upon.
fn patch(change: &Change<'_>, id: Option<&str>, to: &mut String) {
    let (mode, selector, html) = match change {
        // By the id of the HTML's own element, and so that what stays the same is left alone.
        Change::Replace(_, html) => ("outer", None, *html),
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
    let mut fields = Vec::new();
    if mode != "outer" {
        fields.push(("mode ", mode));
    }
    if let Some(selector) = &selector {
        fields.push(("selector ", selector));
    }
    if !html.is_empty() {
        fields.push(("elements ", html));
    }
    write_event(to, "datastar-patch-elements", id, &fields);
}

/// An event with fields of data, each of which has its prefix on each of its lines.
fn write_event(to: &mut String, name: &str, id: Option<&str>, fields: &[(&str, &str)]) {
    let _ = writeln!(to, "event: {name}");
    if let Some(id) = id {
        let _ = writeln!(to, "id: {id}");
    }
    for (prefix, value) in fields {
        // A lone CR ends a line of the stream too (WHATWG HTML, section 9.2.5).
        for line in value.replace("\r\n", "\n").split(['\n', '\r']) {
            let _ = writeln!(to, "data: {prefix}{line}");
        }
    }
    to.push('\n');
}

/// Where the name of the first element in some HTML ends.
fn name_end(html: &str) -> Option<usize> {
    let is_name = |at: &usize| html[*at..].starts_with(|c: char| c.is_ascii_alphabetic());
    let begin = html.match_indices('<').map(|(at, _)| at + 1).find(is_name)?;
    let length = html[begin..].find(|c: char| !c.is_ascii_alphanumeric() && c != '-')?;
    Some(begin + length)
}

/// The ids of the elements in some HTML.
fn ids(html: &str) -> impl Iterator<Item = &str> {
    html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{OperationId, State};
    use crate::stream::{Cursor, FrameBuilder};

    fn fragment(id: &str, swap: Swap, html: &str) -> Fragment {
        Fragment { id: id.to_owned(), swap, html: html.to_owned() }
    }

    /// What a page gets of a frame with these fragments.
    fn told(page: &mut Translation, fragments: &[Fragment]) -> String {
        let mut frame = FrameBuilder::default();
        fragments.iter().for_each(|fragment| frame.fragment(fragment));
        let frame = frame.finish(Cursor::new(255, 1, 9));
        String::from_utf8(page.frame(&frame.bytes).to_vec()).expect("text")
    }

    fn ending() -> Bytes {
        let id: OperationId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("a UUID");
        let mut frame = FrameBuilder::default();
        frame.state(id, State::Failed);
        frame.end(id, State::Failed, "/operations/1", Some("/x"));
        frame.finish(Cursor::new(255, 1, 9)).bytes
    }

    const ALL: [(Swap, &str); 5] = [
        (Swap::Outer, "\n<div id=\"op-1-x\">a\r\n&lt;b&gt;\rc</div>"),
        (Swap::Outer, ""),
        (Swap::Inner, "<p>a</p>"),
        (Swap::Append, "<p>a</p>"),
        (Swap::Prepend, "<p>a</p>"),
    ];

    fn all() -> Vec<Fragment> {
        ALL.iter().map(|(swap, html)| fragment("op-1-x", *swap, html)).collect()
    }

    #[test]
    fn the_exact_bytes_for_htmx() {
        let mut page = Translation::new(Dialect::Htmx, 9);
        let expected = "event: fragment\n\
             data: \n\
             data: <div hx-swap-oob=\"outerHTML:#op-1-x\" id=\"op-1-x\">a\n\
             data: &lt;b&gt;\n\
             data: c</div>\n\n\
             event: fragment\n\
             data: <div hx-swap-oob=\"delete:#op-1-x\"></div>\n\n\
             event: fragment\n\
             data: <div hx-swap-oob=\"innerHTML:#op-1-x\"><p>a</p></div>\n\n\
             event: fragment\n\
             data: <div hx-swap-oob=\"beforeend:#op-1-x\"><p>a</p></div>\n\n\
             event: fragment\n\
             id: ff-1-9\n\
             data: <div hx-swap-oob=\"afterbegin:#op-1-x\"><p>a</p></div>\n\n";
        assert_eq!(told(&mut page, &all()), expected);
        // What is no fragment comes as it was.
        assert_eq!(page.frame(&ending()), ending());
    }

    #[test]
    fn the_exact_bytes_for_datastar() {
        let mut page = Translation::new(Dialect::Datastar, 9);
        let expected = "event: datastar-patch-elements\n\
             data: elements \n\
             data: elements <div id=\"op-1-x\">a\n\
             data: elements &lt;b&gt;\n\
             data: elements c</div>\n\n\
             event: datastar-patch-elements\n\
             data: mode remove\n\
             data: selector #op-1-x\n\n\
             event: datastar-patch-elements\n\
             data: mode inner\n\
             data: selector #op-1-x\n\
             data: elements <p>a</p>\n\n\
             event: datastar-patch-elements\n\
             data: mode append\n\
             data: selector #op-1-x\n\
             data: elements <p>a</p>\n\n\
             event: datastar-patch-elements\n\
             id: ff-1-9\n\
             data: mode prepend\n\
             data: selector #op-1-x\n\
             data: elements <p>a</p>\n\n";
        assert_eq!(told(&mut page, &all()), expected);
        let expected = "event: datastar-patch-signals\n\
             data: signals {\"_liveop\":{\"state\":{\"operation\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\"state\":\"failed\"}}}\n\n\
             event: datastar-patch-signals\n\
             id: ff-1-9\n\
             data: signals {\"_liveop\":{\"end\":{\"operation\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\"state\":\"failed\",\"url\":\"/operations/1\",\"redirect\":\"/x\"}}}\n\n";
        assert_eq!(page.frame(&ending()), expected);
    }

    #[test]
    fn text_without_an_element_gets_one() {
        for text in ["3 < 4", "", "<!-- nothing -->", "a<"] {
            let fragments = [fragment("op-1-x", Swap::Outer, &format!("now {text}"))];
            let htmx = told(&mut Translation::new(Dialect::Htmx, 9), &fragments);
            let expected =
                format!("data: <div hx-swap-oob=\"outerHTML:#op-1-x\" id=\"op-1-x\">now {text}</div>\n");
            assert!(htmx.contains(&expected), "{htmx}");
            let datastar = told(&mut Translation::new(Dialect::Datastar, 9), &fragments);
            let expected = format!("data: elements <div id=\"op-1-x\">now {text}</div>\n");
            assert!(datastar.contains(&expected), "{datastar}");
        }
    }

    fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
        numbers.map(|n| format!("<div id=\"op-1-log-{n}\">{n}</div>")).collect()
    }

    #[test]
    fn the_log_keeps_its_tail() {
        let whole = format!("<div id=\"op-1-log-lines\">{}</div>", lines(1..=2));
        let whole = fragment("op-1-log-lines", Swap::Outer, &whole);
        let more = |numbers| fragment("op-1-log-lines", Swap::Append, &lines(numbers));
        let mut page = Translation::new(Dialect::Htmx, 3);
        assert!(!told(&mut page, &[whole.clone(), more(3..=3)]).contains("delete:"));
        for (numbers, surplus) in [(4..=4, 1), (5..=6, 2), (7..=7, 1)] {
            let told = told(&mut page, &[more(numbers)]);
            let expected = format!(
                "data: <div hx-swap-oob=\"delete:#op-1-log-lines > :nth-child(-n+{surplus})\"></div><div"
            );
            assert!(told.contains(&expected) && told.matches("event:").count() == 1, "{told}");
        }
        assert!(!told(&mut page, &[whole.clone(), more(3..=3)]).contains("delete:"), "it began anew");
        let mut page = Translation::new(Dialect::Datastar, 3);
        let told = told(&mut page, &[whole, more(3..=5)]);
        // They become two, the last of which has the cursor.
        let expected = "\n\nevent: datastar-patch-elements\ndata: mode remove\ndata: selector #op-1-log-lines > :nth-child(-n+2)\n\n\
             event: datastar-patch-elements\nid: ff-1-9\ndata: mode append\n";
        assert!(told.contains(expected) && told.matches("id: ff").count() == 1, "{told}");
    }

    /// A region of the operation's own that has no place comes by `append` each time it is made anew.
    #[test]
    fn what_is_there_already_is_replaced_in_its_place() {
        let own = |name: &str, swap| {
            fragment("op-1-extra", swap, &format!("<div id=\"op-1-{name}\" class=\"liveop-own\"></div>"))
        };
        let mut page = Translation::new(Dialect::Htmx, 3);
        let whole =
            fragment("op-1-extra", Swap::Outer, "<div id=\"op-1-extra\"><div id=\"op-1-a\"></div></div>");
        told(&mut page, &[whole]);
        for (name, how) in
            [("a", "outerHTML:#op-1-a"), ("b", "beforeend:#op-1-extra"), ("b", "outerHTML:#op-1-b")]
        {
            let told = told(&mut page, &[own(name, Swap::Append)]);
            assert!(told.contains(&format!(" hx-swap-oob=\"{how}\"")), "{told}");
        }
    }
}

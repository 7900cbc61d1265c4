use super::*;
use crate::operation::{OperationId, State};
use crate::stream::{Cursor, Fragment, FrameBuilder};

fn fragment(id: &str, swap: Swap, html: &str) -> Fragment {
    Fragment { id: id.to_owned(), swap, html: html.to_owned() }
}

fn new_page(dialect: Dialect, log_tail: usize) -> Translation {
    Translation::new(dialect, "op-1".to_owned(), log_tail)
}

/// What a page gets of a frame.
fn all_of(page: &mut Translation, frame: Bytes) -> String {
    page.begin(frame);
    let pieces = std::iter::from_fn(|| Some(page.piece()).filter(|piece| !piece.is_empty()));
    String::from_utf8(pieces.flatten().collect()).expect("text")
}

/// What a page gets of a frame with these fragments.
fn told(page: &mut Translation, fragments: &[Fragment]) -> String {
    let mut frame = FrameBuilder::default();
    fragments.iter().for_each(|fragment| frame.fragment(fragment));
    let frame = frame.finish(Cursor::new(255, 1, 9));
    all_of(page, frame.bytes)
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
    let mut page = new_page(Dialect::Htmx, 9);
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
    assert_eq!(all_of(&mut page, ending()), ending());
}

#[test]
fn the_exact_bytes_for_datastar() {
    let mut page = new_page(Dialect::Datastar, 9);
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
    assert_eq!(all_of(&mut page, ending()), expected);
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|n| format!("<div id=\"op-1-log-{n}\">{n}</div>")).collect()
}

#[test]
fn the_log_keeps_its_tail() {
    let whole = format!("<div id=\"op-1-log-lines\">{}</div>", lines(1..=2));
    let whole = fragment("op-1-log-lines", Swap::Outer, &whole);
    let more = |numbers| fragment("op-1-log-lines", Swap::Append, &lines(numbers));
    let mut page = new_page(Dialect::Htmx, 3);
    assert!(!told(&mut page, &[whole.clone(), more(3..=3)]).contains("delete:"));
    for (numbers, surplus) in [(4..=4, 1), (5..=6, 2), (7..=7, 1)] {
        let told = told(&mut page, &[more(numbers)]);
        let expected = format!(
            "data: <div hx-swap-oob=\"delete:#op-1-log-lines > :nth-child(-n+{surplus})\"></div><div"
        );
        assert!(told.contains(&expected) && told.matches("event:").count() == 1, "{told}");
    }
    assert!(!told(&mut page, &[whole.clone(), more(3..=3)]).contains("delete:"), "it began anew");
    let mut page = new_page(Dialect::Datastar, 3);
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
    let mut page = new_page(Dialect::Htmx, 3);
    let whole = fragment("op-1-extra", Swap::Outer, "<div id=\"op-1-extra\"><div id=\"op-1-a\"></div></div>");
    told(&mut page, &[whole]);
    for (name, how) in
        [("a", "outerHTML:#op-1-a"), ("b", "beforeend:#op-1-extra"), ("b", "outerHTML:#op-1-b")]
    {
        let told = told(&mut page, &[own(name, Swap::Append)]);
        assert!(told.contains(&format!(" hx-swap-oob=\"{how}\"")), "{told}");
    }
}

/// The names are an operation's to choose.
#[test]
fn regions_that_are_called_alike_are_not_taken_for_others() {
    let mut page = new_page(Dialect::Htmx, 1);
    for name in ["build-log-lines", "my-extra"] {
        let id = format!("op-1-{name}");
        for swap in [Swap::Outer, Swap::Append, Swap::Append] {
            let html = format!("<div id=\"{id}\">{}</div>", lines(1..=3));
            let told = told(&mut page, &[fragment(&id, swap, &html)]);
            let how = if swap == Swap::Outer { "outerHTML" } else { "beforeend" };
            assert!(told.contains(&format!(" hx-swap-oob=\"{how}:#{id}\"")), "{told}");
            assert_eq!(told.matches("hx-swap-oob").count(), 1, "{told}");
        }
    }
}

#[test]
fn the_first_element_is_found_and_what_has_none_keeps_its_place() {
    let oob = " hx-swap-oob=\"outerHTML:#op-1-x\"";
    for (html, htmx) in [
        ("<!-- <b> --><p>a</p>", format!("<!-- <b> --><p{oob}>a</p>")),
        (
            "<!--><!--\n--> 1 < 2 <x-a.b\n>a</x-a.b>",
            format!("<!--><!--\ndata: --> 1 < 2 <x-a.b{oob}\ndata: >a</x-a.b>"),
        ),
        ("<hr/>", format!("<hr{oob}/>")),
        ("a <b", "<div hx-swap-oob=\"innerHTML:#op-1-x\">a <b</div>".to_owned()),
        ("<!-- <b>", "<div hx-swap-oob=\"innerHTML:#op-1-x\"><!-- <b></div>".to_owned()),
    ] {
        let outer = [fragment("op-1-x", Swap::Outer, html)];
        let told_htmx = told(&mut new_page(Dialect::Htmx, 1), &outer);
        assert_eq!(told_htmx, format!("event: fragment\nid: ff-1-9\ndata: {htmx}\n\n"));
        let told_datastar = told(&mut new_page(Dialect::Datastar, 1), &outer);
        let is_inner = told_datastar.contains("\ndata: mode inner\ndata: selector #op-1-x\n");
        assert_eq!(is_inner, htmx.contains("innerHTML"), "{told_datastar}");
    }
}

/// However long an event is, and wherever it is cut.
#[test]
fn a_frame_is_translated_piece_by_piece() {
    let text = "é\"\\\t\u{1}\u{2028}\r\n<b>".repeat(PIECE / 4);
    let html = format!("<pre id=\"op-1-x\">{text}</pre>");
    let mut frame = FrameBuilder::default();
    (0..3).for_each(|_| frame.fragment(&fragment("op-1-x", Swap::Outer, &html)));
    let frame = frame.finish(Cursor::new(255, 1, 9)).bytes;
    for (dialect, line) in [(Dialect::Htmx, "\ndata: "), (Dialect::Datastar, "\ndata: elements ")] {
        let mut page = new_page(dialect, 1);
        page.begin(frame.clone());
        let mut whole = Vec::new();
        loop {
            let piece = page.piece();
            assert!(piece.len() < PIECE + 1024, "{} bytes at once", piece.len());
            if piece.is_empty() {
                break;
            }
            whole.extend_from_slice(&piece);
        }
        let whole = String::from_utf8(whole).expect("text");
        assert_eq!(whole.matches(&format!(">{}</pre>", text.replace("\r\n", line))).count(), 3);
    }
}

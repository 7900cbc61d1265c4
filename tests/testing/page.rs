//! The page that a stream's events change: as the script does it.

use liveops::operation::State;
use liveops::testing::{Element, EventReader, Page};
use serde_json::json;

/// A page with one operation on it.
fn page() -> Page {
    Page::parse(
        r#"<!doctype html><html lang="en"><title>A <b> & co</title><p>no end tag
        <section id="op-7" data-liveop-channel="liveop.7" data-liveop-state="running" data-liveop-log-tail="2">
        <!-- <div id="op-7-no"></div> --><div id="op-7-status" title="a > b">old</div><div id="op-7-list"><i id="op-7-a">1</i></div>
        <div id="op-7-log-lines"></div><div id="op-7-own" data-liveop-known-only><u id="op-7-b">2</u></div></section></html>"#,
    )
}

/// The page after one more fragment.
fn with(page: &Page, id: &str, swap: &str, html: &str) -> Page {
    let mut reader = EventReader::default();
    let data = json!({ "id": id, "swap": swap, "html": html });
    reader.receive(format!("event: fragment\nid: 1\ndata: {data}\n\n").as_bytes());
    let mut page = page.clone();
    page.apply(&reader.next_event().expect("an event"));
    page
}

fn html(page: &Page, name: &str) -> String {
    page.region(name).map(Element::html).unwrap_or_default()
}

#[test]
fn each_swap_does_what_the_script_does() {
    let page = page();
    assert_eq!((page.state(), page.text("status").as_str()), (Some(State::Running), "old"));
    let outer = with(&page, "op-7-status", "outer", "<p id=\"op-7-status\">&lt;new&gt;</p>");
    assert_eq!(html(&outer, "status"), "<p id=\"op-7-status\">&lt;new&gt;</p>");
    assert_eq!(outer.text("status"), "<new>");
    assert_eq!(html(&with(&page, "op-7-status", "outer", ""), "status"), "", "empty HTML removes it");
    let inner = with(&page, "op-7-status", "inner", "<b>x</b>y");
    assert_eq!(html(&inner, "status"), "<div id=\"op-7-status\" title=\"a > b\"><b>x</b>y</div>");
    // What has an id that is there already goes to that one's place.
    let more = "<i id=\"op-7-c\">3</i><i id=\"op-7-a\">9</i>";
    let appended = with(&page, "op-7-list", "append", more);
    assert_eq!(
        html(&appended, "list"),
        "<div id=\"op-7-list\"><i id=\"op-7-a\">9</i><i id=\"op-7-c\">3</i></div>"
    );
    let prepended = with(&page, "op-7-list", "prepend", more);
    assert_eq!(
        html(&prepended, "list"),
        "<div id=\"op-7-list\"><i id=\"op-7-c\">3</i><i id=\"op-7-a\">9</i></div>"
    );
    let known = "<u id=\"op-7-x\">no</u><u id=\"op-7-b\">yes</u>";
    assert_eq!(with(&page, "op-7-own", "prepend", known).text("own"), "yes", "known ones only");
}

#[test]
fn an_element_that_is_not_on_the_page_is_left_out() {
    let page = page();
    for (id, swap) in [("op-7-gone", "outer"), ("op-7-no", "outer"), ("op-7-gone", "append")] {
        assert_eq!(with(&page, id, swap, &format!("<p id=\"{id}\">x</p>")), page, "{id} {swap}");
    }
    let blank = Page::blank(2);
    let mut reader = EventReader::default();
    reader.receive(b"event: state\ndata: {\"operation\":\"7\",\"state\":\"waiting\"}\n\n");
    let mut page = blank.clone();
    page.apply(&reader.next_event().expect("an event"));
    assert_eq!(page.state(), Some(State::Waiting));
    assert_eq!(
        with(&page, "op-7-x", "outer", "<p id=\"op-7-x\">x</p>").text("x"),
        "x",
        "but for a blank one"
    );
}

#[test]
fn the_log_keeps_its_tail_and_counts_what_came_twice() {
    let line = |n: u32| format!("<div id=\"op-7-log-{n}\"><time>0</time><bdi>line {n}</bdi></div>");
    let page = with(&page(), "op-7-log-lines", "append", &[line(1), line(2), line(3)].concat());
    assert_eq!((page.line_numbers(), page.repeated_lines()), (vec![2, 3], 0));
    let page = with(&page, "op-7-log-lines", "append", &[line(3), line(4)].concat());
    assert_eq!((page.log(), page.repeated_lines()), (vec!["line 3".to_owned(), "line 4".to_owned()], 1));
}

#[test]
#[should_panic(expected = "the script would refuse it")]
fn a_fragment_for_another_container_is_refused() {
    with(&page(), "op-71-status", "outer", "<p id=\"op-71-status\">x</p>");
}

#[test]
#[should_panic(expected = "no live container")]
fn a_page_without_a_container_is_none() {
    Page::parse("<p>Sign in</p>");
}

#[test]
fn html_is_read_as_it_is_written() {
    let source = "a < b <p class=x>one<br>two<img src=\"x>y\"></p><script>if (a</b) '<p>'</script><svg><path/></svg>&amp;&nbsp;&#39;";
    let document = Element::parse(source);
    assert_eq!(document.html(), source);
    assert_eq!(document.text(), "a < b one two &\u{a0}'");
}

#[test]
#[should_panic(expected = "there is no region \"stauts\", but status, list, log-lines, own")]
fn a_region_that_is_not_there_is_no_empty_text() {
    page().text("stauts");
}

#[test]
fn what_stands_apart_is_read_apart() {
    let text = |html: &str| Element::parse(html).text();
    assert_eq!(text("<tr><td>tables</td><td>20</td></tr><p>a<b>b</b>c</p>"), "tables 20 abc");
    assert_eq!(text("<p>one </p>\n<p>two</p>"), "one \ntwo");
}

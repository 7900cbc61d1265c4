//! As much HTML as the tests need: our own pages are regular.

use liveops::testing::Element;

/// The value of an attribute of the first tag that `tag` begins, entities resolved.
pub(crate) fn attribute(html: &str, tag: &str, name: &str) -> Option<String> {
    let tag = &html[html.find(tag)?..];
    let tag = &tag[..=tag.find('>')?];
    Element::parse(tag).children().next()?.attribute(name)
}

/// The hidden inputs of the first form whose start tag contains `mark`, in order.
pub(crate) fn hidden_inputs(html: &str, mark: &str) -> Option<Vec<(String, String)>> {
    let mut rest = html;
    loop {
        rest = &rest[rest.find("<form")?..];
        let (tag, inside) = rest.split_at(rest.find('>')?);
        if !tag.contains(mark) {
            rest = inside;
            continue;
        }
        let inside = &inside[..inside.find("</form>")?];
        let inputs = inside.match_indices("<input").map(|(at, _)| &inside[at..]).filter_map(|input| {
            let tag = &input[..=input.find('>')?];
            (attribute(tag, "<input", "type")? == "hidden").then_some(())?;
            Some((attribute(tag, "<input", "name")?, attribute(tag, "<input", "value")?))
        });
        return Some(inputs.collect());
    }
}

/// What a browser sends of the first form whose start tag contains `mark` when nobody changes
/// anything, in the order of the page.
pub(crate) fn form_values(html: &str, mark: &str) -> Option<Vec<(String, String)>> {
    let form = html
        .match_indices("<form")
        .map(|(at, _)| &html[at..])
        .find(|form| form.find('>').is_some_and(|end| form[..end].contains(mark)))?;
    let form = &form[..form.find("</form>")?];
    let mut values = Vec::new();
    for (at, _) in form.match_indices('<') {
        let tag = &form[at..=at + form[at..].find('>')?];
        let Some(name) = attribute(tag, "<", "name") else { continue };
        if tag.starts_with("<input") {
            let kind = attribute(tag, "<", "type").unwrap_or_default();
            let ticked = kind != "checkbox" || tag.contains(" checked");
            if ticked && kind != "file" {
                values.push((name, attribute(tag, "<", "value").unwrap_or_default()));
            }
        } else if tag.starts_with("<select") {
            let choices = &form[at..at + form[at..].find("</select>")?];
            let chosen = choices.match_indices("<option").map(|(at, _)| &choices[at..]);
            let chosen = chosen
                .filter(|option| option.find('>').is_some_and(|end| option[..end].contains(" selected")));
            values.push((
                name,
                chosen.last().and_then(|option| attribute(option, "<", "value")).unwrap_or_default(),
            ));
        }
    }
    Some(values)
}

/// What a person reads: without tags, entities resolved.
pub(crate) fn text_of(html: &str) -> String {
    Element::parse(html).text()
}

#[test]
fn the_reader_of_html_reads() {
    let html = r#"<form action="/a"><input type="hidden" name="x" value="1"></form>
        <form method="post" action="/b"><input type="hidden" name="t" value="&lt;&#x27;&amp;"><b>&quot;q</b></form>"#;
    assert_eq!(hidden_inputs(html, "/b"), Some(vec![("t".to_owned(), "<'&".to_owned())]));
    let values = "<form action=/d><input name=\"a\" value=\"1\"><input type=\"checkbox\" name=\"b\" value=\"on\">\
        <select name=\"c\"><option value=\"x\">x</option><option value=\"y\" selected>y</option></select></form>";
    let expected = [("a", "1"), ("c", "y")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form_values(values, "/d"), Some(expected.to_vec()));
    assert_eq!(hidden_inputs(html, "/c"), None);
    assert_eq!(text_of("a<b title=\"x\">&lt;i&gt;</b> & &#34;"), "a<i> & \"");
}

//! Hostile text in every place that shows text: live, after a reload, in the log.

use crate::harness::{Event, Server, attribute, text_of};

/// Texts that do harm where they are not treated as text.
const HOSTILE: [&str; 14] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "{{7*7}} {% raw %} ${7*7}",
    "</section></body><h1>gone",
    "<!-- -->]]><![CDATA[",
    "&lt;b&gt; &amp;amp; &#60;i>",
    "one\u{2028}two\u{2029}three\u{85}four",
    "line\r\ndata: {\"id\":\"x\"}\r\n\r\nevent: end\ndata: {}\n\n",
    "\u{1b}[31mred\u{1b}]0;title\u{7}\u{8}\u{7f}\u{9b}2J",
    "\u{202e}gpj.exe\u{2066}isolated",
    "tab\there \u{feff}\u{200b}",
    "<template><svg onload=alert(1)>",
    "</script><style>*{display:none}</style>",
];

/// How the contract wants a text to be read: control characters but the tab made visible.
fn shown(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

/// No markup of it is markup, no control character of it is one.
fn assert_harmless(html: &str, what: &str) {
    for tag in ["<script>", "<img", "<svg", "<h1>gone", "<i>", "<!--", "<style", "onmouseover='"] {
        assert!(!html.contains(tag), "{tag} from {what:?} in {html}");
    }
    let control = html.chars().find(|c| c.is_control() && !"\t\n".contains(*c));
    assert_eq!(control, None, "from {what:?} in {html}");
}

fn fragments<'a>(events: &'a [Event], region: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.element().ends_with(region)).collect()
}

#[tokio::test]
async fn a_message_is_text_wherever_it_is_shown() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let place = client.take_place().await;
    let mut followed = Vec::new();
    for hostile in HOSTILE {
        let fields = [("steps", "3"), ("delay_ms", "30"), ("log_every", "1"), ("message", hostile)];
        let id = client.simulate(&fields).await;
        followed.push((hostile, client.follow(&id).await, id));
    }
    client.command(&place, "cancel").await;
    for (hostile, mut events, id) in followed {
        let events = events.rest().await;
        for event in events.iter().filter(|event| event.name == "fragment") {
            assert_harmless(event.html(), hostile);
        }
        let said = |region: &str, text: &str| {
            let found = fragments(&events, region).iter().any(|event| text_of(event.html()).contains(text));
            assert!(found, "{region} never said {text:?}: {:?}", fragments(&events, region));
        };
        said("-status", &shown(hostile));
        said("-log-lines", &format!("{} #3", shown(hostile)));
        said("-result", &shown(hostile));
        let page = client.finished(&id).await;
        let body = page.html.split_once("<section").expect("a container").1;
        assert_harmless(body, hostile);
        for text in [format!("{} #1", shown(hostile)), shown(hostile)] {
            assert!(page.text().contains(&text), "{text:?} in {}", page.html);
        }
        assert!(page.html.contains("<bdi>"), "isolated: {}", page.html);
        let log = client.get(&format!("/operations/{id}/log")).await.text();
        let whole: String = (1..=3).map(|n| format!("{} #{n}\n", shown(hostile))).collect();
        assert_eq!(log, whole, "one line each");
    }
    let list = client.get("/operations").await.text();
    assert_harmless(list.split_once("<tbody").expect("a table").1, "the list");
}

#[tokio::test]
async fn an_errors_message_is_text() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let place = client.take_place().await;
    let mut followed = Vec::new();
    for hostile in HOSTILE {
        let fields = [("steps", "1"), ("delay_ms", "30"), ("outcome", "error"), ("message", hostile)];
        let id = client.simulate(&fields).await;
        followed.push((hostile, client.follow(&id).await, id));
    }
    client.command(&place, "cancel").await;
    for (hostile, mut events, id) in followed {
        let events = events.rest().await;
        let result = fragments(&events, "-result").pop().expect("a result region").html();
        assert_harmless(result, hostile);
        assert!(text_of(result).contains(&shown(hostile)), "{hostile:?} in {result}");
        let page = client.finished(&id).await;
        assert_eq!(page.state, "failed");
        assert!(page.html.contains(result), "the same after a reload");
    }
}

#[tokio::test]
async fn bidirectional_text_is_isolated() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let message = "\u{202e}gpj.exe";
    let id = client.simulate(&[("steps", "1"), ("log_every", "1"), ("message", message)]).await;
    let page = client.finished(&id).await;
    assert!(page.html.contains(&format!("<bdi>{message}</bdi>")), "{}", page.html);
    assert!(page.html.contains(&format!("<bdi>{message} #1</bdi>")), "{}", page.html);
}

#[tokio::test]
async fn a_file_name_is_text() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let place = client.take_place().await;
    let mut followed = Vec::new();
    let names = [
        "\"><img src=x onerror=alert(1)>.csv",
        "<script>alert(1)<script>.csv",
        "{{7*7}}.csv",
        "\u{202e}vsc.exe",
        "../../../etc/passwd",
        "..\\..\\evil.csv",
        "/etc/cron.d/evil",
        "a\r\nb.csv",
        ".csv",
        "",
    ];
    for name in names {
        let answer = client.submit("csv_import", &[], Some((name, b"a,b\n1,2\n"))).await;
        if name.is_empty() && answer.status == 422 {
            continue;
        }
        let id = answer.started();
        followed.push((name, client.follow(&id).await, id));
    }
    client.command(&place, "cancel").await;
    for (name, mut events, id) in followed {
        let events = events.rest().await;
        for event in events.iter().filter(|event| event.name == "fragment") {
            assert_harmless(event.html(), name);
        }
        let page = client.finished(&id).await;
        assert_eq!(page.state, "succeeded", "{name:?}: {}", page.text());
        let title = &page.html[page.html.find("<title>").expect("a title")..];
        assert_harmless(&title[..title.find("</title>").expect("its end")], name);
        assert_harmless(page.html.split_once("<section").expect("a container").1, name);
        assert!(!page.html.contains(">49.csv"), "templates do not run what people type");
    }
    assert!(!server.folder().join("evil").exists() && !server.folder().join("../evil.csv").exists());
    let log = client.get("/operations").await.text();
    assert!(text_of(&log).contains("{{7*7}}.csv"), "{log}");
}

#[tokio::test]
async fn a_files_content_is_text() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let place = client.take_place().await;
    let mut csv = b"<script>alert(1)</script>,\"\"\"><img src=x onerror=alert(1)>\",{{7*7}}\n".to_vec();
    csv.extend_from_slice(b"<script>alert(2)</script>,1,2\n");
    csv.extend_from_slice(b"<img src=x onerror=alert(3)>\n");
    csv.extend_from_slice(b"a,b,c,<svg onload=alert(4)>\n");
    csv.extend_from_slice(b"\xff<script>,2,3\n");
    csv.extend_from_slice("\u{1b}[2J,x\n".as_bytes());
    let id = client.import("hostile.csv", &csv).await;
    let mut events = client.follow(&id).await;
    client.command(&place, "cancel").await;
    let events = events.rest().await;
    for event in events.iter().filter(|event| event.name == "fragment") {
        assert_harmless(event.html(), "a file");
    }
    let page = client.finished(&id).await;
    assert_eq!(page.state, "succeeded", "{}", page.text());
    assert_harmless(page.html.split_once("<section").expect("a container").1, "a file");
    let log = client.get(&format!("/operations/{id}/log")).await.text();
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn a_redirect_stays_on_this_site_and_is_text() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let place = client.take_place().await;
    for bad in [
        "javascript:alert(1)",
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\r\nset-cookie: x=y",
        "/\t/evil.example",
        "evil",
        " /x",
        "data:text/html,x",
    ] {
        let answer = client.submit("simulate", &[("steps", "0"), ("redirect", bad)], None).await;
        assert_eq!(answer.status, 422, "{bad:?}");
        let field = attribute(&answer.text(), "<input type=\"text\" id=\"field-redirect\"", "aria-invalid");
        assert_eq!(field.as_deref(), Some("true"), "{bad:?}");
    }
    let odd = "/x\"><script>alert(1)</script>?a=&lt;'{{7*7}}";
    let id = client.simulate(&[("steps", "2"), ("delay_ms", "50"), ("redirect", odd)]).await;
    let mut events = client.follow(&id).await;
    client.command(&place, "cancel").await;
    let events = events.rest().await;
    assert_eq!(events.last().map(|event| event.data["redirect"].clone()), Some(odd.into()));
    let result = fragments(&events, "-result").pop().expect("a result region").html();
    assert_harmless(result, odd);
    let page = client.finished(&id).await;
    assert_eq!(page.attribute("data-liveop-redirect").as_deref(), Some(odd));
    assert_harmless(page.html.split_once("<section").expect("a container").1, odd);
}

#[tokio::test]
async fn nul_is_refused_beside_its_field() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    for message in ["a\0b", "\0", "a\0"] {
        let answer = client.submit("simulate", &[("steps", "1"), ("message", message)], None).await;
        assert_eq!(answer.status, 422, "{message:?}");
        let html = answer.text();
        let field = "<input type=\"text\" id=\"field-message\"";
        assert_eq!(attribute(&html, field, "aria-invalid").as_deref(), Some("true"));
        assert!(!html.contains('\0'), "an answer holds none either");
    }
    assert!(!client.get("/operations").await.text().contains("<tr id=\"op-"), "nothing was started");
}

#[tokio::test]
async fn what_was_typed_comes_back_as_text() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    for hostile in HOSTILE.iter().filter(|text| **text == shown(text)) {
        let answer = client.submit("simulate", &[("steps", "-1"), ("message", hostile)], None).await;
        assert_eq!(answer.status, 422);
        let html = answer.text();
        assert_harmless(html.split_once("<main").expect("a page").1, hostile);
        let value = attribute(&html, "<input type=\"text\" id=\"field-message\"", "value");
        assert_eq!(value.as_deref(), Some(*hostile));
    }
    for path in [
        "/operations/new/%3Cscript%3E",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        "/login?next=%22%3E%3Cimg%20src=x%3E",
    ] {
        let answer = client.get(path).await;
        assert!(!answer.text().contains("<img") && !answer.text().contains("<script>"), "{path}");
    }
}

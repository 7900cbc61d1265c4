//! Templates of a folder in place of the embedded ones.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::{Client, Model, Server, finish, liveops, text_of, until};

/// A folder with these templates.
fn folder(templates: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::with_prefix("liveops-templates-").expect("a folder");
    for (name, source) in templates {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, source).expect("it is written");
    }
    folder
}

async fn server(folder: &TempDir) -> Server {
    Server::with(&[("templates", folder.path().to_str().expect("UTF-8"))]).await
}

#[tokio::test]
async fn a_template_of_the_folder_replaces_the_embedded_one_and_escapes() {
    let folder = folder(&[
        (
            "regions/status.html",
            "<div id=\"{{ id }}-status\">{% include 'mine/greeting.html' %} {{ text }}</div>",
        ),
        ("mine/greeting.html", "Own status:"),
        ("notes.txt", "{% not a template"),
    ]);
    let server = server(&folder).await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1"), ("message", "<b>bold</b>")]).await;
    let page = client.finished(&id).await;
    assert!(page.html.contains("Own status: &lt;b&gt;bold&lt;/b&gt;</div>"), "{}", page.html);
}

#[tokio::test]
async fn a_kind_has_its_own_template_for_results() {
    let folder = folder(&[(
        "simulate_result.html",
        "<p class=\"own\">{{ op.kind }} {{ op.state }}: {{ result.message }}, {{ result.steps }}</p>",
    )]);
    let path = folder.path().to_str().expect("UTF-8");
    let server = Server::with(&[("templates", path), ("workers", "1")]).await;
    let client = server.demo_user().await;
    let fields = [("steps", "20"), ("delay_ms", "20"), ("message", "<i>")];
    let (id, _, mut events) = client.follow_whole(client.simulate(&fields)).await;
    let events = events.rest().await;
    let own = "<p class=\"own\">simulate succeeded: &lt;i&gt;, 20</p>";
    let live = Model::of(&events);
    assert!(live.region("result").contains(own), "{}", live.region("result"));
    assert!(client.page(&id).await.html.contains(own));
    // Other kinds show keys and values.
    let other = client.import("a.csv", b"a,b\n1,2\n").await;
    let page = client.finished(&other).await;
    assert!(text_of(&page.html).contains("rows imported"), "{}", page.html);
}

/// The line with which `demo` refuses to start.
fn refused(templates: &Path) -> String {
    let folder = TempDir::with_prefix("liveops-test-").expect("a folder");
    let mut command = liveops(folder.path());
    command.args(["demo", "--listen", "127.0.0.1:0", "--templates"]).arg(templates);
    let output = finish(command, "");
    let line = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(line.starts_with("liveops: templates: ") && line.matches('\n').count() == 1, "{line}");
    line
}

#[test]
fn what_cannot_be_used_stops_the_start() {
    let broken = folder(&[("regions/row.html", "<tr>\n<td>{{ row.title }\n</tr>")]);
    let line = refused(broken.path());
    assert!(line.contains("regions/row.html, line 2"), "{line}");
    let line = refused(&broken.path().join("missing"));
    assert!(line.contains("missing"), "{line}");
    let other = folder(&[]);
    fs::write(other.path().join("base.html"), b"\xff").expect("it is written");
    let line = refused(other.path());
    assert!(line.contains("base.html") && line.contains("UTF-8"), "{line}");
}

#[tokio::test]
async fn a_page_that_fails_to_render_is_an_error_in_the_built_in_layout() {
    let folder = folder(&[("base.html", "{{ no_such_function() }}")]);
    let server = server(&folder).await;
    let client = Client::new(server.address);
    let answer = client.get("/login").await;
    assert_eq!(answer.status, 500);
    let page = answer.text();
    assert!(text_of(&page).contains("Something went wrong") && page.contains("<html"), "{page}");
    assert!(!page.contains("no_such_function"), "{page}");
    until("the reason in the log", async || server.said().contains("no_such_function").then_some(())).await;
}

#[tokio::test]
async fn a_region_that_fails_to_render_says_so_in_its_place() {
    let folder = folder(&[("regions/progress.html", "{{ no_such_function() }}")]);
    let server = server(&folder).await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1")]).await;
    let page = client.finished(&id).await;
    assert!(
        page.html.contains(&format!("<div id=\"op-{id}-progress\" class=\"liveop-broken\">")),
        "{}",
        page.html
    );
    assert!(!page.html.contains("no_such_function"), "{}", page.html);
    let said = async || {
        let said = server.said();
        let line = said.lines().find(|line| line.contains("a region failed to render"))?;
        assert!(line.contains(&id) && line.contains("no_such_function"), "{line}");
        Some(())
    };
    until("the reason in the log", said).await;
}

#[tokio::test]
async fn a_misspelt_template_is_warned_of() {
    let folder = folder(&[
        ("simulate_result.html", "x"),
        ("simulate_chart.html", "x"),
        ("_part.html", "x"),
        ("mine/part.html", "x"),
        ("operation.html", "{% extends 'base.html' %}"),
        ("simulat_result.html", "x"),
        ("operatoins.html", "x"),
        ("mine/place.html", "{{ live_region(op, 'chart') }}"),
        (
            "simulate_live.html",
            "{% extends 'live.html' %}{% block own %}{% include 'mine/place.html' %}{% endblock %}",
        ),
    ]);
    // What it says to stderr comes by a pipe of its own, but all of it before the end.
    let mut server = server(&folder).await;
    server.demo_user().await.get("/").await;
    server.terminate().await;
    until("its last line", async || server.said().contains("stopping").then_some(())).await;
    let said = server.said();
    let warned: Vec<_> = said.lines().filter(|line| line.contains("no template of ours")).collect();
    assert_eq!(warned.len(), 2, "{said}");
    let misplaced: Vec<_> = said.lines().filter(|line| line.contains("live_region")).collect();
    assert!(matches!(misplaced[..], [line] if line.contains("mine/place.html")), "{said}");
    assert!(warned[0].contains("operatoins.html") && warned[1].contains("simulat_result.html"), "{said}");
}

//! The list by state and kind.

use crate::harness::{Answer, Client, SLOW, Server, attribute, text_of};

async fn list(client: &Client, path: &str) -> String {
    let answer: Answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

/// The operations whose rows a page has, in its order.
fn rows(html: &str) -> Vec<String> {
    let rows = html.match_indices("<tr id=\"op-").map(|(at, mark)| &html[at + mark.len()..]);
    rows.map(|row| row[..36].to_owned()).collect()
}

/// What the filter offers: the text and the address of each choice, and whether it is the present one.
fn choices(html: &str, class: &str) -> Vec<(String, String, bool)> {
    let Some((_, nav)) = html.split_once(&format!("<nav class=\"{class}\"")) else { return Vec::new() };
    let (nav, _) = nav.split_once("</nav>").expect("its end");
    let links = nav.match_indices("<a ").map(|(at, _)| nav[at..].split_once("</a>").expect("its end").0);
    let href = |link: &str| attribute(link, "<a ", "href").expect("an address").replace("&amp;", "&");
    links.map(|link| (text_of(link), href(link), link.contains("aria-current=\"true\""))).collect()
}

/// State and kind that the page's filter says it has.
fn chosen(html: &str) -> [String; 2] {
    [("site-chips", "state"), ("site-choices", "kind")].map(|(class, name)| {
        let choices = choices(html, class);
        let mut present = choices.iter().filter(|(.., is_present)| *is_present);
        let (_, href, _) = present.next().expect("a present choice");
        assert!(present.next().is_none(), "one of them");
        value(href, name)
    })
}

/// What an address says of a name.
fn value(href: &str, name: &str) -> String {
    let query = href.split_once('?').map_or("", |(_, query)| query);
    let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default().to_owned()
}

/// The kinds that the filter offers.
fn kinds(html: &str) -> Vec<String> {
    choices(html, "site-choices").iter().map(|(_, href, _)| value(href, "kind")).collect()
}

fn page_of(html: &str) -> String {
    attribute(html, "<section id=\"operations\"", "data-liveop-page").expect("its page")
}

fn link(html: &str, rel: &str) -> Option<String> {
    attribute(html, &format!("<a class=\"liveop-button\" rel=\"{rel}\""), "href")
}

#[tokio::test]
async fn a_list_is_filtered_by_state_and_kind() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let quick = client.submit("quick", &[], None).await.started();
    client.finished(&quick).await;
    let done = client.simulate(&[("steps", "0")]).await;
    client.finished(&done).await;
    let failed = client.simulate(&[("steps", "1"), ("outcome", "error")]).await;
    client.finished(&failed).await;
    let slow = client.simulate(SLOW).await;
    client.reaches(&slow, "running").await;
    for (query, expected) in [
        ("", vec![&slow, &failed, &done, &quick]),
        ("state=&kind=", vec![&slow, &failed, &done, &quick]),
        ("state=succeeded", vec![&done, &quick]),
        ("kind=simulate", vec![&slow, &failed, &done]),
        ("state=succeeded&kind=simulate", vec![&done]),
        ("kind=quick&state=running", vec![]),
        ("state=cancelling", vec![]),
        ("state=waiting", vec![]),
    ] {
        let html = list(&client, &format!("/operations?{query}")).await;
        assert_eq!(rows(&html).iter().collect::<Vec<_>>(), expected, "{query}");
        let is_filtered = query.contains(char::is_alphabetic) && query != "state=&kind=";
        assert_eq!(html.contains("id=\"operations-rows\" data-liveop-known-only"), is_filtered, "{query}");
        let [state, kind] = chosen(&html);
        for (name, value) in [("state", state), ("kind", kind)] {
            let asked = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            assert_eq!(value, asked.unwrap_or(""), "{query}: the form says it");
        }
        let again = page_of(&html);
        assert_eq!(again == "/operations", !is_filtered, "{query}");
        // Each choice keeps the other one, and none keeps the page.
        for (class, name, other) in [("site-chips", "state", "kind"), ("site-choices", "kind", "state")] {
            for (label, href, _) in choices(&html, class) {
                assert_eq!(
                    value(&href, other),
                    value(&format!("?{query}"), other),
                    "{query}: {label} leads to {href}"
                );
                assert_eq!(value(&href, name).is_empty(), label.starts_with("All"), "{label}: {href}");
                assert!(!href.contains("page="), "{href}");
            }
        }
        assert_eq!(rows(&list(&client, &again).await), rows(&html), "{query}: {again} is the same page");
    }
}

#[tokio::test]
async fn the_pages_of_a_filtered_list_keep_the_filter() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let mut ids = Vec::new();
    for _ in 0..53 {
        ids.insert(0, client.simulate(&[("steps", "0")]).await);
    }
    for id in &ids {
        client.finished(id).await;
    }
    // Of another kind, and no success, however long this takes.
    let other = client.submit("repeatable", &[], None).await.started();
    client.command(&other, "cancel").await;
    assert_eq!(client.finished(&other).await.state, "cancelled");
    let first = list(&client, "/operations?kind=simulate&state=succeeded").await;
    assert_eq!(rows(&first), ids[..50]);
    assert_eq!(link(&first, "prev"), None);
    let older = link(&first, "next").expect("older ones");
    let second = list(&client, &older).await;
    assert_eq!(rows(&second), ids[50..], "{older}");
    assert_eq!(page_of(&second), older);
    assert_eq!(chosen(&second), ["succeeded", "simulate"]);
    assert_eq!(link(&second, "next"), None);
    let newer = link(&second, "prev").expect("newer ones");
    assert_eq!(rows(&list(&client, &newer).await), ids[..50], "{newer}");
    // Where there is no such page, it is the first one of the same filter.
    for page in ["0", "3", "x", "4294967295"] {
        let html = list(&client, &format!("/operations?state=succeeded&page={page}")).await;
        assert_eq!(rows(&html).first(), ids.first(), "{page}");
        assert_eq!(page_of(&html), "/operations?state=succeeded&page=1", "{page}");
    }
    // 54 operations, but 53 are of the kind: the second page ends as the filter says.
    assert!(!second.contains(&other) && list(&client, "/operations?page=2").await.contains(&ids[52]));
}

#[tokio::test]
async fn what_is_no_state_or_kind_filters_nothing() {
    let server = Server::start().await;
    let (client, other) = (server.user("ada").await, server.user("bob").await);
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let long = "x".repeat(8000);
    for (query, expected) in [
        ("state=done", ["", ""]),
        ("state=Running", ["", ""]),
        ("kind=nothing", ["", ""]),
        ("kind=%00&state=%00", ["", ""]),
        ("kind=simulate%00", ["", ""]),
        ("state=%FF&kind=%", ["", ""]),
        ("kind=%27%20OR%201%20--", ["", ""]),
        ("kind=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", ["", ""]),
        (long.as_str(), ["", ""]),
        (&format!("kind={long}"), ["", ""]),
        ("state[]=running&&&=&x=1", ["", ""]),
        ("state=failed&state=running", ["running", ""]),
        ("kind=simulate&kind=nothing", ["", ""]),
        ("state=nothing&kind=simulate", ["", "simulate"]),
    ] {
        let html = list(&client, &format!("/operations?{query}")).await;
        assert_eq!(chosen(&html), expected, "{query}");
        assert_eq!(rows(&html), [id.as_str()], "{query}");
        assert_eq!(html.contains("data-liveop-known-only"), expected != ["", ""], "{query}");
        assert!(!html.contains("<script>") && !html.contains('\0') && !html.contains(&long), "{query}");
    }
    assert!(rows(&list(&other, "/operations?kind=simulate&state=running").await).is_empty(), "nobody else's");
}

#[tokio::test]
async fn an_empty_list_says_why_and_leads_on() {
    let server = Server::start().await;
    let client = server.user("ada").await;
    let empty = |html: &str| {
        let (_, card) = html.split_once("site-empty\">").expect("words for an empty list");
        let card = card.split_once("</div>").expect("its end").0;
        (text_of(card), attribute(card, "<a", "href"))
    };
    let (words, link) = empty(&list(&client, "/operations").await);
    assert!(words.contains("not started anything yet"), "{words}");
    assert_eq!(link.as_deref(), Some("/"));
    let id = client.simulate(SLOW).await;
    let (words, link) = empty(&list(&client, "/operations?state=failed").await);
    assert!(words.contains("No operation matches this filter"), "{words}");
    let html = list(&client, &link.expect("a link")).await;
    assert_eq!((rows(&html), chosen(&html)), (vec![id], [String::new(), String::new()]));
}

#[tokio::test]
async fn the_kinds_of_ones_operations_can_be_chosen_wherever_they_are_known() {
    let key = "a secret key of enough bytes, for both";
    let server = Server::with(&[("secret_key", key)]).await;
    let client = server.user("ada").await;
    let offered = kinds(&list(&client, "/operations").await);
    assert_eq!(offered[0], "", "all of them");
    assert!(["csv_import", "quick", "simulate"].iter().all(|kind| offered.contains(&(*kind).to_owned())));
    let id = client.simulate(&[("steps", "0")]).await;
    client.finished(&id).await;
    // A server without kinds: the record says its own.
    let other = server.watching().await;
    let there = client.at(&other);
    let html = list(&there, "/operations?kind=simulate").await;
    assert_eq!(kinds(&html), ["", "simulate"]);
    assert_eq!(rows(&html), [id]);
}

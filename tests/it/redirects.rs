//! Where people are led: nowhere but within this site, however a browser reads it.

use reqwest::Url;

use crate::harness::{Ask, Client, Server, attribute, encode};

const EVIL: [&str; 40] = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\u{feff}//evil.example",
    "/%09/evil.example",
    "/%5cevil.example",
    "/%2f/evil.example",
    "%2f%2fevil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:\\\\evil.example",
    "HTTPS://evil.example",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "\u{1}javascript:alert(1)",
    "data:text/html,x",
    "/\r\nLocation: //evil.example",
    "//evil.example/%2f..",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/a/../\\evil.example",
    "//user@evil.example",
    "@evil.example",
    ".evil.example",
    ":80@evil.example",
    "/@evil.example",
    "?//evil.example",
    "/\0/evil.example",
    "/\u{85}/evil.example",
    "/\u{2028}/evil.example",
    "\u{ff0f}\u{ff0f}evil.example",
    "/\u{ff0f}evil.example",
];

/// Where a browser goes from one of our pages (the URL standard's parser says it).
fn assert_here(client: &Client, leads_to: &str, what: &str) {
    let here = Url::parse(&format!("http://{}/operations", client.address)).expect("an address");
    let there = here.join(leads_to).unwrap_or_else(|error| panic!("{what:?} leads to {leads_to:?}: {error}"));
    assert_eq!((there.scheme(), there.host(), there.port()), ("http", here.host(), here.port()), "{what:?}");
}

#[tokio::test]
async fn next_leads_nowhere_else() {
    let server = Server::start().await;
    server.user("alice").await;
    let mut kept = 0;
    for (n, evil) in EVIL.into_iter().enumerate() {
        let visitor = Client::new(server.address);
        let page = visitor.get(&format!("/login?next={}", encode(evil))).await;
        assert_eq!(page.status, 200, "{evil:?}");
        let next =
            attribute(&page.text(), "<input type=\"hidden\" name=\"next\"", "value").unwrap_or_default();
        assert_here(&visitor, &next, evil);
        kept += usize::from(!next.is_empty());
        // Checking a password takes its time.
        if n % 4 == 0 {
            let csrf = page.csrf();
            let fields = [
                ("csrf_token", csrf.as_str()),
                ("username", "alice"),
                ("password", "alice password"),
                ("next", evil),
            ];
            let answer = visitor.send(Ask::post("/login").form(&fields)).await;
            assert_here(&visitor, answer.location(), evil);
        }
    }
    assert!(kept > 3, "what is a path of this site is gone to: {kept}");
}

#[tokio::test]
async fn a_redirect_leads_nowhere_else() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut kept = 0;
    for evil in EVIL {
        let answer = client.submit("simulate", &[("steps", "0"), ("redirect", evil)], None).await;
        if answer.status == 422 {
            continue;
        }
        let page = client.finished(&answer.started()).await;
        assert_eq!(page.state, "succeeded", "{evil:?}");
        let redirect = page.attribute("data-liveop-redirect").expect("it leads on");
        assert_here(&client, &redirect, evil);
        kept += 1;
    }
    assert!(kept > 3, "what is a path of this site is gone to: {kept}");
}

/// Whoever is sent to sign in comes back to this site, whatever was asked for.
#[tokio::test]
async fn a_sign_in_leads_back_and_nowhere_else() {
    let server = Server::start().await;
    let nobody = Client::new(server.address);
    for path in
        ["/operations/%2F%2Fevil.example", "/operations/x?next=//evil.example", "/operations?//evil.example"]
    {
        let answer = nobody.get(path).await;
        let login =
            Url::parse(&format!("http://{}{}", server.address, answer.location())).expect("an address");
        assert_eq!(login.path(), "/login");
        let next: Vec<_> =
            login.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        assert_eq!(next, [("next".to_owned(), path.to_owned())]);
        assert_here(&nobody, path, path);
    }
}

//! Pages: their forms, and that they work without JavaScript.

use crate::harness::{Answer, Ask, Client, SLOW, Server, attribute, finish, hidden_inputs, text_of};

/// The stylesheet, the shim and the scripts of the comforts.
fn assets(html: &str) -> [String; 4] {
    let css = attribute(html, "<link rel=\"stylesheet\"", "href").expect("a stylesheet");
    let mut scripts = html.split("</script>").map(|part| attribute(part, "<script", "src"));
    [css]
        .into_iter()
        .chain(std::iter::from_fn(|| scripts.next()?))
        .collect::<Vec<_>>()
        .try_into()
        .expect("three scripts")
}

#[tokio::test]
async fn an_address_with_nothing_at_it_shows_who_is_signed_in() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    for path in ["/nope", "/operations/", "//", "/operations/xx"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("Sign out"), "{path}");
    }
    let nobody = Client::new(server.address);
    assert!(!nobody.get("/nope").await.text().contains("Sign out"));
}

#[tokio::test]
async fn assets_are_named_by_content_and_kept_for_a_year() {
    let server = Server::start().await;
    let html = Client::new(server.address).get("/login").await.text();
    let client = Client::new(server.address);
    let [css, js, page_js, site_js] = assets(&html);
    for (path, stem, kind) in [
        (&css, "liveops", "text/css"),
        (&js, "liveops", "text/javascript"),
        (&page_js, "page", "text/javascript"),
        (&site_js, "site", "text/javascript"),
    ] {
        let hash = path.strip_prefix(&format!("/assets/{stem}.")).expect("its name").split('.').next();
        assert!(hash.is_some_and(|hash| hash.len() == 16), "{path}");
        let path = path.as_str();
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").starts_with(kind), "{path}");
        let cache = answer.header("cache-control");
        assert!(cache.contains("max-age=31536000") && cache.contains("immutable"), "{cache}");
        assert!(!answer.body.is_empty());
    }
    for path in
        ["/assets/", "/assets/liveops.js", "/assets/..%2f..%2fCargo.toml", "/assets/liveops-00000000.css"]
    {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    for path in [js, page_js, site_js] {
        let mut gzip = std::process::Command::new("gzip");
        gzip.args(["-9", "-c"]);
        let packed = finish(gzip, &client.get(&path).await.text()).stdout.len();
        assert!((100..=8192).contains(&packed), "{path}: {packed} bytes gzipped");
    }
}

#[tokio::test]
async fn pages_hold_nothing_that_the_policy_forbids() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "2"), ("log_every", "1"), ("stages", "2")]).await;
    client.finished(&id).await;
    for path in [
        "/",
        "/operations",
        "/operations/new/simulate",
        "/operations/new/csv_import",
        &format!("/operations/{id}"),
        "/login",
        "/x",
    ] {
        let html = client.get(path).await.text();
        assert!(html.starts_with("<!doctype html>") || html.starts_with("<!DOCTYPE html>"), "{path}");
        for forbidden in
            [" style=\"", "<style", "<script>", " onclick=", "javascript:", "http://", "https://"]
        {
            // The icon's data address names the namespace of SVG.
            let html = html.replace("http://www.w3.org/2000/svg", "");
            assert!(!html.contains(forbidden), "{forbidden} in {path}");
        }
        assert!(html.contains("<title>") && html.contains("lang=\"en\"") && html.contains("<main"), "{path}");
    }
}

#[tokio::test]
async fn without_javascript_a_page_refreshes_until_it_is_over() {
    let server = Server::with(&[("workers", "1")]).await;
    let client = server.demo_user().await;
    let refreshes = |html: &str| {
        let head = &html[..html.find("</head>").expect("a head")];
        head.contains("<noscript><meta http-equiv=\"refresh\"")
    };
    let running = client.simulate(SLOW).await;
    client.reaches(&running, "running").await;
    let waiting = client.simulate(SLOW).await;
    assert!(refreshes(&client.page(&running).await.html), "running");
    assert!(refreshes(&client.page(&waiting).await.html), "waiting");
    // The forms on these pages, by plain posts.
    for id in [&running, &waiting] {
        let page = client.page(id).await;
        let action = format!("/operations/{id}/cancel");
        let hidden = hidden_inputs(&page.html, &format!("action=\"{action}\"")).expect("a form to cancel");
        assert_eq!(hidden[0].0, "csrf_token");
        let hidden: Vec<_> = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(client.send(Ask::post(&action).form(&hidden)).await.status, 303);
        let page = client.finished(id).await;
        assert!(!refreshes(&page.html), "it is over");
        assert!(!page.html.contains("http-equiv"), "it is over");
        let action = format!("/operations/{id}/restart");
        let hidden = hidden_inputs(&page.html, &format!("action=\"{action}\"")).expect("a form to restart");
        assert!(!hidden[0].1.is_empty(), "filled in on the page");
    }
}

#[tokio::test]
async fn the_catalogue_names_the_kinds_and_each_has_a_form() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let catalogue = client.get("/").await.text();
    for kind in ["csv_import", "simulate"] {
        let path = format!("/operations/new/{kind}");
        assert!(catalogue.contains(&format!("href=\"{path}\"")), "{kind}");
        let form = client.get(&path).await;
        assert_eq!(form.status, 200);
        let hidden = hidden_inputs(&form.text(), &format!("action=\"{path}\"")).expect("a form");
        assert_eq!(hidden[0].0, "csrf_token", "first");
    }
    let fields =
        ["steps", "delay_ms", "log_every", "message", "outcome", "stages", "chain", "redirect", "stamp"];
    let form = client.get("/operations/new/simulate").await.text();
    for field in fields {
        assert!(form.contains(&format!(" name=\"{field}\"")), "{field}");
    }
    for unknown in ["nothing", "Simulate", "..%2fsimulate", "%00"] {
        assert_eq!(client.get(&format!("/operations/new/{unknown}")).await.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn a_bad_field_comes_back_with_its_message_and_the_rest_as_typed() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let bad: &[(&str, &str)] = &[
        ("steps", "1000001"),
        ("steps", "-1"),
        ("steps", "x"),
        ("steps", ""),
        ("delay_ms", "60001"),
        ("log_every", "-1"),
        ("outcome", "explode"),
        ("stages", "10"),
        ("chain", "10"),
        ("chain", "1.5"),
        ("stamp", "maybe"),
    ];
    for (name, value) in bad {
        let fields = [("message", "as typed"), ("redirect", "/operations"), (*name, *value)];
        let answer = client.submit("simulate", &fields, None).await;
        assert_eq!(answer.status, 422, "{name}={value}");
        let html = answer.text();
        let id = format!("id=\"field-{name}\"");
        let at = html.find(&id).unwrap_or_else(|| panic!("{id} in {html}"));
        let tag = &html[html[..at].rfind('<').expect("a tag")..];
        assert_eq!(attribute(tag, "<", "aria-invalid").as_deref(), Some("true"), "{name}={value}");
        let described = attribute(tag, "<", "aria-describedby").expect("it points at its message");
        let message = described.split(' ').next().expect("an id");
        assert!(html.contains(&format!("id=\"{message}\"")), "{message}");
        assert_eq!(html.matches("aria-invalid=\"true\"").count(), 1, "{name}={value}");
        assert!(html.contains("value=\"as typed\""), "{name}={value}");
    }
    let without = client.submit("csv_import", &[], Some(("", b""))).await;
    assert_eq!(without.status, 422, "no file chosen");
    assert!(without.text().contains("aria-invalid=\"true\""));
    assert!(!client.get("/operations").await.text().contains("<tr id=\"op-"), "nothing was started");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "1")]).await;
    client.finished(&id).await;
    for path in [
        "/",
        "/operations",
        "/operations/new/simulate",
        &format!("/operations/{id}"),
        &format!("/operations/{id}/log"),
        "/login",
        "/nothing",
    ] {
        let get = client.get(path).await;
        let head = client.send(Ask::new("HEAD", path)).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn the_list_is_newest_first_and_paged() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let empty = client.get("/operations").await;
    assert_eq!(empty.status, 200);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(client.simulate(&[("steps", "0"), ("message", &format!("number {n}"))]).await);
    }
    let html = client.get("/operations").await.text();
    let places: Vec<_> =
        ids.iter().map(|id| html.find(&format!("<tr id=\"op-{id}-row\"")).expect("a row")).collect();
    assert!(places.is_sorted_by(|older, newer| older > newer), "{places:?}");
    for bad in ["0", "-1", "x", "", "99999999999999999999", "%00"] {
        let answer = client.get(&format!("/operations?page={bad}")).await;
        assert_eq!(answer.status, 200, "{bad}");
        assert!(answer.text().contains(&ids[2]), "{bad} is the first page");
    }
    assert_eq!(client.get("/operations?page=1000").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_413() {
    let server = Server::with(&[("max_upload_bytes", "100000")]).await;
    let client = server.demo_user().await;
    let row = b"a,b\n".repeat(20_000);
    let fits = client.submit("csv_import", &[], Some(("fits.csv", &row))).await;
    assert_eq!(fits.status, 303, "{}", fits.text());
    let large = b"a,b\n".repeat(50_000);
    let answer = client.submit("csv_import", &[], Some(("large.csv", &large))).await;
    assert_eq!(answer.status, 413);
    let back = attribute(&answer.text(), "<a class=\"liveop-button liveop-primary\"", "href");
    assert_eq!(back.as_deref(), Some("/operations/new/csv_import"), "back to the form: {}", answer.text());
    assert!(answer.text().contains("larger than the 100000 bytes"), "{}", answer.text());
    // The form said so, and what the browser needs to refuse the file itself.
    let form = client.get("/operations/new/csv_import").await.text();
    let field = |name| attribute(&form, "<input type=\"file\"", name).unwrap_or_default();
    assert_eq!(field("data-liveop-max-bytes"), "100000");
    assert_eq!(field("aria-describedby").split(' ').next_back(), Some("field-file-limit"));
    assert!(text_of(&form).contains("At most 100000 bytes."), "{form}");
    let message = "x".repeat(200_000);
    assert_eq!(client.submit("simulate", &[("message", &message)], None).await.status, 413);
}

#[tokio::test]
async fn what_is_refused_leads_on() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let id = client.simulate(SLOW).await;
    let new = "/operations/new/simulate";
    let page = format!("/operations/{id}");
    let [restart, cancel] = ["restart", "cancel"].map(|command| format!("{page}/{command}"));
    let signed = [("csrf_token", csrf.as_str())];
    let text =
        |path: &str| Ask::post(path).header("x-csrf-token", &csrf).header("content-type", "text/plain");
    let much = "x".repeat(1024 * 1024);
    let large = Ask::post(&cancel).header("x-csrf-token", &csrf).form(&[("much", &much)]);
    let nobodys = format!("/operations/{}/cancel", "00000000-0000-4000-8000-000000000000");
    for (status, ask, url, label) in [
        (403, Ask::post(new), new, "Back to the form"),
        (415, text(new).body(b"x".to_vec()), new, "Back to the form"),
        (405, Ask::new("DELETE", new), "/operations", "Your operations"),
        (404, Ask::get("/operations/new/nothing"), "/operations", "Your operations"),
        (404, Ask::post("/operations/new/nothing").form(&signed), "/operations", "Your operations"),
        (409, Ask::post(&restart).form(&signed), &page, "Back to the operation"),
        (403, Ask::post(&restart), &page, "Back to the operation"),
        (403, Ask::post(&cancel), &page, "Back to the operation"),
        (415, text(&cancel).body(b"x".to_vec()), &page, "Back to the operation"),
        (413, large, &page, "Back to the operation"),
        (405, Ask::new("DELETE", &cancel), "/operations", "Your operations"),
        (404, Ask::post(&nobodys).form(&signed), "/operations", "Your operations"),
        (404, Ask::post("/operations/x/restart").form(&signed), "/operations", "Your operations"),
        (403, Ask::post("/logout"), "/operations", "Your operations"),
        (403, Ask::post("/login"), "/login", "Open it again"),
        (403, Ask::post(&server.login_link), server.login_link.as_str(), "Open it again"),
        (
            410,
            Ask::post(&server.login_link)
                .form(&[("csrf_token", &client.get(&server.login_link).await.csrf())]),
            "/operations",
            "Sign in",
        ),
    ] {
        let what = format!("{ask:?}");
        let answer = client.send(ask).await;
        assert_eq!(answer.status, status, "{what}");
        let html = answer.text();
        let link = attribute(&html, "<a class=\"liveop-button liveop-primary\"", "href");
        assert_eq!(link.as_deref(), Some(url), "{what}");
        assert!(html.contains(&format!("{label}</a>")), "{what}: {html}");
        assert_eq!(html.contains("liveops demo prints a new one"), status == 410, "{what}");
    }
}

#[tokio::test]
async fn what_cannot_be_shown_now_is_asked_for_again_as_it_was() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    database.execute_batch("ALTER TABLE liveops_operations RENAME TO elsewhere").expect("it is broken");
    let asked = "/operations?state=failed&page=2&kind=%22%3E%3Cb%3E";
    let answer = client.get(asked).await;
    assert_eq!(answer.status, 503);
    let html = answer.text();
    let again = attribute(&html, "<a class=\"liveop-button liveop-primary\"", "href");
    assert_eq!(again.as_deref(), Some(asked), "{html}");
    assert!(html.contains("state=failed&amp;page=2") && html.contains(">Try again</a>"), "{html}");
    let head = client.send(Ask::new("HEAD", asked)).await;
    assert_eq!(head.header("content-length"), html.len().to_string());
    database.execute_batch("ALTER TABLE elsewhere RENAME TO liveops_operations").expect("it is mended");
    assert_eq!(client.get(asked).await.status, 200);
}

#[tokio::test]
async fn a_wrong_content_type_gets_415() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    for kind in ["text/plain", "application/json", "application/xml"] {
        let ask =
            Ask::post("/operations/new/simulate").header("content-type", kind).header("x-csrf-token", &csrf);
        let answer: Answer = client.send(ask.body(b"steps=1".to_vec())).await;
        assert_eq!(answer.status, 415, "{kind}");
    }
}

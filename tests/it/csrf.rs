//! Commands from elsewhere: each variant is refused, and nothing is done.

use crate::harness::{Ask, Client, SLOW, Server};

async fn cancel(client: &Client, id: &str, csrf: Option<&str>, headers: &[(&str, &str)]) -> u16 {
    let fields: Vec<_> = csrf.into_iter().map(|csrf| ("csrf_token", csrf)).collect();
    let ask = Ask::post(&format!("/operations/{id}/cancel")).form(&fields);
    let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
    client.send(ask).await.status
}

#[tokio::test]
async fn a_command_needs_the_sessions_own_token() {
    let server = Server::start().await;
    let client = server.user("alice").await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let own = client.csrf().await;
    let other_user = server.user("bob").await.csrf().await;
    let second = Client::new(server.address);
    second.log_in("alice", "alice password").await;
    let other_session = second.csrf().await;
    assert_ne!(own, other_session, "a token is of one session");
    let login_token = Client::new(server.address).get("/login").await.csrf();
    let cut = &own[..own.len() - 1];
    for bad in
        [None, Some(""), Some("x"), Some(&other_user), Some(&other_session), Some(&login_token), Some(cut)]
    {
        assert_eq!(cancel(&client, &id, bad, &[]).await, 403, "{bad:?}");
    }
    let in_query = Ask::post(&format!("/operations/{id}/cancel?csrf_token={own}"));
    assert_eq!(client.send(in_query).await.status, 403, "an address is no place for it");
    assert_eq!(client.page(&id).await.state, "running", "nothing was done");
    assert_eq!(cancel(&client, &id, Some(&own), &[]).await, 303);
    assert_eq!(client.finished(&id).await.state, "cancelled");
}

#[tokio::test]
async fn a_command_from_another_site_is_refused_with_a_good_token() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    client.reaches(&id, "running").await;
    let csrf = client.csrf().await;
    let port = server.address.port();
    let here = format!("http://127.0.0.1:{port}");
    let other_port = format!("http://127.0.0.1:{}", if port == 1 { 2 } else { port - 1 });
    let longer = format!("{here}.evil.example");
    let refused: &[&[(&str, &str)]] = &[
        &[("origin", "https://evil.example")],
        &[("origin", &other_port)],
        &[("origin", "http://127.0.0.1")],
        &[("origin", "http://localhost")],
        &[("origin", &longer)],
        &[("origin", "null")],
        &[("origin", "null"), ("sec-fetch-site", "none")],
        &[("origin", "")],
        &[("origin", "nonsense")],
        &[("origin", &here), ("sec-fetch-site", "cross-site")],
        &[("origin", &here), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
    ];
    for headers in refused {
        assert_eq!(cancel(&client, &id, Some(&csrf), headers).await, 403, "{headers:?}");
    }
    assert_eq!(client.page(&id).await.state, "running", "nothing was done");
    let passed: &[&[(&str, &str)]] = &[
        &[],
        &[("origin", &here)],
        &[("origin", &here), ("sec-fetch-site", "same-origin")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-origin")],
    ];
    for headers in passed {
        assert_eq!(cancel(&client, &id, Some(&csrf), headers).await, 303, "{headers:?}");
    }
}

#[tokio::test]
async fn starting_and_restarting_are_protected_too() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let id = client.simulate(&[("steps", "0")]).await;
    client.finished(&id).await;
    for path in
        ["/operations/new/simulate".to_owned(), format!("/operations/{id}/restart"), "/logout".to_owned()]
    {
        let without = client.send(Ask::post(&path).form(&[("steps", "0")])).await;
        assert_eq!(without.status, 403, "{path}");
        let foreign = Ask::post(&path).form(&[("csrf_token", &csrf), ("steps", "0")]);
        let foreign = foreign.header("origin", "https://evil.example");
        assert_eq!(client.send(foreign).await.status, 403, "{path}");
    }
    let multipart = Ask::post("/operations/new/csv_import").multipart(&[], ("file", "a.csv", b"a\n1\n"));
    assert_eq!(client.send(multipart).await.status, 403, "the file came before any token");
    let page = client.page(&id).await;
    assert!(!page.text().contains("attempt 2"), "nothing was done");
    let list = client.get("/operations").await.text();
    assert_eq!(list.matches("<tr id=\"op-").count(), 1, "nothing was started: {list}");
}

#[tokio::test]
async fn a_file_that_comes_before_the_token_is_not_stored() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let csrf = client.csrf().await;
    let files = || {
        let mut found = Vec::new();
        let mut folders = vec![server.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    };
    let before = files();
    let secret = "a,b\n1,stored-too-early\n".repeat(10_000);
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n{secret}\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\n{csrf}\r\n--edge--\r\n"
    );
    let ask =
        Ask::post("/operations/new/csv_import").header("content-type", "multipart/form-data; boundary=edge");
    let answer = client.send(ask.body(body.into_bytes())).await;
    assert!(answer.status == 403 || answer.status == 422, "{}", answer.status);
    assert_eq!(files(), before);
}

#[tokio::test]
async fn the_header_serves_as_well_as_the_field() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(SLOW).await;
    let csrf = client.csrf().await;
    let ask = |csrf: &str| Ask::post(&format!("/operations/{id}/cancel")).header("x-csrf-token", csrf);
    assert_eq!(client.send(ask("x")).await.status, 403);
    assert_eq!(client.send(ask(&csrf)).await.status, 303);
}

#[tokio::test]
async fn the_login_form_is_bound_to_its_browser() {
    let server = Server::start().await;
    server.user("alice").await;
    let fields = |csrf: &str| {
        Ask::post("/login").form(&[
            ("csrf_token", csrf),
            ("username", "alice"),
            ("password", "alice password"),
        ])
    };
    let (victim, attacker) = (Client::new(server.address), Client::new(server.address));
    let planted = attacker.get("/login").await.csrf();
    assert_eq!(victim.send(fields(&planted)).await.status, 403, "without the cookie");
    let own = victim.get("/login").await.csrf();
    assert_eq!(victim.send(fields(&planted)).await.status, 403, "with another browser's token");
    assert_eq!(victim.send(fields("")).await.status, 403);
    assert_eq!(victim.send(fields(&own).header("origin", "https://evil.example")).await.status, 403);
    assert_eq!(victim.cookie("liveops_session"), None, "nobody is signed in");
    assert_eq!(victim.send(fields(&own)).await.status, 303);
}

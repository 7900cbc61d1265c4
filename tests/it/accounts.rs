//! Signing in: by the printed link, by the login page.

use std::time::Duration;

use crate::harness::{Ask, Client, Server, finish, liveops};

#[tokio::test]
async fn the_link_signs_in_once_and_only_by_its_button() {
    let server = Server::start().await;
    let scanner = Client::new(server.address);
    for _ in 0..3 {
        let page = scanner.get(&server.login_link).await;
        assert_eq!(page.status, 200, "a GET uses nothing up");
        assert!(page.text().contains("<form method=\"post\"") || page.text().contains("method=\"post\""));
        assert_eq!(scanner.get("/operations").await.status, 303, "a GET signs nobody in");
        let head = scanner.send(Ask::new("HEAD", &server.login_link)).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    let without = scanner.send(Ask::post(&server.login_link)).await;
    assert_eq!(without.status, 403, "the button's form is protected as well");
    let client = Client::new(server.address);
    let before = client.get(&server.login_link).await;
    let answer = client.send(Ask::post(&server.login_link).form(&[("csrf_token", &before.csrf())])).await;
    assert_eq!(answer.location(), "/");
    assert_eq!(client.get("/operations").await.status, 200);
    // Used up: for GET and for POST.
    let late = Client::new(server.address);
    let csrf = late.get("/login").await.csrf();
    let again = late.send(Ask::post(&server.login_link).form(&[("csrf_token", &csrf)])).await;
    assert!((400..500).contains(&again.status), "{}", again.status);
    assert_eq!(late.get("/operations").await.status, 303);
}

#[tokio::test]
async fn made_up_links_open_nothing() {
    let server = Server::start().await;
    let client = Client::new(server.address);
    let csrf = client.get("/login").await.csrf();
    for secret in ["x", "%00", &"a".repeat(43), "..%2f.."] {
        let answer =
            client.send(Ask::post(&format!("/login/link/{secret}")).form(&[("csrf_token", &csrf)])).await;
        assert!((400..500).contains(&answer.status), "{secret}: {}", answer.status);
        assert_eq!(client.cookie("liveops_session"), None, "{secret}");
    }
}

#[tokio::test]
async fn every_start_prints_a_new_link_for_the_same_user() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "0")]).await;
    client.finished(&id).await;
    let old = server.login_link.clone();
    let server = server.kill_and_restart().await;
    assert_ne!(server.login_link, old);
    assert_eq!(client.page(&id).await.state, "succeeded", "sessions outlive the process");
    let again = server.demo_user().await;
    assert_eq!(again.page(&id).await.state, "succeeded", "the same user");
}

#[tokio::test]
async fn the_session_cookie_is_for_the_server_alone() {
    let server = Server::start().await;
    server.user("alice").await;
    let client = Client::new(server.address);
    let csrf = client.get("/login").await.csrf();
    let fields = [("csrf_token", csrf.as_str()), ("username", "alice"), ("password", "alice password")];
    let answer = client.send(Ask::post("/login").form(&fields)).await;
    assert_eq!(answer.location(), "/");
    let cookies = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("ASCII"));
    let cookie =
        cookies.into_iter().find(|cookie| cookie.starts_with("liveops_session=")).expect("a session");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("Domain"), "{cookie}");
    let first = client.cookie("liveops_session");
    assert_eq!(client.log_in("alice", "alice password").await.status, 303);
    assert_ne!(client.cookie("liveops_session"), first, "the id changes at login");
}

#[tokio::test]
async fn a_wrong_password_says_no_more_than_that() {
    let server = Server::start().await;
    server.user("alice").await;
    let client = Client::new(server.address);
    let wrong = client.log_in("alice", "not it").await;
    let unknown = client.log_in("alicf", "not it").await;
    assert_eq!((wrong.status, unknown.status), (422, 422));
    let strip = |answer: &crate::harness::Answer, name: &str| {
        answer.text().replace(&answer.csrf(), "").replace(name, "")
    };
    assert_eq!(strip(&wrong, "alice"), strip(&unknown, "alicf"), "whether the name exists is not told");
    assert!(wrong.text().contains("value=\"alice\""), "the name is kept: {}", wrong.text());
    assert!(!wrong.text().contains("not it"), "the password is not");
    assert_eq!(client.cookie("liveops_session"), None);
    let hostile = client.log_in("\"><img src=x onerror=alert(1)>", "x").await;
    assert_eq!(hostile.status, 422);
    assert!(!hostile.text().contains("<img"), "{}", hostile.text());
}

#[tokio::test]
async fn after_login_only_this_site_is_next() {
    let server = Server::start().await;
    server.user("alice").await;
    for (next, leads_to) in [
        ("/operations?page=1", "/operations?page=1"),
        ("/%41/ä b?c=\"<>&d", "/%41/%C3%A4%20b?c=%22%3C%3E&d"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("evil.example", "/"),
    ] {
        let client = Client::new(server.address);
        let csrf = client.get("/login").await.csrf();
        let fields = [
            ("csrf_token", csrf.as_str()),
            ("username", "alice"),
            ("password", "alice password"),
            ("next", next),
        ];
        let answer = client.send(Ask::post("/login").form(&fields)).await;
        assert_eq!(answer.location(), leads_to, "{next:?}");
        assert!(
            answer
                .headers
                .get_all("set-cookie")
                .iter()
                .all(|value| !value.to_str().expect("ASCII").contains("x=y"))
        );
    }
    let page = Client::new(server.address).get("/login?next=%2Foperations").await.text();
    assert!(
        page.contains("name=\"next\" value=\"/operations\"") || page.contains("value=\"&#x2f;operations\""),
        "{page}"
    );
}

#[tokio::test]
async fn a_name_is_taken_once_and_a_password_is_needed() {
    let server = Server::start().await;
    server.user("alice").await;
    let add = |name: &str, input: &str| {
        let mut command = liveops(server.folder());
        command.args(["user", "add", name, "--password-stdin"]);
        finish(command, input)
    };
    let output = add("alice", "other password\n");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("alice"), "{output:?}");
    assert!(!add("carol", "").status.success(), "an empty password");
    let client = Client::new(server.address);
    assert_eq!(client.log_in("alice", "other password").await.status, 422, "the first password stays");
    assert_eq!(client.log_in("alice", "alice password").await.status, 303);
}

#[tokio::test]
async fn under_https_the_cookies_are_secure_and_of_this_host_only() {
    let server = Server::with(&[("public_url", "https://ops.example.com")]).await;
    server.user("alice").await;
    let client = Client::new(server.address);
    let form = client.get("/login").await;
    let fields =
        [("csrf_token", &*form.csrf()), ("username", "alice"), ("password", "alice password"), ("next", "")];
    let ask = Ask::post("/login").form(&fields).header("origin", "https://ops.example.com");
    let signed_in = client.send(ask).await;
    assert_eq!(signed_in.location(), "/");
    assert_eq!(client.get("/operations").await.status, 200);
    let session = client.cookie("__Host-liveops_session").expect("a session");
    let signed_out = client.log_out().await;
    assert_eq!(signed_out.status, 303);
    assert_eq!(client.cookie("__Host-liveops_session"), None, "the browser forgets it");
    let mut names = Vec::new();
    for answer in [&form, &signed_in, &signed_out] {
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII");
            // What browsers demand of the prefix.
            assert!(cookie.starts_with("__Host-") && !cookie.contains("Domain"), "{cookie}");
            for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Secure"] {
                assert!(cookie.split("; ").any(|part| part == attribute), "{attribute} in {cookie}");
            }
            names.extend(cookie.split('=').next().map(str::to_owned));
        }
    }
    let session_name = "__Host-liveops_session";
    assert_eq!(names, ["__Host-liveops_login", session_name, session_name]);
    // The name without the prefix, which any neighbour could set, means nothing.
    client.set_cookie("liveops_session", &session);
    assert_eq!(client.get("/operations").await.status, 303);
}

#[tokio::test]
async fn a_session_that_somebody_planted_is_not_the_one_that_signs_in() {
    let server = Server::start().await;
    let mallory = server.user("mallory").await;
    server.user("alice").await;
    let hers = mallory.cookie("liveops_session").expect("signed in");
    for planted in [hers.as_str(), &"a".repeat(43)] {
        let victim = Client::new(server.address);
        victim.set_cookie("liveops_session", planted);
        assert_eq!(victim.log_in("alice", "alice password").await.status, 303);
        let session = victim.cookie("liveops_session").expect("signed in");
        assert_ne!(session, planted);
        assert!(victim.get("/operations").await.text().contains("alice"));
        let attacker = Client::new(server.address);
        attacker.set_cookie("liveops_session", planted);
        assert_eq!(attacker.get("/operations").await.status, 303, "the browser's old session is over");
    }
    // The link's button does the same.
    let victim = server.user("bob").await;
    let old = victim.cookie("liveops_session").expect("signed in");
    victim.use_link(&server.login_link).await;
    assert_ne!(victim.cookie("liveops_session").as_deref(), Some(&*old));
    let attacker = Client::new(server.address);
    attacker.set_cookie("liveops_session", &old);
    assert_eq!(attacker.get("/operations").await.status, 303);
}

/// Browsers guard names as they are spelt, so nobody else's spelling counts; and of two cookies of one name nothing tells
/// which is whose.
#[tokio::test]
async fn a_cookie_that_a_neighbour_set_is_nobody() {
    let server = Server::with(&[("public_url", "https://ops.example.com")]).await;
    let session =
        async |name: &str| server.user(name).await.cookie("__Host-liveops_session").expect("a session");
    let (ada, eve) = (session("ada").await, session("eve").await);
    let hers = format!("__Host-liveops_session={ada}");
    let client = Client::new(server.address);
    let list = async |cookies: &str| client.send(Ask::get("/operations").header("cookie", cookies)).await;
    for name in ["__%48ost-liveops_session", "\u{2003}__Host-liveops_session", "\u{85}__Host-liveops_session"]
    {
        for theirs in
            [format!("{hers}; {name}={eve}"), format!("{name}={eve}; {hers}"), format!("{hers}; {name}=x")]
        {
            let page = list(&theirs).await.text();
            assert!(page.contains("ada") && !page.contains("eve"), "{theirs}");
        }
        assert_eq!(list(&format!("{name}={eve}")).await.status, 303, "{name}");
    }
    assert_eq!(list(&format!("{hers}; __Host-liveops_session={eve}")).await.status, 303);
    // Nor does a form that somebody else got sign anybody in.
    let form = client.get("/login").await;
    let visit = client.cookie("__Host-liveops_login").expect("a visit");
    let fields = [("csrf_token", &*form.csrf()), ("username", "eve"), ("password", "eve password")];
    let ask = Ask::post("/login").form(&fields).header("origin", "https://ops.example.com");
    let tossed = format!("__Host-liveops_login=another; __%48ost-liveops_login={visit}");
    assert_eq!(client.send(ask.header("cookie", &tossed)).await.status, 403);
}

#[tokio::test]
async fn signing_in_leads_to_a_page_and_never_to_a_command() {
    let server = Server::start().await;
    server.user("ada").await;
    let nobody = Client::new(server.address);
    assert_eq!(nobody.send(Ask::post("/logout")).await.location(), "/login", "who is out already");
    for next in ["/logout", "/logout/", "/logout?x", "/login", "/login?next=%2Foperations", "/logout#x"] {
        let page = nobody.get(&format!("/login?next={}", next.replace('#', "%23"))).await;
        let form = [
            ("csrf_token", page.csrf()),
            ("username", "ada".into()),
            ("password", "ada password".into()),
            ("next", next.to_owned()),
        ];
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = nobody.send(Ask::post("/login").form(&form)).await;
        assert_eq!((answer.status, answer.location()), (303, "/"), "{next}");
        assert!(!page.text().contains("logout"), "{next}");
    }
}

#[tokio::test]
async fn sessions_last_as_long_as_the_settings_say() {
    let server = Server::with(&[("session_hours", "48"), ("session_idle_hours", "24")]).await;
    server.user("ada").await;
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    database.busy_timeout(Duration::from_secs(30)).expect("a setting");
    let hours = |hours: i64| hours * 3_600_000_000;
    for (used, expires, status) in [
        (hours(-23), hours(25), 200),
        (hours(-25), hours(23), 303),
        (hours(-1), hours(1), 200),
        (hours(-1), -1, 303),
        (hours(-1), hours(47), 200),
    ] {
        // Each in a session of its own: the use of one is noted beside the answer, and may come later.
        database.execute("DELETE FROM liveops_sessions", []).expect("no session");
        let client = Client::new(server.address);
        assert_eq!(client.log_in("ada", "ada password").await.status, 303);
        let read = "SELECT expires - used, used FROM liveops_sessions";
        let (life, begin): (i64, i64) =
            database.query_row(read, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a session");
        // Both times are of the same request.
        assert!((hours(48) - 10_000_000..=hours(48)).contains(&life), "{life}");
        let sql = "UPDATE liveops_sessions SET used = ?1, expires = ?2";
        database.execute(sql, [begin + used, begin + expires]).expect("changed");
        assert_eq!(client.get("/operations").await.status, status, "{used} {expires}");
    }
}

//! `required_group`: who is not in it sees nothing of operations.

use crate::harness::{Answer, Ask, Client, SLOW, Server};

const UNKNOWN: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

fn assert_outside(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {}", answer.text());
}

#[tokio::test]
async fn outside_the_group_everything_about_operations_is_403() {
    let server = Server::with(&[("required_group", "staff")]).await;
    let member = server.user_with("ada", &["--group", "staff"]).await;
    let id = member.simulate(SLOW).await;
    let token = member.page(&id).await.token.expect("just started");
    // Near misses.
    let outsider = server.user_with("eve", &["--group", "Staff", "--group", "staff2"]).await;
    let mut paths =
        vec!["/", "/operations", "/operations?page=2"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    paths.extend(["simulate", "unknown"].map(|kind| format!("/operations/new/{kind}")));
    for id in [id.as_str(), UNKNOWN, "no-uuid"] {
        paths.extend(["", "/log", "/cancel", "/restart"].map(|what| format!("/operations/{id}{what}")));
    }
    paths.push(format!("/stream?token={token}"));
    paths.push("/stream".to_owned());
    let csrf = outsider.get("/operations").await.csrf();
    for path in &paths {
        // Before the method, existence, CSRF and whatever else may be wrong.
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let what = format!("{method} {path}");
            assert_outside(&outsider.send(Ask::new(method, path)).await, &what);
            let by_shim = Ask::new(method, path).header("x-liveops", "1").header("x-csrf-token", &csrf);
            assert_outside(&outsider.send(by_shim).await, &what);
        }
        let post = outsider.send(Ask::post(path).form(&[("csrf_token", &csrf)])).await;
        assert_outside(&post, path);
        // The session comes first.
        let status = Client::new(server.address).get(path).await.status;
        assert!(status == 303 || status == 401, "{path}: {status}");
    }
    assert_eq!(member.page(&id).await.state, "running", "nothing was done to it");
}

#[tokio::test]
async fn the_403_page_says_whom_to_ask_and_lets_people_out() {
    let server = Server::with(&[("required_group", "staff")]).await;
    let outsider = server.user("eve").await;
    let page = outsider.get("/").await;
    assert_outside(&page, "/");
    assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
    let html = page.text();
    assert!(html.contains("staff") && html.contains("Ask whoever runs this server"), "{html}");
    assert!(html.contains("action=\"/logout\""), "{html}");
    assert!(!html.contains("href=\"/operations\""), "it leads nowhere that is closed: {html}");
    // What is not about operations is open, and so is the way out.
    assert_eq!(outsider.get("/login").await.status, 200);
    assert_eq!(outsider.get("/healthz").await.status, 200);
    assert_eq!(outsider.get("/readyz").await.status, 200);
    let css = html.split("href=\"/assets/").nth(1).and_then(|rest| rest.split('"').next()).expect("a sheet");
    assert_eq!(outsider.get(&format!("/assets/{css}")).await.status, 200);
    let out = outsider.send(Ask::post("/logout").form(&[("csrf_token", &page.csrf())])).await;
    assert_eq!(out.location(), "/login");
    assert_eq!(outsider.get("/").await.status, 303);
}

#[tokio::test]
async fn members_and_superusers_pass() {
    let server = Server::with(&[("required_group", "the staff")]).await;
    let member = server.user_with("ada", &["--group", "x", "--group", "the staff"]).await;
    let root = server.user_with("root", &["--superuser"]).await;
    let hers = member.simulate(&[("steps", "0")]).await;
    for client in [&member, &root] {
        assert_eq!(client.get("/").await.status, 200);
        let id = client.simulate(&[("steps", "0")]).await;
        assert_eq!(client.finished(&id).await.state, "succeeded");
    }
    assert_eq!(root.get(&format!("/operations/{hers}")).await.status, 404, "nobody else's, all the same");
    // The demo's own user is in no group.
    assert_eq!(server.demo_user().await.get("/").await.status, 403);
}

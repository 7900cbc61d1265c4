//! The example of an application that embeds the library, over TCP.

use std::time::Duration;

#[expect(dead_code, reason = "the test serves it by itself")]
#[path = "../examples/embed.rs"]
mod embed;

/// What stands between `before` and the next quotation mark.
fn after(html: &str, before: &str) -> String {
    let rest = html.split_once(before).unwrap_or_else(|| panic!("no {before} in {html}")).1;
    rest.split('"').next().unwrap_or("").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_live_in_the_applications_own_page_until_its_sign_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = embed::app(&folder.path().join("app.db")).await.expect("it starts");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let site = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = reqwest::Client::builder().cookie_store(true).timeout(Duration::from_secs(30)).build();
    let client = client.expect("a client");
    let post = async |path: &str, body: String| {
        let request = client.post(format!("{site}{path}")).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.send().await.expect("an answer")
    };
    let home = post("/sign-in", "name=ada&password=lovelace".into()).await.text().await.expect("a page");
    let csrf = after(&home, "name=\"csrf\" value=\"");
    assert_eq!(post("/imports", "csrf=wrong&customers=a".into()).await.status(), 403);
    let start = async |customers: &str| {
        let answer = post("/imports", format!("csrf={csrf}&customers={customers}")).await;
        assert!(
            answer.headers()["content-security-policy"]
                .to_str()
                .is_ok_and(|text| text.contains("trusted-types liveops"))
        );
        answer.text().await.expect("a page")
    };
    let open = async |page: &str| {
        let (path, token) = (after(page, "data-liveop-stream=\""), after(page, "data-liveop-token=\""));
        client.get(format!("{site}{path}?token={token}")).send().await.expect("a stream")
    };
    let stream = open(&start(&"one%0A".repeat(50)).await).await.text().await.expect("its end");
    assert!(stream.contains("\"state\":\"succeeded\"") && stream.contains("one"), "{stream}");
    // Without scripts the state stands in the page, which refreshes itself.
    let page = start(&"two%0A".repeat(5000)).await;
    assert!(page.contains("http-equiv=\"refresh\"") && page.contains("<progress"), "{page}");
    let stream = open(&page).await;
    assert_eq!(stream.status(), 200);
    post("/sign-out", format!("csrf={csrf}")).await;
    stream.text().await.expect("the stream ended");
    server.abort();
}

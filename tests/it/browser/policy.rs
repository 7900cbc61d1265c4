//! Every page, under the policy that every answer has: nothing on it is stopped.

use super::{operation, simulate};
use crate::harness::{Chromium, Server};

/// Looks at a page once its shim had its say, with what the policy and the console said of it.
async fn assert_well(browser: &Chromium, what: &str) {
    browser.wait_until("document.readyState === 'complete'").await;
    let witness = browser.witness().await;
    let console = browser.console().await;
    // That a page has another status than 200 is no news here.
    let console: Vec<_> =
        console.iter().filter(|line| !line.contains("responded with a status of")).collect();
    assert!(witness.is_empty() && console.is_empty(), "{what}: {witness} {console:?}");
}

async fn assert_page_well(browser: &Chromium, path: &str) {
    browser.open(path).await;
    assert_well(browser, path).await;
}

#[tokio::test]
async fn no_page_does_what_the_policy_stops() {
    let mut server = Server::start().await;
    let browser = Chromium::launch(server.address).await;
    for path in ["/login", &server.login_link, "/login/link/x", "/healthz"] {
        assert_page_well(&browser, path).await;
    }
    browser.open("/login").await;
    browser.fill("username", "demo").await;
    browser.fill("password", "wrong").await;
    browser.press("Sign in").await;
    browser.wait_for("[role=alert]").await;
    assert_well(&browser, "a wrong password").await;
    browser.open(&server.login_link).await;
    browser.press("Sign in").await;
    browser.wait_for("a[href=\"/operations/new/simulate\"]").await;
    assert_well(&browser, "the catalogue").await;
    let forms = ["csv_import", "simulate", "quick", "failing", "chain", "redirect"];
    for path in forms.map(|kind| format!("/operations/new/{kind}")) {
        assert_page_well(&browser, &path).await;
    }
    browser.open("/operations/new/simulate").await;
    browser.fill("steps", "9999999").await;
    browser.run("document.querySelector('[name=steps]').form.noValidate = true").await;
    browser.press("Start").await;
    browser.wait_for("[aria-invalid=true]").await;
    assert_well(&browser, "a form with a bad field").await;

    // Live to each of its ends, and as a page that is loaded then.
    for (fields, state) in [
        (&[("outcome", "ok"), ("stages", "3")][..], "succeeded"),
        (&[("outcome", "error")], "failed"),
        (&[("outcome", "panic")], "failed"),
        (&[("chain", "1"), ("redirect", "")], "succeeded"),
    ] {
        let base = [("steps", "20"), ("delay_ms", "20"), ("log_every", "1"), ("message", "<b>bold</b>")];
        let id = simulate(&browser, &[&base, fields].concat()).await;
        browser.wait_for(&format!(".liveop[data-liveop-state=\"{state}\"]")).await;
        assert_well(&browser, &format!("{fields:?}, live")).await;
        assert_page_well(&browser, &format!("/operations/{id}")).await;
        assert_page_well(&browser, &format!("/operations/{id}/log")).await;
    }
    simulate(&browser, &[("steps", "1000"), ("delay_ms", "100")]).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    assert_well(&browser, "a cancelled one").await;
    let cut = simulate(&browser, &[("steps", "1000"), ("delay_ms", "100")]).await;
    for path in ["/operations", "/operations?state=failed", "/operations?page=2", "/nothing/here"] {
        assert_page_well(&browser, path).await;
    }
    server.kill();
    let _server = server.again().await;
    assert_page_well(&browser, &format!("/operations/{cut}")).await;
    browser.wait_for(".liveop[data-liveop-state=\"interrupted\"]").await;
    browser.press("Try again").await;
    assert_eq!(operation(&browser).await, cut);
    assert_well(&browser, "run again").await;

    // What would be stopped would have been seen.
    browser.open("/").await;
    browser
        .run("try { document.body.innerHTML = '<b>x</b>' } catch { document.body.append('stopped') }")
        .await;
    browser.run("const p = document.createElement('p'); p.setAttribute('style', 'color: red'); document.body.append(p)").await;
    browser.wait_until("(sessionStorage.getItem('witness') || '').includes('style-src')").await;
    let witness = browser.witness().await;
    assert!(witness.contains("policy: require-trusted-types-for"), "{witness}");
    assert!(!browser.console().await.is_empty(), "the console is listened to");
}

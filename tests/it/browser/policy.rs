//! Every page, under the policy that every answer has: nothing on it is stopped.

use super::look::assert_accessible;
use super::{operation, simulate};
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Ask, Chromium, Client, SLOW, Server, liveops, stand_still, until};
use crate::start::csv;

/// Looks at a page once its shim had its say, with what the policy and the console said of it.
async fn assert_well(browser: &Chromium, what: &str) {
    browser.wait_until("document.readyState === 'complete'").await;
    let witness = browser.witness().await;
    let console = browser.console().await;
    // That a page has another status than 200 is no news here.
    let console: Vec<_> =
        console.iter().filter(|line| !line.contains("responded with a status of")).collect();
    assert!(witness.is_empty() && console.is_empty(), "{what}: {witness} {console:?}");
    assert_accessible(browser, what).await;
}

async fn assert_page_well(browser: &Chromium, path: &str) {
    browser.open(path).await;
    assert_well(browser, path).await;
}

/// One whose process does not hear that it is to stop.
async fn assert_cancelling_well(browser: &Chromium, server: &Server) {
    let mut run = liveops(server.folder());
    run.args(["run", "simulate", "--field", "steps=10000", "--field", "delay_ms=100"]);
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the binary starts");
    browser.open("/operations").await;
    browser.wait_for("tr [data-state=\"running\"]").await;
    let row =
        browser.text("return document.querySelector('tr [data-state=\"running\"]').closest('tr').id").await;
    let id = row.trim_start_matches("op-").trim_end_matches("-row");
    stand_still(&run, server.folder()).await;
    assert_page_well(browser, &format!("/operations/{id}")).await;
    browser.press("Cancel").await;
    let client = browser.client(server).await;
    let asked = async || (client.page(id).await.state == "cancelling").then_some(());
    until("its being asked to stop", asked).await;
    assert_well(browser, "one that is asked to stop").await;
    assert_page_well(browser, &format!("/operations/{id}")).await;
    run.kill().expect("it is ours");
    run.wait().expect("it is ours");
}

/// The page for whoever guesses passwords.
async fn assert_throttled_well(browser: &Chromium, server: &Server) {
    let guesser = Client::new(server.address);
    let csrf = guesser.get("/login").await.csrf();
    for _ in 0..10 {
        let fields = [("csrf_token", csrf.as_str()), ("username", "nobody"), ("password", "wrong")];
        assert_eq!(guesser.send(Ask::post("/login").form(&fields)).await.status, 422);
    }
    browser.open("/login").await;
    browser.fill("username", "nobody").await;
    browser.fill("password", "wrong").await;
    browser.press("Sign in").await;
    browser.wait_until("document.body.textContent.includes('429')").await;
    assert_well(browser, "too many tries").await;
}

#[tokio::test]
async fn no_page_does_what_the_policy_stops() {
    let mut server = Server::with(&[("workers", "1"), ("max_upload_bytes", "100000")]).await;
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
    assert_throttled_well(&browser, &server).await;
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
    browser.open("/operations/new/quick").await;
    browser.run("document.querySelector('main [name=csrf_token]').value = 'foreign'").await;
    browser.press("Start").await;
    browser.wait_until("document.body.textContent.includes('403')").await;
    assert_well(&browser, "a form that is not the server's").await;
    for (rows, what) in [(100, "a[href$='/uploads/file']"), (10_000, "a[href='/operations/new/csv_import']")]
    {
        let file = server.folder().join("customers.csv");
        std::fs::write(&file, csv(rows)).expect("written");
        browser.open("/operations/new/csv_import").await;
        // As without scripts: the server sees it.
        browser.run("document.querySelector('[type=file]').removeAttribute('data-liveop-max-bytes')").await;
        browser.fill("file", file.to_str().expect("UTF-8")).await;
        browser.press("Start").await;
        browser.wait_for(&format!("main {what}")).await;
        if rows == 100 {
            browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
            assert_well(&browser, "an import, live").await;
            let id = operation(&browser).await;
            assert_page_well(&browser, &format!("/operations/{id}")).await;
        } else {
            browser.wait_until("document.body.textContent.includes('413')").await;
            assert_well(&browser, "a file that is too large").await;
        }
    }

    // Live to each of its ends, and as a page that is loaded then. Each waits behind another one until its page is there.
    let client = browser.client(&server).await;
    for (fields, state) in [
        (&[("outcome", "ok"), ("stages", "3")][..], "succeeded"),
        (&[("outcome", "error")], "failed"),
        (&[("outcome", "panic")], "failed"),
        (&[("chain", "1"), ("redirect", "")], "succeeded"),
    ] {
        let before = client.simulate(SLOW).await;
        let base = [("steps", "20"), ("delay_ms", "20"), ("log_every", "1"), ("message", "<b>bold</b>")];
        let id = simulate(&browser, &[&base, fields].concat()).await;
        client.command(&before, "cancel").await;
        if fields[0].0 == "chain" {
            browser.wait_for(".liveop-chain li:nth-child(2) [aria-current=\"page\"]").await;
        }
        browser.wait_for(&format!(".liveop[data-liveop-state=\"{state}\"]")).await;
        assert_well(&browser, &format!("{fields:?}, live")).await;
        assert_page_well(&browser, &format!("/operations/{id}")).await;
        assert_page_well(&browser, &format!("/operations/{id}/log")).await;
    }
    simulate(&browser, &[("steps", "1000"), ("delay_ms", "100")]).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    assert_well(&browser, "a cancelled one").await;
    assert_cancelling_well(&browser, &server).await;
    let cut = simulate(&browser, &[("steps", "10000"), ("delay_ms", "100")]).await;
    let waits = simulate(&browser, &[("steps", "1")]).await;
    browser.wait_for(".liveop[data-liveop-state=\"waiting\"]").await;
    assert_well(&browser, "one that waits").await;
    assert_page_well(&browser, &format!("/operations/{waits}")).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    assert_well(&browser, "one that waited").await;
    for path in ["/operations", "/operations?state=failed", "/operations?page=2", "/nothing/here"] {
        assert_page_well(&browser, path).await;
    }
    server.kill();
    let _server = server.again().await;
    assert_page_well(&browser, &format!("/operations/{cut}")).await;
    browser.wait_for(".liveop[data-liveop-state=\"interrupted\"]").await;
    browser.run("window.stillHere = true").await;
    browser.press("Try again").await;
    browser.wait_until("!window.stillHere").await;
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

/// Stands in for the stream, so that it says what our server never would.
const STREAM: &str = "
    window.EventSource = class extends EventTarget {
        constructor() { super(); window.stream = this; this.readyState = 1; }
        close() { this.readyState = 2; }
    };
";

/// Where a page has no policy, too: what is parsed loads and runs nothing before it is on the page, and what never comes there nothing at all.
#[tokio::test]
async fn what_a_stream_brings_does_nothing_while_it_is_parsed() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": STREAM })).await;
    browser.cdp("Page.setBypassCSP", &json!({ "enabled": true })).await;
    let id = simulate(&browser, &[("steps", "1000"), ("delay_ms", "100")]).await;
    browser.wait_until("window.stream").await;
    let say = async |swap: &str, html: &str| {
        let fragment = json!({ "id": format!("op-{id}-extra"), "swap": swap, "html": html }).to_string();
        let event = format!("new MessageEvent('fragment', {{ data: {} }})", json!(fragment));
        browser.run(&format!("window.stream.dispatchEvent({event})")).await;
    };
    let hostile = |name: &str| {
        format!(
            "<img src=\"/healthz?{name}\" onerror=\"alert('{name}')\"><script>alert('script, {name}')</script>"
        )
    };
    say("unknown", &hostile("parsed")).await;
    // What the server sends as HTML is trusted, so this one runs, but for its script.
    say("inner", &hostile("shown")).await;
    browser.wait_until("sessionStorage.getItem('witness')").await;
    assert_eq!(browser.witness().await, "alert: shown\n");
    let loaded = "return performance.getEntriesByType('resource').map(({ name }) => name.split('?')[1]).filter(Boolean).join()";
    assert!(!browser.text(loaded).await.contains("parsed"));
}

//! Pictures of every page and state, for the documentation: `scripts/screenshots` makes them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Ask, Chromium, Server, liveops, stand_still, until};
use crate::start::csv;

const SIZES: [(u32, &str); 2] = [(1000, ""), (320, "-narrow")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots")
}

async fn dress(browser: &Chromium, scheme: &str, width: u32, height: u64, scale: u32) {
    let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.cdp("Emulation.setEmulatedMedia", &media).await;
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": false });
    browser.cdp("Emulation.setDeviceMetricsOverride", &size).await;
}

/// The page as it is, into a file.
async fn take(browser: &Chromium, file: &str) {
    let picture = browser.cdp("Page.captureScreenshot", &json!({ "format": "png" })).await;
    let Value::String(data) = &picture["data"] else { panic!("no picture: {picture}") };
    std::fs::write(folder().join(file), STANDARD.decode(data).expect("base64")).expect("it is written");
}

/// Takes the page as it is now, in light and in dark, wide and narrow, as high as it is.
async fn shoot(browser: &Chromium, name: &str) {
    browser.cdp("Emulation.setScrollbarsHidden", &json!({ "hidden": true })).await;
    for (width, suffix) in SIZES {
        for scheme in ["light", "dark"] {
            dress(browser, scheme, width, 600, 1).await;
            let height = browser.run("return document.documentElement.scrollHeight").await;
            // A long list or log goes on as it begins.
            dress(browser, scheme, width, height.as_u64().expect("a height").min(1600), 1).await;
            take(browser, &format!("{name}{suffix}-{scheme}.png")).await;
        }
    }
    browser.cdp("Emulation.clearDeviceMetricsOverride", &json!({})).await;
}

/// A page that moves, as the pictures of a film.
async fn film(browser: &Chromium, scheme: &str, frames: u32) {
    for frame in 0..frames {
        dress(browser, scheme, 1000, 800, 1).await;
        take(browser, &format!("film-{scheme}-{frame:03}.png")).await;
        let seen = browser.text("return document.querySelector('.liveop-facts').textContent").await;
        let seen = json!(seen);
        browser.wait_until(&format!("document.querySelector('.liveop-facts').textContent !== {seen}")).await;
    }
}

async fn simulate(browser: &Chromium, fields: &[(&str, &str)]) -> String {
    browser.open("/operations/new/simulate").await;
    for (name, value) in fields {
        browser.fill(name, value).await;
    }
    browser.press("Start").await;
    browser.wait_for("section.liveop").await;
    browser.text("return location.pathname").await
}

async fn import(browser: &Chromium, server: &Server, name: &str, content: &[u8]) {
    let file = server.folder().join(name);
    std::fs::write(&file, content).expect("written");
    browser.open("/operations/new/csv_import").await;
    browser.fill("file", file.to_str().expect("UTF-8")).await;
    browser.press("Start").await;
}

async fn in_state(browser: &Chromium, state: &str) {
    browser.wait_for(&format!(".liveop[data-liveop-state=\"{state}\"]")).await;
}

async fn cancel(browser: &Chromium, server: &Server, page: &str) {
    let client = browser.client(server).await;
    let csrf = client.get(page).await.csrf();
    client.send(Ask::post(&format!("{page}/cancel")).form(&[("csrf_token", &csrf)])).await;
}

/// One that does not hear that it is to stop.
async fn shoot_cancelling(browser: &Chromium, server: &Server) {
    let mut run = liveops(server.folder());
    run.args([
        "run",
        "simulate",
        "--field",
        "steps=400",
        "--field",
        "delay_ms=20",
        "--field",
        "log_every=20",
    ]);
    run.args(["--field", "message=Sending letters", "--field", "stages=3"]);
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the binary starts");
    browser.open("/operations").await;
    browser.wait_for("tr [data-state=\"running\"]").await;
    browser
        .run("document.querySelector('tr [data-state=\"running\"]').closest('tr').querySelector('a').click()")
        .await;
    browser.wait_until("parseInt(document.querySelector('.liveop-percent strong')?.textContent) >= 42").await;
    stand_still(&run, server.folder()).await;
    browser.press("Cancel").await;
    // It can't say so itself.
    let page = browser.text("return location.pathname").await;
    let client = browser.client(server).await;
    let id = page.rsplit('/').next().expect("an id");
    let asked = async || (client.page(id).await.state == "cancelling").then_some(());
    until("its being asked to stop", asked).await;
    // Its stream is of that process, too.
    browser.cdp("Network.enable", &json!({})).await;
    browser.cdp("Network.setBlockedURLs", &json!({ "urls": ["*/stream?*"] })).await;
    browser.open(&page).await;
    in_state(browser, "cancelling").await;
    browser.run("document.querySelector('.liveop-connection').hidden = true").await;
    shoot(browser, "cancelling").await;
    browser.cdp("Network.setBlockedURLs", &json!({ "urls": [] })).await;
    run.kill().expect("it is ours");
    run.wait().expect("it is ours");
}

#[tokio::test]
#[ignore = "makes the pictures of the documentation"]
async fn of_every_page() {
    std::fs::create_dir_all(folder()).expect("a folder");
    let mut server = Server::with(&[("workers", "2")]).await;
    let browser = Chromium::signed_in(&server).await;
    let quiet = Chromium::launch(server.address).await;
    for cookie in browser.page.get_all_cookies().await.expect("cookies") {
        quiet.open("/login").await;
        quiet.page.add_cookie(cookie).await.expect("a cookie");
    }
    let work = [("message", "Importing customers"), ("stages", "3"), ("log_every", "25")];
    let with = |more: &[(&'static str, &'static str)]| [&work[..], more].concat();

    browser.open("/operations").await;
    shoot(&browser, "list-empty").await;
    let mut rows = csv(2000);
    rows.extend_from_slice(&b"1,2\n".repeat(19));
    import(&browser, &server, "customers-2026.csv", &rows).await;
    in_state(&browser, "succeeded").await;
    shoot(&browser, "succeeded").await;
    import(&browser, &server, "orders.csv", &[0, 159, 146, 150, 0, 1, 2, 3]).await;
    in_state(&browser, "failed").await;
    shoot(&browser, "failed").await;
    simulate(&browser, &with(&[("steps", "1000"), ("delay_ms", "10"), ("message", "Sending letters")])).await;
    browser.wait_until("parseInt(document.querySelector('.liveop-percent strong')?.textContent) >= 12").await;
    browser.press("Cancel").await;
    in_state(&browser, "cancelled").await;
    shoot(&browser, "cancelled").await;
    shoot_cancelling(&browser, &server).await;
    simulate(&browser, &[("message", "Nightly backup"), ("steps", "60"), ("delay_ms", "30"), ("chain", "2")])
        .await;
    browser.wait_for(".liveop-chain li:nth-child(2) [aria-current]").await;
    browser.wait_for(".liveop-bar[value]").await;
    shoot(&browser, "chain").await;
    in_state(&browser, "succeeded").await;

    browser.open("/").await;
    shoot(&browser, "catalogue").await;
    browser.open("/operations/new/simulate").await;
    shoot(&browser, "form").await;
    browser.open("/operations/new/csv_import").await;
    shoot(&browser, "form-file").await;
    browser.open("/operations/new/simulate").await;
    browser.fill("steps", "9999999").await;
    browser.run("document.querySelector('[name=steps]').form.noValidate = true").await;
    browser.press("Start").await;
    browser.wait_for("[aria-invalid=true]").await;
    shoot(&browser, "form-wrong").await;
    browser.open("/nothing/here").await;
    shoot(&browser, "error").await;

    // One that says nothing for a while, one that runs, and one for which no worker is free.
    let calm =
        simulate(&quiet, &[("message", "Rebuilding the index"), ("steps", "2"), ("delay_ms", "60000")]).await;
    let runs = simulate(&browser, &with(&[("steps", "2400"), ("delay_ms", "25")])).await;
    let waits = simulate(&browser, &with(&[("steps", "9"), ("message", "Nightly backup")])).await;
    browser.wait_for(".liveop-before").await;
    shoot(&browser, "waiting").await;
    browser.open(&runs).await;
    browser.wait_until("parseInt(document.querySelector('.liveop-percent strong')?.textContent) >= 41").await;
    shoot(&browser, "running").await;
    for scheme in ["light", "dark"] {
        film(&browser, scheme, 24).await;
    }
    browser.open("/operations").await;
    shoot(&browser, "list").await;
    browser.open("/operations?state=failed").await;
    shoot(&browser, "list-filtered").await;
    quiet.wait_until("document.querySelector('.liveop-note').textContent.includes('No news')").await;
    shoot(&quiet, "quiet").await;

    cancel(&browser, &server, &waits).await;
    cancel(&browser, &server, &calm).await;
    let last = simulate(&browser, &with(&[("steps", "4000"), ("delay_ms", "10")])).await;
    browser.wait_until("parseInt(document.querySelector('.liveop-percent strong')?.textContent) >= 30").await;
    server.kill();
    browser.wait_for(".liveop-connection[data-kind=lost]").await;
    shoot(&browser, "lost").await;
    let server = server.again().await;
    browser.open(&last).await;
    in_state(&browser, "interrupted").await;
    shoot(&browser, "interrupted").await;
    browser.page.delete_all_cookies().await.expect("cookies");
    browser.open("/login").await;
    shoot(&browser, "login").await;
    browser.open(&server.login_link).await;
    shoot(&browser, "login-link").await;
    drop(server);
}

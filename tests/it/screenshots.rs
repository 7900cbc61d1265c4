//! Pictures of the pages, for the documentation: `scripts/screenshots` makes them.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Chromium, Server};

const WIDE: u32 = 1000;
const NARROW: u32 = 320;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots")
}

/// Takes the page as it is now, in light and in dark, as high as it is.
async fn shoot(browser: &Chromium, name: &str, width: u32) {
    browser.cdp("Emulation.setScrollbarsHidden", &json!({ "hidden": true })).await;
    for scheme in ["light", "dark"] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.cdp("Emulation.setEmulatedMedia", &media).await;
        let size = |height: u64| json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.cdp("Emulation.setDeviceMetricsOverride", &size(600)).await;
        let height =
            browser.run("return document.documentElement.scrollHeight").await.as_u64().expect("a height");
        browser.cdp("Emulation.setDeviceMetricsOverride", &size(height)).await;
        let picture = browser.cdp("Page.captureScreenshot", &json!({ "format": "png" })).await;
        let Value::String(data) = &picture["data"] else { panic!("no picture: {picture}") };
        let bytes = STANDARD.decode(data).expect("base64");
        let size = if width == NARROW { "-narrow" } else { "" };
        std::fs::write(folder().join(format!("{name}{size}-{scheme}.png")), bytes).expect("it is written");
    }
}

async fn simulate(browser: &Chromium, fields: &[(&str, &str)]) {
    browser.open("/operations/new/simulate").await;
    for (name, value) in fields {
        browser.fill(name, value).await;
    }
    browser.press("Start").await;
    browser.wait_for("section.liveop").await;
}

#[tokio::test]
#[ignore = "makes the pictures of the documentation"]
async fn of_every_page() {
    std::fs::create_dir_all(folder()).expect("a folder");
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let work = [("message", "Importing customers"), ("stages", "3"), ("log_every", "25")];
    let with = |more: &[(&'static str, &'static str)]| [&work[..], more].concat();
    for width in [WIDE, NARROW] {
        browser.open("/").await;
        shoot(&browser, "catalogue", width).await;
        browser.open("/operations/new/csv_import").await;
        shoot(&browser, "form", width).await;

        simulate(&browser, &with(&[("steps", "500"), ("delay_ms", "0")])).await;
        browser.wait_until("document.querySelector('[data-liveop-state=succeeded]')").await;
        shoot(&browser, "succeeded", width).await;
        simulate(&browser, &with(&[("steps", "120"), ("delay_ms", "0"), ("outcome", "error")])).await;
        browser.wait_until("document.querySelector('[data-liveop-state=failed]')").await;
        shoot(&browser, "failed", width).await;

        simulate(&browser, &with(&[("steps", "1000"), ("delay_ms", "10")])).await;
        // Some way into the second stage.
        browser
            .wait_until("parseInt(document.querySelector('.liveop-percent strong')?.textContent) >= 42")
            .await;
        shoot(&browser, "running", width).await;
        browser.open("/operations").await;
        shoot(&browser, "list", width).await;
    }
    browser.open("/operations/00000000-0000-4000-8000-000000000000").await;
    shoot(&browser, "not-found", WIDE).await;
    browser.page.delete_all_cookies().await.expect("cookies");
    browser.open("/login").await;
    shoot(&browser, "login", WIDE).await;
}

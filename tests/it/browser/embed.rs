//! The example of an application that embeds the library, in a real browser.

use serde_json::json;

use crate::embed::Shop;
use crate::harness::Chromium;

/// At the application's own form, signed in by its own sign-in.
pub(super) async fn signed_in(shop: &Shop) -> Chromium {
    let browser = Chromium::launch(shop.address).await;
    browser.open("/").await;
    browser.fill("name", "ada").await;
    browser.fill("password", "lovelace").await;
    browser.press("Sign in").await;
    browser.wait_for("textarea").await;
    browser
}

/// Starts an import by the application's form, and waits for its page.
pub(super) async fn import(browser: &Chromium, customers: usize) {
    browser.run(&format!("document.querySelector('textarea').value = 'Grace\\n'.repeat({customers})")).await;
    browser.press("Import").await;
    browser.wait_for("main > section.liveop").await;
    let path = browser.text("return location.pathname").await;
    assert!(path.starts_with("/imports/"), "{path}");
}

/// What a page that is still the same one says.
async fn assert_not_reloaded(browser: &Chromium) {
    assert_eq!(browser.text("return window.stillHere").await, "since the start");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_moves_to_its_end_in_the_applications_own_page() {
    let shop = Shop::open().await;
    let browser = signed_in(&shop).await;
    import(&browser, 200).await;
    browser.run("window.stillHere = 'since the start'").await;
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    assert_not_reloaded(&browser).await;
    let result = browser.text("return document.querySelector('.liveop-result').textContent").await;
    assert!(result.contains("customers") && result.contains("200"), "{result}");
    browser.assert_clean().await;
    browser.assert_silent().await;
    // One that goes on for longer than the test waits, stopped on the way; and once more.
    browser.open("/").await;
    import(&browser, 5000).await;
    browser.wait_until("/^\\d+ %/.test(document.title)").await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    browser.press("Run again").await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    browser.assert_clean().await;
    browser.assert_silent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_elsewhere_ends_the_page() {
    let shop = Shop::open().await;
    let browser = signed_in(&shop).await;
    // It goes on for longer than the test waits.
    import(&browser, 5000).await;
    browser.run("window.stillHere = 'since the start'").await;
    browser.wait_until("document.querySelectorAll('.liveop-log-lines > *').length > 20").await;
    browser.assert_silent().await;
    // As another tab would do it.
    browser.run("fetch('/sign-out', { method: 'POST', body: new URLSearchParams(new FormData(document.querySelector('header form'))) })").await;
    browser
        .wait_until("document.querySelector('.liveop-connection').textContent.includes('signed out')")
        .await;
    assert_not_reloaded(&browser).await;
    browser.wait_for(".liveop-connection a").await.click().await.expect("followed");
    browser.wait_for("[name=\"password\"]").await;
    browser.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_the_applications_page_refreshes_itself() {
    let shop = Shop::open().await;
    let browser = signed_in(&shop).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": true })).await;
    browser.open("/").await;
    import(&browser, 100).await;
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    browser.open("/").await;
    import(&browser, 5000).await;
    browser.wait_for(".liveop[data-liveop-state=\"running\"]").await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_dark_where_the_page_around_it_is() {
    let shop = Shop::open().await;
    let browser = signed_in(&shop).await;
    import(&browser, 1).await;
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.cdp("Emulation.setEmulatedMedia", &dark).await;
    let is_bright = async |of_page: &str| {
        browser.run(&format!("document.documentElement.style.colorScheme = '{of_page}'")).await;
        browser
            .run("return getComputedStyle(document.querySelector('h1')).color.match(/\\d+/)[0] > 128")
            .await
    };
    assert_eq!(
        is_bright("light").await,
        false,
        "dark letters on a light page, whatever the reader likes elsewhere"
    );
    assert_eq!(is_bright("light dark").await, true, "the page leaves it to the reader");
    browser.assert_clean().await;
}

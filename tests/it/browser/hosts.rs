//! The example's pages of htmx and of Datastar, in a real browser.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::another_line;
use crate::harness::Chromium;
use crate::hosts::{Host, Library};

const GREETING: &str = "\"><img src=x onerror=alert(1)><b>hi</b>";

/// Looks after each change whether an id is there twice, a line is missing, or the log became longer than its tail.
const LOOK: &str = "
    window.stillHere = 'since the start';
    window.wrong = new Set();
    const look = () => {
        const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
        if (new Set(ids).size !== ids.length) window.wrong.add(`twice: ${ids.filter((id, at) => ids.indexOf(id) !== at)}`);
        const lines = [...document.querySelectorAll('.liveop-line')].map((line) => Number(line.id.match(/\\d+$/)[0]));
        if (lines.some((line, at) => at && line !== lines[at - 1] + 1)) window.wrong.add(`lines: ${lines}`);
        if (lines.length > 50) window.wrong.add(`${lines.length} lines`);
    };
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
";

async fn count(browser: &Chromium, to: &str) {
    browser.open("/").await;
    browser.fill("to", to).await;
    browser.fill("greeting", GREETING).await;
    browser.press("Start").await;
    browser.wait_for("#live .liveop").await;
    browser.run(LOOK).await;
}

/// Follows one to its end, and another over a cut, after which its token is too old, until it is stopped.
async fn assert_followed(library: Library, scripts: &[PathBuf]) {
    let host = Host::open(library, scripts, Duration::from_secs(600)).await;
    let browser = Chromium::launch(host.address).await;
    count(&browser, "80").await;
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    let result = browser.text("return document.querySelector('.liveop-result').textContent").await;
    assert!(result.contains("counted") && result.contains("80"), "{result}");
    let last = browser.text("return document.querySelector('.liveop-line:last-child bdi').textContent").await;
    assert_eq!(last, format!("{GREETING} 80"));
    assert_eq!(browser.run("return document.querySelectorAll('.liveop-line').length").await, 50);
    assert_eq!(browser.run("return document.querySelectorAll('#live :is(img, b)').length").await, 0);
    assert_unbroken(&browser).await;
    browser.assert_silent().await;

    // Where a page comes slowly its first token may be too old, which the console tells.
    let host = Host::open(library, scripts, Duration::from_secs(2)).await;
    let browser = Chromium::launch(host.address).await;
    count(&browser, "10000").await;
    browser.wait_until("/\\d+$/.exec(document.querySelector('.liveop-line:last-child').id)[0] >= 120").await;
    let first = "return document.querySelector('#live .liveop').dataset.liveopToken";
    let first = browser.text(first).await;
    host.live.end_streams("hers");
    browser
        .wait_until(&format!("document.querySelector('#live .liveop').dataset.liveopToken !== '{first}'"))
        .await;
    another_line(&browser, "document.querySelector('.liveop-log-lines')").await;
    assert_unbroken(&browser).await;
    let is_shared =
        browser.run("return document.querySelector('#live [name=csrf_token]').value === ''").await;
    assert_eq!(is_shared, true, "the form came by the stream");
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    browser.assert_clean().await;
}

async fn assert_unbroken(browser: &Chromium) {
    assert_eq!(browser.text("return [...window.wrong].join()").await, "");
    assert_eq!(browser.text("return window.stillHere").await, "since the start");
    browser.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_htmx_goes_on_to_the_end() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/node_modules");
    let scripts = ["htmx.org/dist/htmx.min.js", "htmx-ext-sse/dist/sse.min.js"];
    assert_followed(Library::Htmx, &scripts.map(|script| packages.join(script))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "Datastar 1 is in no package registry: name its file in DATASTAR"]
async fn a_page_of_datastar_goes_on_to_the_end() {
    let script = std::env::var_os("DATASTAR").expect("DATASTAR names the file of Datastar 1");
    assert_followed(Library::Datastar, &[script.into()]).await;
}

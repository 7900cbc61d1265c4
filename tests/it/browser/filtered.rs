//! A list under a filter, while what is in it changes.

use super::list::{NEWS, SHOWN, live, row, row_id};
use super::look::assert_accessible;
use crate::harness::{Chromium, SLOW, Server};

#[tokio::test]
async fn a_filtered_list_says_what_no_longer_matches() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let (first, second) = (client.simulate(SLOW).await, client.simulate(SLOW).await);
    for id in [&first, &second] {
        client.reaches(id, "running").await;
    }
    browser.open("/operations?state=running").await;
    live(&browser).await;
    let places = "return [...document.querySelectorAll('.site-filter, .site-table, .liveop-row')]
        .map((e) => JSON.stringify(e.getBoundingClientRect())).join()";
    let past = "return [...document.querySelectorAll('.liveop-row[data-past]')].map((e) => e.id).join(' ')";
    let (before, both) = (browser.text(places).await, browser.text(SHOWN).await);
    assert_eq!((browser.text(NEWS).await, browser.text(past).await), (String::new(), String::new()));
    // Whatever is said aloud from here on.
    browser
        .run(
            "window.aloud = [];
             const status = document.getElementById('liveop-status');
             new MutationObserver(() => window.aloud.push(status.textContent)).observe(status, { childList: true, characterData: true, subtree: true })",
        )
        .await;
    client.command(&first, "cancel").await;
    browser.wait_for(&row(&first, "cancelled")).await;
    browser.wait_until("window.aloud.includes('1 row no longer matches: reload')").await;
    assert_eq!(browser.text(NEWS).await, "1 row no longer matches: reload");
    assert_eq!(browser.text(past).await, row_id(&first));
    client.command(&second, "cancel").await;
    browser.wait_for(&row(&second, "cancelled")).await;
    browser.wait_until("document.querySelectorAll('.liveop-row[data-past]').length === 2").await;
    assert_eq!(browser.text(NEWS).await, "2 rows no longer match: reload");
    assert_eq!((browser.text(places).await, browser.text(SHOWN).await), (before, both), "nothing moves");
    assert_eq!(browser.run("return window.aloud.filter(Boolean).length").await, 1, "said once");
    assert_accessible(&browser, "rows that match no longer").await;
    browser.wait_for("a.site-news").await.click().await.expect("followed");
    browser.wait_until("document.querySelector('.site-empty')?.checkVisibility()").await;
    assert_eq!(browser.text("return location.search").await, "?state=running");
    // One that matches again is no longer counted.
    browser.open("/operations?state=cancelled").await;
    live(&browser).await;
    client.command(&first, "restart").await;
    browser.wait_for(&row(&first, "running")).await;
    browser.wait_until("document.querySelectorAll('.liveop-row[data-past]').length === 1").await;
    client.command(&first, "cancel").await;
    browser.wait_for(&row(&first, "cancelled")).await;
    browser.wait_until("document.querySelector('.site-news').hidden").await;
    assert_eq!(browser.text(past).await, "");
    browser.assert_clean().await;
}

//! The list in a real browser.

use super::simulate;
use crate::harness::{Chromium, Server};

/// One that waits for a minute in its first step.
const SLOW: &[(&str, &str)] = &[("steps", "1"), ("delay_ms", "60000")];

/// Waits until the list's stream is open and has said something.
async fn live(browser: &Chromium) {
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
}

fn row(id: &str, state: &str) -> String {
    format!("#op-{id}-row [data-state=\"{state}\"]")
}

#[tokio::test]
async fn rows_appear_and_move_and_the_focus_stays() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    browser.open("/operations").await;
    let shown = "getComputedStyle(document.querySelector('.site-empty')).display !== 'none'";
    assert_eq!(browser.run(&format!("return {shown}")).await, true, "nothing yet");
    live(&browser).await;
    browser.run("window.stillHere = 'since the beginning'").await;
    let id = client.simulate(&[("steps", "60"), ("delay_ms", "50")]).await;
    browser.wait_for(&row(&id, "running")).await;
    assert_eq!(browser.run(&format!("return {shown}")).await, false, "there is something now");
    browser.run("document.querySelector('#operations-rows a').focus()").await;
    browser.wait_until(&format!("document.querySelector('#op-{id}-row progress[value]')?.value > 20")).await;
    let second = client.simulate(SLOW).await;
    browser.wait_for(&row(&second, "running")).await;
    browser.wait_for(&row(&id, "succeeded")).await;
    let order = browser
        .text("return [...document.querySelectorAll('#operations-rows > tr')].map((e) => e.id).join(' ')")
        .await;
    assert_eq!(order, format!("op-{second}-row op-{id}-row"), "the newest first");
    let focused = browser.text("return document.activeElement.getAttribute('href')").await;
    assert_eq!(focused, format!("/operations/{id}"), "the focus stays where it was");
    assert_eq!(browser.text("return window.stillHere").await, "since the beginning", "without a reload");
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_older_page_changes_what_it_has_and_gets_nothing_new() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let slow = client.simulate(SLOW).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(client.submit("quick", &[], None).await.started());
    }
    for id in &ids {
        client.finished(id).await;
    }
    browser.open("/operations?page=2").await;
    live(&browser).await;
    browser.wait_for(&row(&slow, "running")).await;
    let newest = client.simulate(SLOW).await;
    client.command(&slow, "cancel").await;
    browser.wait_for(&row(&slow, "cancelled")).await;
    let rows = "return [...document.querySelectorAll('#operations-rows > tr')].map((e) => e.id).join(' ')";
    assert_eq!(browser.text(rows).await, format!("op-{slow}-row"), "{newest} is on the first page");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_filtered_list_changes_what_it_has_and_gets_nothing_new() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    browser.open("/operations").await;
    let filter = "getComputedStyle(document.querySelector('.site-filter')).display !== 'none'";
    assert_eq!(browser.run(&format!("return {filter}")).await, false, "there is nothing to filter");
    let slow = client.simulate(SLOW).await;
    let done = client.simulate(&[("steps", "0")]).await;
    client.finished(&done).await;
    browser.wait_for(&row(&done, "succeeded")).await;
    browser.fill("state", "running").await;
    browser.press("Filter").await;
    browser.wait_until("location.search === '?state=running&kind='").await;
    live(&browser).await;
    let rows = "return [...document.querySelectorAll('#operations-rows > tr')].map((e) => e.id).join(' ')";
    assert_eq!(browser.text(rows).await, format!("op-{slow}-row"));
    // Both are told in one go or in this order, so the new one would be there when the other one changed.
    let newest = client.simulate(SLOW).await;
    client.reaches(&newest, "running").await;
    client.command(&slow, "cancel").await;
    browser.wait_for(&row(&slow, "cancelled")).await;
    assert_eq!(browser.text(rows).await, format!("op-{slow}-row"), "it stays, and says what it is");
    browser.page.refresh().await.expect("a reload");
    browser.wait_for(&row(&newest, "running")).await;
    assert_eq!(browser.text(rows).await, format!("op-{newest}-row"), "the filter is kept");
    let chosen = browser.text("return document.querySelector('[name=state]').value").await;
    assert_eq!(chosen, "running");
    browser.fill("kind", "quick").await;
    browser.press("Filter").await;
    browser.wait_until("getComputedStyle(document.querySelector('.site-empty')).display !== 'none'").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn without_scripts_the_filter_is_a_form() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let slow = client.simulate(SLOW).await;
    let done = client.simulate(&[("steps", "0")]).await;
    client.finished(&done).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", &serde_json::json!({ "value": true })).await;
    browser.open("/operations").await;
    browser.fill("state", "succeeded").await;
    browser.fill("kind", "simulate").await;
    browser.press("Filter").await;
    browser.wait_until("location.search === '?state=succeeded&kind=simulate'").await;
    browser.wait_for(&row(&done, "succeeded")).await;
    assert!(!browser.source().await.contains(&slow));
    assert_eq!(
        browser.run("return getComputedStyle(document.querySelector('.site-until')).display").await,
        "none",
        "a page without scripts loads itself"
    );
}

#[tokio::test]
async fn after_a_restart_of_the_server_the_list_catches_up() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let id = simulate(&browser, SLOW).await;
    browser.open("/operations").await;
    live(&browser).await;
    browser.wait_for(&row(&id, "running")).await;
    // A row that only the page can tell to be gone.
    browser
        .run(
            "window.stillHere = 'since before';
             const rows = document.getElementById('operations-rows');
             const copy = rows.firstElementChild.cloneNode(true);
             copy.id = 'op-00000000-0000-4000-8000-000000000000-row';
             rows.append(copy)",
        )
        .await;
    let server = server.kill_and_restart().await;
    browser.wait_for(&row(&id, "interrupted")).await;
    browser.wait_until("document.querySelectorAll('#operations-rows > tr').length === 1").await;
    let client = browser.client(&server).await;
    let newest = client.simulate(SLOW).await;
    browser.wait_for(&row(&newest, "running")).await;
    assert_eq!(browser.text("return window.stillHere").await, "since before", "by itself, in place");
}

#[tokio::test]
async fn who_is_signed_out_gets_a_link() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    browser.open("/operations").await;
    live(&browser).await;
    let csrf = client.csrf().await;
    client.send(crate::harness::Ask::post("/logout").form(&[("csrf_token", &csrf)])).await;
    browser.wait_for(".liveop-connection a[href=\"/operations\"]").await;
    let words = browser.text("return document.querySelector('.liveop-connection').textContent").await;
    assert!(words.contains("signed out"), "{words}");
}

#[tokio::test]
async fn after_cancel_the_focus_is_not_on_the_button_that_runs_it_again() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    simulate(&browser, SLOW).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"] [data-liveop-command=\"restart\"]").await;
    assert_eq!(browser.text("return document.activeElement.tagName").await, "H1");
    browser.assert_clean().await;
}

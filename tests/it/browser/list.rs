//! The list in a real browser.

use fantoccini::Locator;
use serde_json::json;

use super::simulate;
use crate::harness::{Chromium, SLOW, Server};

/// Waits until the list's stream is open and has said something.
pub(super) async fn live(browser: &Chromium) {
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
}

pub(super) fn row(id: &str, state: &str) -> String {
    format!("#op-{id}-row [data-state=\"{state}\"]")
}

pub(super) fn row_id(id: &str) -> String {
    format!("op-{id}-row")
}

/// The rows that are in sight, from the top.
pub(super) const SHOWN: &str = "return [...document.querySelectorAll('#operations-rows > tr')]
    .filter((e) => e.offsetHeight > 0).map((e) => e.id).join(' ')";
/// What is said of rows that wait.
pub(super) const NEWS: &str = "const news = document.querySelector('.site-news');
    return news.offsetHeight > 0 ? news.textContent : ''";

/// Puts the pointer somewhere.
async fn point(browser: &Chromium, x: f64, y: f64) {
    let moved = json!({ "type": "mouseMoved", "x": x, "y": y });
    browser.cdp("Input.dispatchMouseEvent", &moved).await;
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
    let id = client.simulate(&[("steps", "1000"), ("delay_ms", "60")]).await;
    browser.wait_for(&row(&id, "running")).await;
    assert_eq!(browser.run(&format!("return {shown}")).await, false, "there is something now");
    browser.run("document.querySelector('#operations-rows a').focus()").await;
    browser.wait_until(&format!("document.querySelector('#op-{id}-row progress[value]')?.value > 1")).await;
    let second = client.simulate(SLOW).await;
    browser.wait_for(&row(&second, "running")).await;
    client.command(&id, "cancel").await;
    browser.wait_for(&row(&id, "cancelled")).await;
    assert_eq!(browser.text(SHOWN).await, row_id(&id), "nothing moves where somebody is");
    assert_eq!(browser.text(NEWS).await, "1 new operation");
    let focused = browser.text("return document.activeElement.getAttribute('href')").await;
    assert_eq!(focused, format!("/operations/{id}"), "the focus stays where it was");
    browser.run("document.querySelector('.site-news').focus()").await;
    browser.page.active_element().await.expect("the button").send_keys("\u{e007}").await.expect("pressed");
    browser.wait_until("document.querySelector('.site-news').hidden").await;
    assert_eq!(browser.text(SHOWN).await, format!("{} {}", row_id(&second), row_id(&id)), "the newest first");
    let focused = browser.text("return document.activeElement.getAttribute('href')").await;
    assert_eq!(focused, format!("/operations/{second}"), "the focus goes on to what was asked for");
    assert_eq!(browser.text("return window.stillHere").await, "since the beginning", "without a reload");
    browser.assert_clean().await;
}

/// Follows the link of the page's own part with this text.
async fn follow(browser: &Chromium, text: &str) {
    browser.click(Locator::XPath(&format!("//main//a[normalize-space()='{text}']"))).await;
}

#[tokio::test]
async fn new_rows_wait_while_somebody_points_at_the_list() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let first = client.simulate(SLOW).await;
    browser.open("/operations").await;
    live(&browser).await;
    browser.wait_for(&row(&first, "running")).await;
    let at = format!("const r = document.getElementById('op-{first}-row').getBoundingClientRect();");
    let place = browser.run(&format!("{at} return [r.x + 20, r.y + r.height / 2]")).await;
    point(&browser, place[0].as_f64().expect("x"), place[1].as_f64().expect("y")).await;
    browser.wait_until("document.querySelector('.site-table').matches(':hover')").await;
    // Where the row is, in each frame that is painted.
    browser
        .run(&format!(
            "window.places = new Set();
             const look = () => {{
                 {at} window.places.add(`${{r.y}} ${{r.height}}`); requestAnimationFrame(look);
             }};
             look()"
        ))
        .await;
    let second = client.simulate(SLOW).await;
    browser.wait_for(&row(&second, "running")).await;
    let third = client.simulate(SLOW).await;
    browser.wait_for(&row(&third, "running")).await;
    assert_eq!(
        (browser.text(SHOWN).await, browser.text(NEWS).await),
        (row_id(&first), "2 new operations".into())
    );
    // They wait on over a page that is fetched, as after a restart, and what they are goes on changing.
    let server = server.kill_and_restart().await;
    for id in [&first, &second, &third] {
        browser.wait_for(&row(id, "interrupted")).await;
    }
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    let client = browser.client(&server).await;
    let fourth = client.simulate(SLOW).await;
    browser.wait_for(&row(&fourth, "running")).await;
    assert_eq!(
        (browser.text(SHOWN).await, browser.text(NEWS).await),
        (row_id(&first), "3 new operations".into())
    );
    assert_eq!(browser.run("return window.places.size").await, 1, "it stays where it is, as high as it is");
    point(&browser, 5.0, 5.0).await;
    browser.wait_until("document.querySelector('.site-news').hidden").await;
    let all = [&fourth, &third, &second, &first].map(|id| row_id(id)).join(" ");
    assert_eq!(browser.text(SHOWN).await, all, "none was lost");
    // Nobody is there: they come in at once.
    let fifth = client.simulate(SLOW).await;
    browser.wait_for(&row(&fifth, "running")).await;
    assert_eq!(browser.text(SHOWN).await, format!("{} {all}", row_id(&fifth)));
    browser.assert_clean().await;
}

#[tokio::test]
async fn times_are_those_of_the_viewer_and_go_on() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    browser.cdp("Emulation.setTimezoneOverride", &json!({ "timezoneId": "Asia/Kolkata" })).await;
    let id = client.simulate(&[("steps", "1000000"), ("delay_ms", "20")]).await;
    browser.open("/operations").await;
    live(&browser).await;
    browser.wait_for(&row(&id, "running")).await;
    let part = |what: &str| format!("document.querySelector('#op-{id}-row {what}')");
    let (time, took) = (part(".liveop-row-when time"), part(".liveop-row-took"));
    // What is painted, while the server sends the row again and again.
    browser
        .run(&format!(
            "window.painted = new Set();
             const look = () => {{
                 window.painted.add({time}.textContent.replace(/\\d+/g, 'n'));
                 window.painted.add({took}.textContent.replace(/\\d+/g, 'n'));
                 requestAnimationFrame(look);
             }};
             look()"
        ))
        .await;
    browser
        .wait_until(&format!(
            "/^([3-9]|[1-5]\\d) s ago/.test({time}.textContent) && /^([2-9]|[1-5]\\d) s$/.test({took}.textContent)"
        ))
        .await;
    let began = browser.text(&format!("return {time}.dateTime")).await;
    let began: jiff::Timestamp = began.parse().expect("a time");
    let there = began + jiff::SignedDuration::from_mins(5 * 60 + 30);
    let small = browser.text(&format!("return {time}.querySelector('small').textContent.trim()")).await;
    assert_eq!(small, there.strftime("%H:%M").to_string());
    assert_eq!(
        browser.text(&format!("return {time}.title")).await,
        there.strftime("%Y-%m-%d %H:%M:%S").to_string()
    );
    client.command(&id, "cancel").await;
    browser.wait_for(&row(&id, "cancelled")).await;
    let painted = browser.text("return [...window.painted].join('|')").await;
    assert!(
        !painted.contains("UTC") && !painted.contains('–'),
        "never the server’s words in between: {painted}"
    );
    // Of old ones the date says more.
    browser.run(&format!("{time}.dateTime = '2020-01-02T20:34:05Z'")).await;
    browser.wait_until(&format!("{time}.textContent === '2020-01-03 02:04'")).await;
    // As is said where a kind is started.
    browser.open("/").await;
    browser.wait_until("/ago$/.test(document.querySelector('.site-last time').textContent)").await;
    browser.wait_for(".site-last [data-state=\"cancelled\"]").await.click().await.expect("followed");
    browser.wait_until(&format!("location.pathname === '/operations/{id}'")).await;
    browser.assert_clean().await;
}

/// A reader whose clock is wrong is told the truth all the same.
#[tokio::test]
async fn how_long_ago_goes_by_the_clock_of_the_server() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let id = client.simulate(SLOW).await;
    // An hour before it, then one behind.
    for change in ["+ 3600e3", "- 7200e3"] {
        let clock = format!("{{ const now = Date.now; Date.now = () => now() {change}; }}");
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": clock })).await;
        browser.open("/operations").await;
        live(&browser).await;
        browser.wait_for(&row(&id, "running")).await;
        let part = |what: &str| format!("document.querySelector('#op-{id}-row {what}').textContent");
        let told = format!("`${{{}}}|${{{}}}`", part(".liveop-row-when time"), part(".liveop-row-took"));
        browser.wait_until(&format!("/^(just now|\\d+ s ago).*\\|(\\d+|under 1) s$/.test({told})")).await;
        let seconds = format!("Number(/(\\d+) s$/.exec({})?.[1] ?? 0)", part(".liveop-row-took"));
        // They go on.
        let before = browser.run(&format!("return {seconds}")).await;
        browser.wait_until(&format!("{seconds} > {before}")).await;
        browser.open("/").await;
        browser
            .wait_until(
                "/^(just now|\\d+ s ago)$/.test(document.querySelector('.site-last time').textContent)",
            )
            .await;
    }
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_before_it_is_sent() {
    let server = Server::with(&[("max_upload_bytes", "2000")]).await;
    let browser = Chromium::signed_in(&server).await;
    let file = |name: &str, rows: usize| {
        let path = server.folder().join(name);
        std::fs::write(&path, "a,b\n".repeat(rows)).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    browser.open("/operations/new/csv_import").await;
    browser.fill("file", &file("large.csv", 1000)).await;
    let said = browser.text("return document.querySelector('[type=file]').validationMessage").await;
    assert_eq!(said, "“large.csv” is larger than the 2000 bytes that are taken here. Choose a smaller file.");
    browser.press("Start").await;
    assert_eq!(browser.text("return location.pathname").await, "/operations/new/csv_import");
    assert_eq!(browser.run("return document.querySelector('[type=file]:invalid') !== null").await, true);
    browser.fill("file", &file("small.csv", 100)).await;
    browser.press("Start").await;
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_older_page_changes_what_it_has_and_gets_nothing_new() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    // Fifty others take their time on a slow machine.
    let slow = client.simulate(&[("steps", "10"), ("delay_ms", "60000")]).await;
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
    // The last of them is removed, as old ones are.
    let empty = "const empty = document.querySelector('.site-empty'); return empty.checkVisibility() ? empty.querySelector('h2').textContent : ''";
    assert_eq!(browser.text(empty).await, "");
    browser.run(&format!("document.getElementById('op-{slow}-row').remove()")).await;
    assert_eq!(browser.text(empty).await, "No more operations here");
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
    follow(&browser, "Running").await;
    browser.wait_until("location.search === '?state=running'").await;
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
    let chosen =
        browser.text("return document.querySelector('.site-chips [aria-current]').textContent").await;
    assert_eq!(chosen, "Running");
    // The menu closes when somebody turns away from it.
    let menu = browser.wait_for(".site-menu summary").await;
    menu.click().await.expect("opened");
    browser.wait_for(".site-menu[open]").await;
    browser.page.active_element().await.expect("it").send_keys("\u{e00c}").await.expect("escaped");
    browser.wait_until("!document.querySelector('.site-menu').open").await;
    menu.click().await.expect("opened");
    browser.wait_for("h1").await.click().await.expect("elsewhere");
    browser.wait_until("!document.querySelector('.site-menu').open").await;
    menu.click().await.expect("opened");
    follow(&browser, "Quick success").await;
    browser.wait_until("location.search === '?state=running&kind=quick'").await;
    browser.wait_until("getComputedStyle(document.querySelector('.site-empty')).display !== 'none'").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_filter_works_without_scripts() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let slow = client.simulate(SLOW).await;
    let done = client.simulate(&[("steps", "0")]).await;
    client.finished(&done).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": true })).await;
    browser.open("/operations").await;
    follow(&browser, "Done").await;
    // A page without one that runs does not load itself anew, which would close the menu.
    browser.wait_until("location.search === '?state=succeeded'").await;
    browser.wait_for(".site-menu summary").await.click().await.expect("opened");
    follow(&browser, "Simulation").await;
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
    browser.resize(1000, 280).await;
    let seen =
        "return document.querySelector('.liveop-connection').getBoundingClientRect().bottom <= innerHeight";
    assert_eq!(browser.run(seen).await, false, "it is at the end of the page");
    let csrf = client.csrf().await;
    client.send(crate::harness::Ask::post("/logout").form(&[("csrf_token", &csrf)])).await;
    browser.wait_for(".liveop-connection a[href=\"/operations\"]").await;
    let words = browser.text("return document.querySelector('.liveop-connection').textContent").await;
    assert!(words.contains("signed out"), "{words}");
    assert_eq!(browser.run(seen).await, true, "there is something to do, so it is where it is seen");
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

//! What a person sees in a real browser.

mod comfort;
mod connection;
mod embed;
mod filtered;
mod hosts;
mod list;
mod look;
mod policy;
mod swap;

use serde_json::json;

use crate::harness::{Chromium, SLOW, Server, until};
use crate::start::csv;

/// The operation's id from the window's address.
async fn operation(browser: &Chromium) -> String {
    browser.wait_for("section.liveop").await;
    let path = browser.text("return location.pathname").await;
    path.strip_prefix("/operations/").expect("an operation's page").to_owned()
}

async fn simulate(browser: &Chromium, fields: &[(&str, &str)]) -> String {
    browser.open("/operations/new/simulate").await;
    for (name, value) in fields {
        browser.fill(name, value).await;
    }
    browser.press("Start").await;
    operation(browser).await
}

/// Waits until a log, as a script names it, got another line.
async fn another_line(browser: &Chromium, log: &str) {
    let seen = browser.run(&format!("return {log}.lastElementChild.id")).await;
    browser.wait_until(&format!("{log}.lastElementChild.id !== {seen}")).await;
}

#[tokio::test]
async fn a_csv_is_uploaded_and_its_result_arrives_without_a_reload() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let file = server.folder().join("customers.csv");
    let mut content = csv(60_000);
    content.extend_from_slice(b"1,2\n");
    std::fs::write(&file, content).expect("written");
    browser.open("/").await;
    browser.wait_for("a[href=\"/operations/new/csv_import\"]").await.click().await.expect("followed");
    browser.fill("file", file.to_str().expect("UTF-8")).await;
    browser.press("Start").await;
    let id = operation(&browser).await;
    browser.run("window.stillHere = 'since the upload'").await;
    assert!(browser.text("return document.title").await.contains("customers.csv"));
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    let result = browser.text(&format!("return document.getElementById('op-{id}-result').textContent")).await;
    for word in ["rows imported", "60,000", "rows rejected", "columns", "seconds"] {
        assert!(result.contains(word), "{word} in {result}");
    }
    assert_eq!(
        browser.text("return window.stillHere").await,
        "since the upload",
        "the page was not loaded again"
    );
    let title = browser.text("return document.title").await;
    assert!(title.contains("Done") && title.contains("customers.csv"), "{title}");
    let lines =
        browser.run(&format!("return document.getElementById('op-{id}-log-lines').childElementCount")).await;
    assert!(lines.as_u64().is_some_and(|lines| lines > 0), "{lines}");
    browser.assert_clean().await;
    // The same after a reload.
    browser.page.refresh().await.expect("loaded again");
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    let again = browser.text(&format!("return document.getElementById('op-{id}-result').textContent")).await;
    assert_eq!(again, result);
    browser.assert_clean().await;
}

#[tokio::test]
async fn everything_moves_while_it_runs_and_no_line_is_doubled() {
    let server = Server::with(&[("workers", "1")]).await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    // It waits behind this one for as long as is needed to get ready.
    let before = client.simulate(SLOW).await;
    // And goes on until its page was seen to move.
    let fields =
        [("steps", "1000"), ("delay_ms", "50"), ("log_every", "1"), ("stages", "2"), ("message", "row")];
    let id = simulate(&browser, &fields).await;
    browser
        .run(
            "window.ends = []; document.addEventListener('liveop:end', (e) => window.ends.push(e.type));
             window.titles = []; new MutationObserver(() => window.titles.push(document.title))
                 .observe(document.querySelector('title'), { childList: true })",
        )
        .await;
    client.command(&before, "cancel").await;
    browser.wait_until("new Set(window.titles.filter((title) => /^\\d+ %/.test(title))).size > 1").await;
    client.command(&id, "cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]:not([data-liveop-token])").await;
    let numbers = browser
        .text(&format!(
            "return [...document.querySelectorAll('#op-{id}-log-lines > *')].map((e) => e.id.split('-').pop()).join(' ')"
        ))
        .await;
    // All of them, or those that a page keeps.
    let log = client.get(&format!("/operations/{id}/log")).await.text();
    let last = log.lines().count();
    assert!(last > 10, "{log}");
    let expected: Vec<String> = (last.saturating_sub(199).max(1)..=last).map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected.join(" "));
    browser.wait_until("window.ends.length === 1").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_cancel_button_cancels_in_place() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let id = simulate(&browser, SLOW).await;
    browser.wait_for(".liveop[data-liveop-state=\"running\"]").await;
    browser.run("window.stillHere = 'since the start'").await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    assert_eq!(browser.text("return window.stillHere").await, "since the start");
    assert_eq!(browser.text("return location.pathname").await, format!("/operations/{id}"));
    // The restart form came in a fragment, without a token: the shim fills it in.
    browser.press("Run again").await;
    browser.wait_until("window.stillHere === undefined").await;
    browser.wait_for(".liveop[data-liveop-state=\"running\"]").await;
    assert_eq!(browser.text("return location.pathname").await, format!("/operations/{id}"));
    browser.assert_clean().await;
}

#[tokio::test]
async fn hostile_text_runs_no_script() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    for hostile in
        ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "{{7*7}}"]
    {
        let fields = [("steps", "10"), ("delay_ms", "50"), ("log_every", "1"), ("message", hostile)];
        let id = simulate(&browser, &fields).await;
        for when in ["live", "after a reload"] {
            browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
            let seen = format!("document.getElementById('op-{id}-log-10').textContent");
            let line = browser.text(&format!("return {seen}")).await;
            assert!(line.contains(&format!("{hostile} #10")), "{when}: {line}");
            let result =
                browser.text(&format!("return document.getElementById('op-{id}-result').textContent")).await;
            assert!(result.contains(hostile), "{when}: {result}");
            let odd = "document.querySelectorAll('.liveop script, .liveop img, .liveop svg').length";
            assert_eq!(browser.run(&format!("return {odd}")).await, 0, "{when}");
            browser.assert_clean().await;
            browser.page.refresh().await.expect("loaded again");
        }
    }
}

#[tokio::test]
async fn after_a_crash_of_the_server_the_page_ends_by_itself() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let id = simulate(&browser, &[("steps", "1000"), ("delay_ms", "100"), ("log_every", "1")]).await;
    browser.wait_for(&format!("#op-{id}-log-20")).await;
    // What is on the disk is not lost.
    let database = rusqlite::Connection::open(server.folder().join("liveops.db")).expect("the database");
    until("lines on the disk", async || {
        let last = database.query_row("SELECT max(last_seq) FROM liveops_log", [], |row| row.get(0));
        last.ok().flatten().filter(|last: &i64| *last > 10)
    })
    .await;
    browser.run("window.stillHere = 'since the start'").await;
    let server = server.kill_and_restart().await;
    browser.wait_for(".liveop[data-liveop-state=\"interrupted\"]").await;
    assert_eq!(browser.text("return window.stillHere").await, "since the start", "by itself, in place");
    let doubled = format!(
        "const ids = [...document.querySelectorAll('#op-{id}-log-lines > *')].map((e) => e.id);
         return ids.length === new Set(ids).size && ids.length > 3"
    );
    assert_eq!(browser.run(&doubled).await, true);
    assert!(browser.text("return document.title").await.to_lowercase().contains("interrupted"));
    drop(server);
}

#[tokio::test]
async fn a_chain_goes_on_in_place_and_a_redirect_is_followed_once() {
    let server = Server::with(&[("workers", "1")]).await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    // Each of the two waits behind another one, for as long as is needed to look at it.
    let before_first = client.simulate(SLOW).await;
    let fields = [("steps", "10"), ("delay_ms", "50"), ("chain", "1"), ("redirect", "/operations?page=1")];
    let first = simulate(&browser, &fields).await;
    let before_second = client.simulate(SLOW).await;
    browser.run("window.stillHere = 'since the start'").await;
    client.command(&before_first, "cancel").await;
    browser
        .wait_until(&format!(
            "!document.getElementById('op-{first}') && document.querySelector('section.liveop')"
        ))
        .await;
    assert_eq!(browser.text("return window.stillHere").await, "since the start", "in place");
    let crumb = ".liveop-chain li:nth-child(2) [aria-current=\"page\"]";
    browser.wait_for(crumb).await;
    browser.wait_for(&format!(".liveop-chain li:first-child a[href=\"/operations/{first}\"]")).await;
    let second = browser.text("return document.querySelector('section.liveop').dataset.liveopPage").await;
    client.command(&before_second, "cancel").await;
    browser.wait_until("location.pathname === '/operations'").await;
    // A page that did not see it run shows a link.
    browser
        .wait_for(&format!("#operations-rows a[href=\"{second}\"]"))
        .await
        .click()
        .await
        .expect("followed");
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"] a[href=\"/operations?page=1\"]").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_expired_token_is_renewed_from_the_page() {
    let server = Server::with(&[("token_ttl_seconds", "2")]).await;
    let browser = Chromium::signed_in(&server).await;
    let id = simulate(&browser, &[("steps", "1000"), ("delay_ms", "100"), ("log_every", "1")]).await;
    browser.wait_for(&format!("#op-{id}-log-20")).await;
    browser.run("window.stillHere = 'since the start'").await;
    // The operation cannot survive its process, but a page must not need the old token for that.
    let server = server.kill_and_restart().await;
    browser.wait_for(".liveop[data-liveop-state=\"interrupted\"]").await;
    assert_eq!(browser.text("return window.stillHere").await, "since the start");
    drop(server);
}

#[tokio::test]
async fn a_log_is_followed_after_the_window_became_narrow() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let message = "a line that is long enough to need two of them in a narrow window";
    let fields = [("steps", "100000"), ("delay_ms", "20"), ("log_every", "1"), ("message", message)];
    let id = simulate(&browser, &fields).await;
    let lines = format!("document.getElementById('op-{id}-log-lines')");
    browser.wait_until(&format!("{lines}.childElementCount > 40")).await;
    browser.resize(320, 800).await;
    another_line(&browser, &lines).await;
    browser
        .wait_until(&format!("{lines}.scrollHeight - {lines}.scrollTop - {lines}.clientHeight < 12"))
        .await;
    // Who scrolls up stays there.
    browser.run(&format!("{lines}.scrollTop = 100")).await;
    another_line(&browser, &lines).await;
    browser
        .wait_until(&format!("{lines}.scrollHeight - {lines}.scrollTop - {lines}.clientHeight > 12"))
        .await;
}

#[tokio::test]
async fn without_scripts_the_newest_lines_are_in_sight_and_forms_work() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let fields = [("steps", "100000"), ("delay_ms", "20"), ("log_every", "1")];
    let id = simulate(&browser, &fields).await;
    browser.wait_until(&format!("document.getElementById('op-{id}-log-lines').childElementCount > 40")).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": true })).await;
    browser.open(&format!("/operations/{id}")).await;
    assert_eq!(browser.run("return matchMedia('(scripting: none)').matches").await, true);
    let last =
        format!("document.getElementById('op-{id}-log-lines').lastElementChild.getBoundingClientRect()");
    let log = format!("document.getElementById('op-{id}-log').getBoundingClientRect()");
    let in_sight = format!("{last}.top > {log}.top && {last}.bottom <= {log}.bottom");
    assert_eq!(browser.run(&format!("return {in_sight}")).await, true, "{}", browser.source().await);
    let dead = "[...document.querySelectorAll('.liveop button[type=button]')].some((button) => button.checkVisibility())";
    assert_eq!(
        browser.run(&format!("return {dead}")).await,
        false,
        "no button that only scripts bring to life"
    );
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
}

#[tokio::test]
async fn the_end_key_follows_a_busy_log_again() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let fields = [("steps", "100000"), ("delay_ms", "20"), ("log_every", "1")];
    let id = simulate(&browser, &fields).await;
    let lines = format!("document.getElementById('op-{id}-log-lines')");
    browser.wait_until(&format!("{lines}.childElementCount > 100")).await;
    let log = browser.wait_for(".liveop-log-lines").await;
    log.send_keys("\u{e013}").await.expect("an arrow up");
    another_line(&browser, &lines).await;
    browser.run(&format!("{lines}.scrollTop = 0")).await;
    log.send_keys("\u{e010}").await.expect("the end key");
    for _ in 0..10 {
        another_line(&browser, &lines).await;
    }
    browser
        .wait_until(&format!("{lines}.scrollHeight - {lines}.scrollTop - {lines}.clientHeight < 12"))
        .await;
}

/// The page is of an earlier sign-in: what the server says of that is shown, and not for a moment only.
#[tokio::test]
async fn a_cancel_that_is_refused_shows_why() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let id = simulate(&browser, &[("steps", "100000"), ("delay_ms", "20"), ("log_every", "1")]).await;
    // A page whose stream says nothing is fetched, with the right token.
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    browser.run("document.querySelector('meta[name=liveops-csrf]').content = 'of another session'").await;
    browser
        .run("document.querySelectorAll('input[name=csrf_token]').forEach((field) => field.value = '')")
        .await;
    browser.press("Cancel").await;
    browser.wait_for(".site-error").await;
    assert!(browser.source().await.contains("This form is no longer valid"));
    browser.open(&format!("/operations/{id}")).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
}

//! How a page bears with the web: proxies, cuts, silence, hidden tabs, sign-outs, restarts.

use serde_json::json;

use super::comfort::NOTIFICATIONS;
use super::simulate;
use crate::harness::{Chromium, Proxy, Server, until};

/// What ticks all the time, and outlasts every test.
const STEADY: &[(&str, &str)] = &[("steps", "4000"), ("delay_ms", "50"), ("log_every", "1")];
const LIVE: &str = ".liveop-connection[data-kind=\"live\"]";
const LOST: &str = ".liveop-connection[data-kind=\"lost\"]";
const FETCHED: &str = ".liveop-connection[data-kind=\"fetched\"]";

/// Everything that the line about the connection says from now on, in `window.said`; what is announced, in `window.heard`.
async fn listen(browser: &Chromium) {
    browser
        .run(
            "window.said = [];
             new MutationObserver(() => window.said.push(document.querySelector('.liveop-connection').textContent))
                 .observe(document.querySelector('.liveop-connection'), { childList: true, characterData: true });
             window.heard = '';
             new MutationObserver(() => (window.heard += document.getElementById('liveop-status').textContent))
                 .observe(document.getElementById('liveop-status'), { childList: true, characterData: true });
             window.stillHere = true",
        )
        .await;
}

/// The number of the newest line.
async fn newest(browser: &Chromium) -> u64 {
    let last = "document.querySelector('.liveop-log-lines').lastElementChild";
    browser.run(&format!("return Number({last}?.id.split('-').pop() ?? 0)")).await.as_u64().expect("a number")
}

/// Waits until some lines more are there than now.
async fn lines_come(browser: &Chromium) {
    let now = newest(browser).await;
    let last = "document.querySelector('.liveop-log-lines').lastElementChild";
    browser.wait_until(&format!("Number({last}?.id.split('-').pop()) > {}", now + 5)).await;
}

/// No line is there twice, and none is lacking between those that are; the page was not loaded again.
async fn assert_whole(browser: &Chromium) {
    let lines = browser
        .text("return [...document.querySelectorAll('.liveop-log-lines > *')].map((e) => e.id.split('-').pop()).join(' ')")
        .await;
    let numbers: Vec<u64> = lines.split(' ').map(|number| number.parse().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(browser.run("return window.stillHere").await, true, "without a reload");
    browser.assert_clean().await;
}

async fn streams(proxy: &Proxy, expected: usize) {
    until(&format!("{expected} open streams"), async || (proxy.streams() == expected).then_some(())).await;
}

async fn sign_in(browser: &Chromium, name: &str) {
    browser.fill("username", name).await;
    browser.fill("password", &format!("{name} password")).await;
    browser.press("Sign in").await;
    // Whoever went elsewhere before that is answered would take it back.
    browser.wait_until("location.pathname !== '/login'").await;
}

#[tokio::test]
async fn a_stream_that_is_held_back_or_dies_in_silence_is_noticed() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.address).await;
    let browser = Chromium::signed_in_at(proxy.address, &server).await;
    browser.hurry(10).await;
    simulate(&browser, STEADY).await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    lines_come(&browser).await;
    // Nobody is told of this one: no byte comes any more, not even an end.
    proxy.swallow();
    lines_come(&browser).await;
    assert_whole(&browser).await;
    streams(&proxy, 1).await;
    // From here on no stream comes through at all, as where a proxy waits for the answer's end.
    proxy.hold();
    proxy.swallow();
    browser.wait_for(FETCHED).await;
    lines_come(&browser).await;
    lines_come(&browser).await;
    proxy.clear();
    browser.wait_for(LIVE).await;
    lines_come(&browser).await;
    assert_whole(&browser).await;
}

#[tokio::test]
async fn who_has_too_many_streams_is_told_so_and_nothing_is_said_to_be_lost() {
    let server = Server::with(&[("streams_per_user", "1")]).await;
    let browser = Chromium::signed_in(&server).await;
    browser.hurry(10).await;
    let id = simulate(&browser, STEADY).await;
    let client = browser.client(&server).await;
    browser.open("/operations/new/quick").await;
    // The page that was left may take a moment to let go.
    let other = until("the only place", async || {
        let token = client.page(&id).await.token.expect("it runs");
        let answer = client.open(crate::harness::Ask::get(&format!("/stream?token={token}"))).await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    browser.open(&format!("/operations/{id}")).await;
    listen(&browser).await;
    browser.wait_for(FETCHED).await;
    lines_come(&browser).await;
    lines_come(&browser).await;
    let lost = "window.said.some((words) => words.includes('lost'))";
    assert_eq!(browser.run(&format!("return {lost}")).await, false);
    drop(other);
    browser.wait_for(LIVE).await;
    lines_come(&browser).await;
    assert_eq!(browser.run(&format!("return {lost}")).await, false);
    browser.assert_clean().await;
}

#[tokio::test]
async fn offline_is_said_before_anything_fails_and_online_goes_on() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.address).await;
    let browser = Chromium::signed_in_at(proxy.address, &server).await;
    simulate(&browser, STEADY).await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    browser.resize(1000, 500).await;
    let network = async |offline: bool| {
        let conditions =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        browser.cdp("Network.emulateNetworkConditions", &conditions).await;
    };
    let seen = async |element: &str| {
        let script = "const { top, bottom } = document.querySelector(arguments[0]).getBoundingClientRect(); return top >= 0 && bottom <= innerHeight";
        browser.run(&script.replace("arguments[0]", &json!(element).to_string())).await == json!(true)
    };
    let places = "return [document.documentElement.scrollHeight, document.querySelector('.liveop-log-box').getBoundingClientRect().bottom].join(' ')";
    let grey = "return getComputedStyle(document.querySelector('.liveop-badge')).filter";
    assert!(!seen(".liveop-connection").await, "it is at the end of the page");
    let (before, colour) = (browser.text(places).await, browser.text(grey).await);
    // The stream itself does not notice: only the event tells.
    network(true).await;
    browser.wait_until("window.said.includes('Connection lost, trying again…')").await;
    proxy.cut();
    browser.wait_for(LOST).await;
    // Said where it is seen, and nothing moved for that.
    assert!(seen(".liveop-connection").await);
    assert_eq!(browser.text(places).await, before);
    assert_eq!((&*colour, &*browser.text(grey).await), ("none", "grayscale(1)"));
    browser.resize(360, 640).await;
    assert!(seen(".liveop-connection").await && !seen(".liveop-back a").await, "a phone has little room");
    browser.run("document.querySelector('.liveop-back a').focus({ preventScroll: true })").await;
    assert!(seen(".liveop-back a").await, "the focus is in sight");
    network(false).await;
    proxy.clear();
    browser.wait_for(LIVE).await;
    lines_come(&browser).await;
    assert_eq!(browser.run("return window.stillHere").await, true, "without a reload");
    browser.wait_until("/Connection lost.*Live again/.test(window.heard)").await;
}

#[tokio::test]
async fn a_hidden_tab_has_no_stream_what_it_shows_stays_true_and_it_catches_up() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.address).await;
    let browser = Chromium::signed_in_at(proxy.address, &server).await;
    let client = browser.client(&server).await;
    browser.hurry(10).await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": NOTIFICATIONS })).await;
    let id = simulate(&browser, STEADY).await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    browser.press("Notify me when it is done").await;
    browser.wait_for(".liveop-notify[aria-pressed=\"true\"]").await;
    let page = browser.tab().await;
    let list = browser.new_tab().await;
    browser.open("/operations").await;
    browser.wait_for(LIVE).await;
    browser.look_at(&page).await;
    browser.put_in_front(&list).await;
    browser.wait_until("document.hidden").await;
    streams(&proxy, 1).await;
    let title = browser.text("return document.title").await;
    browser.wait_until(&format!("/^\\d+ %/.test(document.title) && document.title !== '{title}'")).await;
    let icon = "decodeURIComponent(document.querySelector('link[rel=icon]').href)";
    let drawn = format!("/dasharray=\"(\\d+)/.exec({icon})?.[1]");
    let percent = "/^\\d+/.exec(document.title)[0]";
    browser.wait_until(&format!("document.title !== '{title}' && {drawn} === {percent}")).await;
    // That of the tab in front.
    streams(&proxy, 1).await;
    browser.look_at(&page).await;
    lines_come(&browser).await;
    assert_whole(&browser).await;
    streams(&proxy, 1).await;
    // The list is behind now.
    let second = client.simulate(STEADY).await;
    browser.look_at(&list).await;
    browser.wait_for(&format!("#op-{second}-row")).await;
    // What ends out of sight is in the title and the icon all the same, and told to who asked for it.
    browser.look_at(&page).await;
    browser.put_in_front(&list).await;
    browser.wait_until("document.hidden").await;
    client.command(&id, "cancel").await;
    browser.wait_until("document.title.startsWith('■ Cancelled')").await;
    browser.wait_until(&format!("{icon}.includes('#566070')")).await;
    browser.wait_until("window.shown.length === 1").await;
    assert_eq!(browser.text("return window.shown[0].body").await, "Cancelled. It stopped before its end");
    assert_eq!(browser.run("return document.hidden && window.stillHere").await, true);
}

/// With HTTP/1.1 a browser has six connections to a server, and pages need some too.
#[tokio::test]
async fn ten_windows_are_all_live_when_they_are_looked_at() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.address).await;
    let browser = Chromium::signed_in_at(proxy.address, &server).await;
    let id = simulate(&browser, STEADY).await;
    let mut windows = vec![browser.tab().await];
    for _ in 1..10 {
        windows.push(browser.new_window().await);
        browser.open(&format!("/operations/{id}")).await;
        browser.wait_for(LIVE).await;
    }
    for window in &windows {
        browser.look_at(window).await;
        assert_eq!(browser.run("return document.hidden").await, false);
        browser.focus(true).await;
        browser.wait_for(LIVE).await;
        lines_come(&browser).await;
        until("room for pages", async || (proxy.streams() <= 5).then_some(())).await;
        browser.focus(false).await;
    }
    browser.press("Cancel").await;
    for window in &windows {
        browser.look_at(window).await;
        browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
        browser.assert_clean().await;
    }
}

/// Our own pages are not stored by browsers, but those of an application that embeds an operation may be.
#[tokio::test]
async fn a_page_that_comes_back_from_the_browsers_cache_goes_on() {
    let server = Server::start().await;
    let proxy = Proxy::before(server.address).await;
    proxy.keep_pages();
    let browser = Chromium::signed_in_at(proxy.address, &server).await;
    simulate(&browser, STEADY).await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    browser.run("addEventListener('pageshow', ({ persisted }) => persisted && (window.back = true))").await;
    browser.open("/healthz").await;
    streams(&proxy, 0).await;
    browser.page.back().await.expect("it goes back");
    browser.wait_until("window.back").await;
    lines_come(&browser).await;
    assert_whole(&browser).await;
    streams(&proxy, 1).await;
}

#[tokio::test]
async fn who_is_signed_out_comes_back_to_the_very_page() {
    let server = Server::start().await;
    server.user("ada").await;
    let browser = Chromium::launch(server.address).await;
    browser.open("/login").await;
    sign_in(&browser, "ada").await;
    let id = simulate(&browser, STEADY).await;
    browser.wait_for(LIVE).await;
    let here = format!("location.pathname === '/operations/{id}'");
    browser.client(&server).await.log_out().await;
    browser.wait_for(".liveop-connection a").await.click().await.expect("followed");
    browser.wait_until("location.pathname === '/login'").await;
    sign_in(&browser, "ada").await;
    browser.wait_until(&here).await;
    browser.wait_for(LIVE).await;
    lines_come(&browser).await;
    // Whoever presses Cancel then has not cancelled, and comes back too.
    browser.client(&server).await.log_out().await;
    browser.wait_for(".liveop-connection a").await;
    browser.press("Cancel").await;
    browser.wait_until("location.pathname === '/login'").await;
    sign_in(&browser, "ada").await;
    browser.wait_until(&here).await;
    browser.wait_for(LIVE).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    // The same with what only a form can do.
    browser.client(&server).await.log_out().await;
    browser.press("Run again").await;
    browser.wait_until("location.pathname === '/login'").await;
    sign_in(&browser, "ada").await;
    browser.wait_until(&here).await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    browser.assert_clean().await;
}

/// An orderly stop, as of a deploy: what runs has its grace, and a page is told nothing worse than that it has to wait.
#[tokio::test]
async fn pages_stay_open_while_their_server_is_replaced() {
    let mut server = Server::with(&[("shutdown_grace_seconds", "2")]).await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    let repeated = client.submit("repeatable", &[], None).await.started();
    browser.open(&format!("/operations/{repeated}")).await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    let of_repeated = browser.tab().await;
    browser.new_window().await;
    simulate(&browser, STEADY).await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    server.signal("-TERM");
    let (status, _) = server.exit().await;
    assert_eq!(status.code(), Some(0), "{}", server.said());
    browser.wait_for(LOST).await;
    let server = server.again().await;
    let said =
        "return [...new Set(window.said)].filter((words) => !['', 'Live', 'Connection lost, trying again…',
        'No live updates just now: fetched every few seconds.'].includes(words)).join('|')";
    // One is lost, which its page says by itself; the other runs once more, and its page goes on with that.
    browser.wait_for(".liveop[data-liveop-state=\"interrupted\"] [data-liveop-command=\"restart\"]").await;
    browser.wait_until("document.title.includes('Interrupted')").await;
    assert_eq!(browser.text(said).await, "");
    assert_whole(&browser).await;
    browser.look_at(&of_repeated).await;
    browser.wait_for("[data-attempt=\"2\"]").await;
    browser.wait_for(LIVE).await;
    browser.wait_for(".liveop-line:nth-child(2)").await;
    assert_eq!(browser.text(said).await, "");
    assert_whole(&browser).await;
    drop(server);
}

/// The operation runs in another process, and does not notice.
#[tokio::test]
async fn an_operation_is_followed_on_when_its_page_s_server_is_restarted() {
    let runs = Server::with(&[("secret_key", "a secret that is long enough for both servers")]).await;
    let client = runs.user("ada").await;
    let id = client.simulate(STEADY).await;
    let mut shows = runs.watching().await;
    let browser = Chromium::launch(shows.address).await;
    browser.open(&format!("/operations/{id}")).await;
    sign_in(&browser, "ada").await;
    browser.wait_for(LIVE).await;
    listen(&browser).await;
    lines_come(&browser).await;
    shows.kill();
    browser.wait_for(LOST).await;
    let shows = shows.again().await;
    browser.wait_for(LIVE).await;
    lines_come(&browser).await;
    assert_whole(&browser).await;
    assert_eq!(browser.text("return window.said.join(', ')").await, "Connection lost, trying again…, Live");
    drop(shows);
}

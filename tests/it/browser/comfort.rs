//! The comforts of an operation's page: times that go on, a log that can be read in peace, the tab's icon, being told the end.

use serde_json::json;

use super::{another_line, operation, simulate};
use crate::harness::{Chromium, SLOW, Server};

/// Puts the page's own time forward, as far as its script can tell.
async fn later(browser: &Chromium, seconds: u32) {
    let script = format!(
        "const now = performance.now.bind(performance); performance.now = () => now() + {seconds}000"
    );
    browser.run(&script).await;
}

/// The text of the first element that a selector finds.
fn text_of(css: &str) -> String {
    format!("document.querySelector('{css}').textContent")
}

/// Where the parts of the page stand, but for the log's lines.
async fn places(browser: &Chromium) -> String {
    let parts = ".liveop-head, .liveop-work, .liveop-log, .liveop-log-tools > *, .liveop-log-lines, .liveop-foot, .liveop-foot > *";
    let script = format!(
        "return [...document.querySelectorAll('{parts}')].map((e) => {{
             const at = e.getBoundingClientRect();
             return `${{e.className}} ${{at.x}} ${{at.y}} ${{at.height}}`;
         }}).join('\\n')"
    );
    browser.text(&script).await
}

/// The seconds that an element's text says.
fn seconds(css: &str) -> String {
    format!(
        "((text) => 60 * (/(\\d+) min/.exec(text)?.[1] ?? 0) + Number(/(\\d+) s/.exec(text)[1]))({})",
        text_of(css)
    )
}

#[tokio::test]
async fn times_go_on_and_silence_is_told_from_a_lost_connection() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let fields = [("steps", "2"), ("delay_ms", "60000"), ("stages", "1"), ("log_every", "1")];
    let id = simulate(&browser, &fields).await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    browser.wait_for(".liveop-stage[data-state=\"current\"]").await;
    // From the newest figure that the server gave: it says nothing more, and the time goes on.
    let elapsed = seconds(".liveop-elapsed");
    browser
        .run(&format!(
            "document.addEventListener('liveop:fragment', () => {{ window.given = undefined; }});
             new MutationObserver(() => {{ window.given ??= {elapsed}; }}).observe(document, {{ childList: true, characterData: true, subtree: true }})"
        ))
        .await;
    for more in [1, 2] {
        browser.wait_until(&format!("{elapsed} >= window.given + {more}")).await;
    }
    browser.wait_until(&format!("{} >= 2", seconds(".liveop-stage-time"))).await;
    assert_eq!(browser.text(&format!("return {}", text_of(".liveop-note"))).await, "");
    let leave = "const leave = document.querySelector('.liveop-leave'); return leave.checkVisibility() ? leave.textContent : ''";
    assert_eq!(browser.text(leave).await, "You can close this page; it goes on.");

    // Silence is one from the fortieth second on: in one go, so that nothing comes in between.
    let silence =
        "const [now, root] = [performance.now, document.querySelector('.liveop')], begin = performance.now();
        performance.now = () => begin;
        root.dispatchEvent(new CustomEvent('liveop:fragment', { bubbles: true }));
        const said = [30, 39.9, 40, 59].map((seconds) => {
            performance.now = () => begin + seconds * 1000;
            root.querySelector('.liveop-log-lines').dispatchEvent(new Event('scroll'));
            return root.querySelector('.liveop-note').textContent;
        });
        performance.now = now;
        return said.join('|')";
    let said = browser.text(silence).await;
    assert_eq!(said, "||No news for 40 s, still connected.|No news for 50 s, still connected.");

    // A page that is opened meanwhile begins with the true time, though nothing changed since the begin.
    browser.page.refresh().await.expect("loaded again");
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    browser.wait_until(&format!("{elapsed} - performance.now() / 1000 > 1.5")).await;
    let before = places(&browser).await;
    later(&browser, 75).await;
    browser.wait_until(&format!("{} >= 78", seconds(".liveop-elapsed"))).await;
    browser.wait_until(&format!("{} >= 75", seconds(".liveop-stage-time"))).await;
    let note = text_of(".liveop-note");
    browser.wait_until(&format!("/^No news for 1 min [1-5]0 s, still connected\\.$/.test({note})")).await;
    assert_eq!(browser.text(&format!("return {}", text_of(".liveop-connection"))).await, "Live");
    assert_eq!(places(&browser).await, before, "nothing moves");

    // A figure that is older than what stands here: no step back, not even for one frame.
    let stale = format!(
        "const facts = document.getElementById('op-{id}-progress');
         facts.dataset.elapsed = '4'; facts.querySelector('.liveop-elapsed').textContent = '4 s'; await null;
         return {}",
        seconds(".liveop-elapsed")
    );
    let shown = browser.run(&format!("return (async () => {{ {stale} }})()")).await;
    assert!(shown.as_u64().is_some_and(|shown| shown >= 78), "{shown}");

    // What comes ends the silence, and what is lost is not called silence.
    browser.run(&format!("document.getElementById('op-{id}').dispatchEvent(new CustomEvent('liveop:fragment', {{ bubbles: true }}))")).await;
    browser.wait_until(&format!("{note} === ''")).await;
    later(&browser, 50).await;
    browser.wait_until(&format!("{note} !== ''")).await;
    drop(server);
    browser.wait_for(".liveop-connection[data-kind=\"lost\"]").await;
    browser.wait_until(&format!("{note} === ''")).await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_time_that_is_left_goes_down_between_the_servers_figures() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    simulate(&browser, &[("steps", "2000"), ("delay_ms", "50")]).await;
    browser.wait_for(".liveop-left").await;
    let left = seconds(".liveop-left");
    browser.wait_until(&format!("(window.first = {left}) > 60")).await;
    later(&browser, 30).await;
    browser.wait_until(&format!("{left} < window.first - 20")).await;
    // More than there was is over, but not less than nothing.
    later(&browser, 1000).await;
    browser.wait_until(&format!("{} === '1 s'", text_of(".liveop-left"))).await;
}

#[tokio::test]
async fn times_are_those_of_the_readers_place() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    browser.cdp("Emulation.setTimezoneOverride", &json!({ "timezoneId": "Asia/Kolkata" })).await;
    let id = simulate(&browser, &[("steps", "100000"), ("delay_ms", "20"), ("log_every", "1")]).await;
    let log = format!("document.getElementById('op-{id}-log-lines')");
    let local = "((time, from, to) => {
         const there = new Date(+new Date(time.dateTime) + 5.5 * 3600000).toISOString();
         return time.textContent === there.slice(from, to).replace('T', ' ');
     })";
    browser.wait_until(&format!("{local}(document.querySelector('.liveop-meta time'), 0, 16)")).await;
    // The lines that came with the page and those that came later.
    let all = format!("[...{log}.querySelectorAll('time')].every((time) => {local}(time, 11, 19))");
    for _ in 0..2 {
        another_line(&browser, &log).await;
        browser.wait_until(&all).await;
    }
    // What writes the server's words again, in whatever way, is not seen to do so.
    for again in [
        "time.firstChild.nodeValue = '01:02:03'",
        "time.textContent = '01:02:03'",
        "time.dateTime = '2026-01-02T20:34:05Z'",
        "time.replaceWith((window.time = time.cloneNode())), window.time.textContent = '01:02:03'",
        "time.firstChild.nodeValue = '01:02:03', time.parentElement.replaceWith(time.parentElement.cloneNode(true))",
    ] {
        let shown = format!(
            "return (async () => {{
                 window.time = {log}.lastElementChild.querySelector('time');
                 {again};
                 await null;
                 return {all};
             }})()"
        );
        assert_eq!(browser.run(&shown).await, true, "{again}");
    }
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_log_is_read_in_peace() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let fields = [("steps", "100000"), ("delay_ms", "5"), ("log_every", "1"), ("message", "row")];
    let id = simulate(&browser, &fields).await;
    let log = format!("document.getElementById('op-{id}-log-lines')");
    let at_end = format!("{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 12");
    let jump = "document.querySelector('.liveop-jump')";
    browser.wait_until(&format!("{log}.childElementCount > 199 && {at_end}")).await;
    assert_eq!(browser.run(&format!("return {jump}.hidden")).await, true, "it is followed");

    // Scrolled up: what comes is counted, in a place of its own.
    let before = places(&browser).await;
    browser.run(&format!("{log}.scrollTop = 1000")).await;
    browser
        .wait_until(&format!("/^Jump to latest, [\\d,]+ new$/.test({jump}.textContent) && !{jump}.hidden"))
        .await;
    let counted = format!("Number({jump}.textContent.replace(/\\D/g, '')) > 20");
    browser.wait_until(&counted).await;
    assert_eq!(places(&browser).await, before, "nothing moves");
    browser.wait_for(".liveop-jump").await.click().await.expect("pressed");
    browser.wait_until(&format!("{jump}.hidden && {at_end}")).await;
    another_line(&browser, &log).await;
    browser.wait_until(&at_end).await;
    assert_eq!(browser.run(&format!("return document.activeElement === {log}")).await, true);

    // Paused at the end: what stands there stays, however much comes.
    let pause = "document.querySelector('.liveop-pause')";
    assert_eq!(browser.text(&format!("return {pause}.textContent")).await, "Pause");
    browser.press("Pause").await;
    browser.wait_until(&format!("{pause}.textContent === 'Follow' && !{jump}.hidden")).await;
    let reading = format!(
        "const box = {log}.getBoundingClientRect();
         window.line = [...{log}.children].find((line) => line.getBoundingClientRect().top > box.top);
         window.at = line.getBoundingClientRect().top; window.newest = {log}.lastElementChild"
    );
    browser.run(&reading).await;
    let number = "((line) => Number(line.id.split('-').pop()))";
    browser.wait_until(&format!("{number}({log}.lastElementChild) > {number}(window.newest) + 250")).await;
    let stays =
        "return window.line.isConnected && Math.abs(window.line.getBoundingClientRect().top - window.at) < 1";
    assert_eq!(browser.run(stays).await, true, "the line that is read stays where it is");
    browser.press("Follow").await;
    browser.wait_until(&format!("{pause}.textContent === 'Pause' && {jump}.hidden && {at_end}")).await;
    browser.wait_until(&format!("{log}.childElementCount <= 200")).await;

    // Lines are not wrapped, from now on, and the log is still followed.
    let wraps = format!("getComputedStyle({log}.lastElementChild).whiteSpace");
    assert_eq!(browser.text(&format!("return {wraps}")).await, "pre-wrap");
    browser.press("Wrap").await;
    browser.wait_for(".liveop-wrap[aria-pressed=\"false\"]").await;
    assert_eq!(browser.text(&format!("return {wraps}")).await, "pre");
    browser.page.refresh().await.expect("loaded again");
    browser.wait_for(".liveop-wrap[aria-pressed=\"false\"]").await;
    browser.wait_until(&format!("{wraps} === 'pre' && {at_end}")).await;

    // Every control can be hit, and at the end those that are of no use any more are gone.
    let small = "return [...document.querySelectorAll('.liveop button, .liveop-tool')].filter((e) => e.checkVisibility())
        .filter((e) => e.getBoundingClientRect().height < 24 || e.getBoundingClientRect().width < 24).map((e) => e.className).join()";
    assert_eq!(browser.text(small).await, "");
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    browser.run(&format!("{log}.scrollTop = 0")).await;
    let useless =
        "[...document.querySelectorAll('.liveop-pause, .liveop-jump, .liveop-notify, .liveop-leave')]";
    browser.wait_until(&format!("!{useless}.some((button) => button.checkVisibility())")).await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn what_failed_says_what_helps_and_can_be_copied() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let file = server.folder().join("customers.csv");
    std::fs::write(&file, b"PK\x03\x04\0\0").expect("written");
    browser.open("/operations/new/csv_import").await;
    browser.fill("file", file.to_str().expect("UTF-8")).await;
    browser.press("Start").await;
    let id = operation(&browser).await;
    browser.wait_for(".liveop[data-liveop-state=\"failed\"]").await;
    // What it came to is read first, and seen first.
    let order = "return [...document.querySelectorAll('.liveop-outcome, .liveop-work, .liveop-log')]
        .map((e) => [e.classList[1], e.getBoundingClientRect().top])
        .map(([name, top], at, all) => at && top < all[at - 1][1] ? `${name} is above` : name).join(', ')";
    assert_eq!(browser.text(order).await, "liveop-outcome, liveop-work, liveop-log");
    // The same file would fail again.
    let primary = text_of(".liveop-primary");
    assert_eq!(browser.text(&format!("return {primary}")).await, "Choose another file");
    browser.wait_for(&format!("a.liveop-primary[href='/operations/new/csv_import?from={id}']")).await;

    let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.cdp("Browser.grantPermissions", &permissions).await;
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }").await;
    // What the button says of it, which it does for a moment only.
    let copy = "document.querySelector('.liveop-reference .liveop-copy')";
    let hear = format!(
        "window.words = []; const button = {copy};
         new MutationObserver(() => window.words.push(button.textContent)).observe(button, {{ childList: true, characterData: true, subtree: true }})"
    );
    browser.run(&hear).await;
    browser.wait_for(".liveop-reference .liveop-copy").await.click().await.expect("pressed");
    browser.wait_until(&format!("window.copied === '{id}'")).await;
    browser.wait_until("window.words[0] === 'Copied'").await;
    browser.wait_until("document.getElementById('liveop-status').textContent === 'Copied'").await;
    browser.wait_for(".liveop-log .liveop-copy").await.click().await.expect("pressed");
    browser.wait_until("/^\\d\\d:\\d\\d:\\d\\d customers\\.csv, 6 bytes$/.test(window.copied)").await;

    // What the browser does not allow is not called done.
    let id = simulate(&browser, &[("outcome", "error"), ("message", "The disk is full.")]).await;
    browser.wait_for(".liveop[data-liveop-state=\"failed\"]").await;
    assert_eq!(browser.text(&format!("return {primary}")).await, "Try again");
    browser.run("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))").await;
    browser.run(&hear).await;
    browser.wait_for(".liveop-reference .liveop-copy").await.click().await.expect("pressed");
    browser.wait_until("window.words[0] === 'Selected'").await;
    assert_eq!(browser.text("return getSelection().toString()").await, id);
    browser.assert_clean().await;
}

/// Stands in for the browser's notifications, which nobody sees here, and its window that comes to the front.
pub(super) const NOTIFICATIONS: &str = "
    window.asked = 0;
    window.shown = [];
    window.focus = () => window.focused = true;
    window.Notification = class {
        static permission = 'default';
        static requestPermission() {
            window.asked++;
            return Promise.resolve((this.permission = window.answer ?? 'granted'));
        }
        constructor(title, options) { window.shown.push({ title, ...options, notification: this }); }
        close() { window.put_away = true; }
    };
";

/// The browser's own notifications, each of which is noted.
const NOTED: &str = "
    window.shown = [];
    window.Notification = class extends Notification {
        constructor(title, options) {
            super(title, options);
            window.shown.push(this);
        }
    };
";

/// Allowed by the browser itself, and refused by it.
#[tokio::test]
async fn the_browser_tells_the_end_of_what_nobody_looks_at_once() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    browser.hurry(10).await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": NOTED })).await;
    let notifications = async |setting: &str| {
        let permission = json!({ "permission": { "name": "notifications" }, "setting": setting });
        browser.cdp("Browser.setPermission", &permission).await;
    };
    notifications("granted").await;
    let fields = [("steps", "100000"), ("delay_ms", "20"), ("message", "Rebuilding the index")];
    let id = simulate(&browser, &fields).await;
    browser.press("Notify me when it is done").await;
    browser.wait_for(".liveop-notify[aria-pressed=\"true\"]").await;
    assert_eq!(browser.text("return Notification.permission").await, "granted");
    let page = browser.tab().await;
    let front = browser.new_tab().await;
    browser.look_at(&page).await;
    browser.put_in_front(&front).await;
    browser.wait_until("document.hidden").await;
    assert_eq!(browser.run("return window.shown.length").await, 0, "it is not over");
    client.command(&id, "cancel").await;
    browser.wait_until("window.shown.length").await;
    let told = "return window.shown.map(({ title, body, tag }) => [title, body, tag].join('|')).join()";
    let words = format!("Rebuilding the index|Cancelled. It stopped before its end|op-{id}");
    assert_eq!(browser.text(told).await, words);
    browser.look_at(&page).await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]:not([data-liveop-token])").await;
    assert_eq!(browser.text(told).await, words, "once, also when somebody looks");

    // Refused when it is asked, it says so; refused before, it offers nothing.
    simulate(&browser, &fields).await;
    browser.wait_for(".liveop-notify[aria-pressed=\"false\"]:not([hidden])").await;
    // What has the focus stays.
    browser.run("document.querySelector('.liveop-notify').focus()").await;
    notifications("denied").await;
    browser.press("Notify me when it is done").await;
    browser
        .wait_until(&format!("{}.includes('does not allow notifications')", text_of(".liveop-note")))
        .await;
    browser.page.refresh().await.expect("loaded again");
    browser.wait_for(".liveop-copy:not([hidden])").await;
    browser.wait_until("document.querySelector('.liveop-notify').hidden").await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_end_is_told_to_who_asked_for_it() {
    let server = Server::with(&[("workers", "1")]).await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": NOTIFICATIONS })).await;
    // The first of two waits behind another one, and so does the second, for as long as is needed to look at them.
    let before_first = client.simulate(SLOW).await;
    let fields = [("steps", "20"), ("delay_ms", "50"), ("chain", "1"), ("message", "Two in a row")];
    let first = simulate(&browser, &fields).await;
    let before_second = client.simulate(SLOW).await;
    let button = "document.querySelector('.liveop-notify')";
    browser.wait_until(&format!("!{button}.hidden")).await;
    assert_eq!(browser.run("return window.asked").await, 0, "not before somebody wants it");
    let before = places(&browser).await;
    browser.press("Notify me when it is done").await;
    browser.wait_for(".liveop-notify[aria-pressed=\"true\"]").await;
    browser.wait_until(&format!("{}.includes('Keep this tab open')", text_of(".liveop-note"))).await;
    assert_eq!(places(&browser).await, before, "nothing moves");
    // This tab keeps it over a reload, and hands it on with the operation.
    browser.page.refresh().await.expect("loaded again");
    browser.wait_for(".liveop-notify[aria-pressed=\"true\"]").await;
    let icon = "document.querySelector('link[rel=icon]').href";
    client.command(&before_first, "cancel").await;
    browser.wait_until(&format!("!document.getElementById('op-{first}')")).await;
    browser.wait_for(".liveop-notify[aria-pressed=\"true\"]").await;
    assert_eq!(browser.run("return window.shown.length").await, 0, "the first of them is not the end");
    client.command(&before_second, "cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    browser.wait_until("window.shown.length === 1").await;
    let told = browser.text("return `${window.shown[0].title}: ${window.shown[0].body}`").await;
    assert_eq!(told, "Two in a row: Done");
    browser.run("window.shown[0].notification.onclick()").await;
    assert_eq!(browser.run("return window.focused && window.put_away").await, true);
    browser.wait_until(&format!("{icon}.includes('%231a7742')")).await;
    browser.assert_clean().await;

    // Of another operation nobody said anything. Where it is refused, the button does not pretend.
    simulate(&browser, &[("steps", "1000"), ("delay_ms", "60")]).await;
    browser.wait_for(".liveop-notify[aria-pressed=\"false\"]").await;
    // On its way it is drawn as far as it is.
    browser.wait_until(&format!("/stroke-dasharray%3D%22[1-9]/.test({icon})")).await;
    browser.run("window.answer = 'denied'").await;
    browser.press("Notify me when it is done").await;
    browser.wait_until(&format!("{}.includes('not allow')", text_of(".liveop-note"))).await;
    assert_eq!(
        browser.run(&format!("return window.asked === 1 && !{button}.hidden")).await,
        true,
        "it has the focus"
    );
    browser.run("document.activeElement.blur()").await;
    browser.wait_until(&format!("{button}.hidden")).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    assert_eq!(browser.run("return window.shown.length").await, 0);
}

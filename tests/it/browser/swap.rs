//! What a reader has stays theirs while fragments arrive.

use serde_json::json;

use super::{another_line, simulate};
use crate::harness::{Chromium, SLOW, Server};

/// Gives the page's stream away, so that a test can speak as the server does.
const STREAM: &str = "
    window.EventSource = class extends EventSource {
        constructor(url) { super(url); window.stream = this; }
    };
    window.say = (id, swap, html) => window.stream.dispatchEvent(
        new MessageEvent('fragment', { data: JSON.stringify({ id, swap, html }) }));
";

async fn with_stream(server: &Server) -> Chromium {
    let browser = Chromium::signed_in(server).await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": STREAM })).await;
    browser
}

/// Waits until so many lines more are in the log than now.
async fn lines_come(browser: &Chromium, more: usize) {
    let count = "document.querySelector('.liveop-log-lines').childElementCount";
    let now = browser.run(&format!("return {count}")).await;
    browser.wait_until(&format!("{count} >= {now} + {more}")).await;
}

#[tokio::test]
async fn focus_selection_and_scroll_stay_while_fragments_arrive() {
    let server = Server::start().await;
    let browser = with_stream(&server).await;
    browser.resize(600, 500).await;
    let id = simulate(&browser, &[("steps", "1000"), ("delay_ms", "50"), ("log_every", "1")]).await;
    let own = |note: &str| {
        let rows = "<p>a row</p>".repeat(40);
        format!(
            "say('op-{id}-extra', 'inner', `<div id='op-{id}-own'><p>{note}</p>
             <details><summary>more</summary>all of it</details><input value='{note}'>
             <div class='scroller'>{rows}</div></div>`)"
        )
    };
    // What the stream begins with is painted by then, or it would take that away again.
    lines_come(&browser, 1).await;
    browser.run(&own("first")).await;
    let part = |css: &str| format!("document.querySelector('#op-{id}-own {css}')");
    browser.wait_until(&format!("{} && document.querySelector('#op-{id}-log-30')", part("p"))).await;
    // Where the reader is: in a field, beside something open, scrolled in all that scrolls.
    browser
        .run(&format!(
            "const [input, scroller, log] = [{}, {}, document.querySelector('.liveop-log-lines')];
             {}.open = true;
             const sheet = new CSSStyleSheet();
             sheet.replaceSync('.scroller {{ height: 100px; overflow: auto }}');
             document.adoptedStyleSheets = [sheet];
             scroller.scrollTop = 70;
             input.value = 'what was typed';
             input.focus();
             input.setSelectionRange(5, 8);
             log.scrollTop = 60;
             window.scrollTo(0, 150);",
            part("input"),
            part(".scroller"),
            part("details"),
        ))
        .await;
    let place = format!(
        "const [input, log] = [{}, document.querySelector('.liveop-log-lines')];
         return [document.activeElement === input, input.value, input.selectionStart, input.selectionEnd, {}.open,
             {}.scrollTop, log.scrollTop, scrollY]",
        part("input"),
        part("details"),
        part(".scroller"),
    );
    let before = browser.run(&place).await;
    assert_eq!(before, json!([true, "what was typed", 5, 8, true, 70, 60, 150]));
    browser.run(&own("second")).await;
    browser.wait_until(&format!("{}.textContent === 'second'", part("p"))).await;
    lines_come(&browser, 5).await;
    assert_eq!(browser.run(&place).await, before);
    // What is selected in the page's text, where the text stays.
    let selected = browser
        .text(&format!(
            "const line = document.getElementById('op-{id}-log-3').lastElementChild.firstChild;
             getSelection().setBaseAndExtent(document.querySelector('h1').firstChild, 0, line, 4);
             return getSelection().toString()"
        ))
        .await;
    assert!(selected.starts_with("1000 steps") && selected.len() > 20, "{selected}");
    lines_come(&browser, 5).await;
    let still =
        "return getSelection().focusNode.parentElement.closest('[id]').id + getSelection().focusOffset
             + getSelection().anchorNode.parentElement.tagName";
    assert_eq!(browser.text(still).await, format!("op-{id}-log-34H1"));
    // A page that takes the container away, and brings it later, as applications of one page do.
    browser
        .run("window.taken = document.querySelector('.liveop').cloneNode(true); document.querySelector('.liveop').remove()")
        .await;
    browser.wait_until("window.stream.readyState === 2").await;
    browser.run("document.querySelector('main').append(window.taken)").await;
    another_line(&browser, "document.querySelector('.liveop-log-lines')").await;
    browser.assert_clean().await;
}

/// Ten thousand lines at once, as from a stream that was held up: a frame takes no more than it has time for, so that the
/// reader's own events come first. The same where the log comes as a whole, with most of its lines there already.
#[tokio::test]
async fn a_burst_of_lines_and_a_whole_log_are_painted_in_lots() {
    let server = Server::with(&[("log_tail", "10000")]).await;
    let browser = with_stream(&server).await;
    let id = simulate(&browser, SLOW).await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    let log = "document.querySelector('.liveop-log-lines')";
    let at_once = browser
        .run(&format!(
            "window.paints = [];
             const count = (sum, change) => sum + (change.type === 'characterData' ? 1 : change.addedNodes.length);
             new MutationObserver((changes) => window.paints.push(changes.reduce(count, 0)))
                 .observe({log}, {{ childList: true, characterData: true, subtree: true }});
             window.lines = (from, to, word) => {{
                 let html = '';
                 for (let n = from; n <= to; n++) html += `<div id='op-{id}-log-${{n}}'>${{word}} ${{n}}</div>`;
                 return html;
             }};
             for (let n = 1; n < 10000; n += 200) say({log}.id, 'append', lines(n, n + 199, 'line'));
             return {log}.childElementCount"
        ))
        .await;
    assert_eq!(at_once, 0, "nothing is done before the frame");
    browser.wait_for(&format!("#op-{id}-log-10000")).await;
    let seen = format!(
        "return [window.paints.length, Math.max(...window.paints), {log}.childElementCount, {log}.firstElementChild.id]"
    );
    assert_eq!(browser.run(&seen).await, json!([40, 250, 10_000, format!("op-{id}-log-1")]));
    let from_end = format!("{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight");
    assert_eq!(browser.run(&format!("return {from_end} < 12")).await, true);
    // Somebody reads in the middle, and has marked a word.
    let place = format!(
        "const line = document.getElementById('op-{id}-log-5000');
         return [Math.round(line.getBoundingClientRect().top), getSelection().focusNode === line.firstChild]"
    );
    let before = browser
        .run(&format!(
            "window.paints.length = 0;
             const text = document.getElementById('op-{id}-log-5000').firstChild;
             getSelection().setBaseAndExtent(text, 0, text, 4);
             {log}.scrollTop = {log}.scrollHeight / 2;
             {place}"
        ))
        .await;
    browser
        .run(&format!(
            "say({log}.id, 'outer', {log}.cloneNode().outerHTML.replace('</div>', lines(11, 10010, 'again') + '</div>'))"
        ))
        .await;
    browser.wait_for(&format!("#op-{id}-log-10010")).await;
    assert_eq!(browser.run(&seen).await, json!([40, 250, 10_000, format!("op-{id}-log-11")]));
    assert_eq!(browser.run(&place).await, before);
    browser.run(&format!("{log}.scrollTop = {log}.scrollHeight")).await;
    assert_eq!(browser.run(&format!("return {log}.textContent.includes('line')")).await, false);
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_error_is_said_once_and_no_region_speaks_by_itself() {
    let server = Server::with(&[("workers", "1")]).await;
    let browser = Chromium::signed_in(&server).await;
    let client = browser.client(&server).await;
    // It waits behind this one for as long as is needed to listen.
    let before = client.simulate(SLOW).await;
    let fields = [
        ("steps", "20"),
        ("delay_ms", "20"),
        ("log_every", "1"),
        ("outcome", "error"),
        ("message", "no such table"),
    ];
    simulate(&browser, &fields).await;
    browser
        .run(
            "window.said = [];
             const alert = document.querySelector('body > [role=alert]');
             window.said.push(alert.textContent);
             new MutationObserver(() => window.said.push(alert.textContent)).observe(alert, { childList: true, characterData: true, subtree: true })",
        )
        .await;
    client.command(&before, "cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"failed\"]").await;
    browser.wait_until("window.said.length > 1").await;
    let said = browser.run("return window.said").await;
    let words = said[1].as_str().expect("text");
    assert_eq!(said[0], "");
    assert!(words.contains("Failed") && words.contains("no such table"), "{words}");
    let polite = browser.text("return document.querySelector('body > [role=status]').textContent").await;
    assert!(!polite.contains("Failed"), "{polite}");
    let loud = "document.querySelectorAll('.liveop :is([role=status], [role=alert], [role=log]:not([aria-live=off]), [aria-live]:not([aria-live=off]))').length";
    assert_eq!(browser.run(&format!("return {loud}")).await, 0);
    browser.wait_for(".liveop-log-lines[role=log]").await;
    browser.page.refresh().await.expect("loaded again");
    browser.wait_for(".liveop[data-liveop-state=\"failed\"]").await;
    // The shim has begun: it makes these elements, and has the title.
    browser.wait_until("document.querySelector('body > [role=alert]') && /^✕/.test(document.title)").await;
    assert_eq!(browser.run("return window.said").await, json!(null), "it was loaded anew");
    assert_eq!(
        browser.text("return document.querySelector('body > [role=alert]').textContent").await,
        "",
        "that is no news"
    );
    browser.assert_clean().await;
}

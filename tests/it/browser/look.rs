//! How the pages look, to eyes, hands and screen readers: what a browser makes of the stylesheet.

use std::path::Path;

use serde_json::{Value, json};

use super::embed::{import, signed_in};
use super::simulate;
use crate::embed::Shop;
use crate::harness::{Chromium, Proxy, Server, finish, liveops};
use crate::start::csv;

/// How a reader likes it, and how wide the window is.
async fn dress(browser: &Chromium, scheme: &str, width: u32) {
    let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.cdp("Emulation.setEmulatedMedia", &media).await;
    browser.resize(width, 900).await;
}

/// One thing that a reader likes, and nothing else.
async fn prefer(browser: &Chromium, feature: &str, value: &str) {
    let media = json!({ "media": "", "features": [{ "name": feature, "value": value }] });
    browser.cdp("Emulation.setEmulatedMedia", &media).await;
}

/// The window as it was.
async fn undress(browser: &Chromium) {
    browser.cdp("Emulation.setEmulatedMedia", &json!({ "media": "", "features": [] })).await;
    browser.cdp("Emulation.clearDeviceMetricsOverride", &json!({})).await;
}

/// axe finds nothing wrong with the page as it is now, light and wide or dark and narrow.
pub(super) async fn assert_accessible(browser: &Chromium, what: &str) {
    assert_accessible_to(browser, &[("light", 1000), ("dark", 320)], what).await;
}

async fn assert_accessible_to(browser: &Chromium, readers: &[(&str, u32)], what: &str) {
    if browser.text("return document.contentType").await != "text/html" {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(file).expect("axe-core is there: scripts/setup-tests installs it");
    browser.run(&axe).await;
    for &(scheme, width) in readers {
        dress(browser, scheme, width).await;
        let run = "return axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
            .then(({ violations, passes }) => passes.length < 5 ? ['too little is looked at'] : violations.flatMap(({ id, nodes }) =>
                nodes.map((node) => `${id}: ${node.target} ${node.failureSummary}`)))";
        assert_eq!(browser.run(run).await, json!([]), "{what}, {scheme}, {width} px wide");
    }
    undress(browser).await;
}

/// What a script that looks for faults found.
async fn faults(browser: &Chromium, script: &str) -> Vec<String> {
    let Value::Array(found) = browser.run(script).await else { panic!("no list from {script}") };
    found.iter().map(|fault| fault.as_str().unwrap_or_default().to_owned()).collect()
}

/// Rules for elements such as a page around ours may have, and worse.
const NASTY: &str = "
    * { margin: 0; padding: 0 }
    h1, h2 { margin: 2em 0 1em; padding: 1em; font: 700 3rem/2 serif; text-transform: uppercase; text-align: center; letter-spacing: 2px }
    p, ul, ol, dl { margin: 2em 0; font-size: 1.5rem; line-height: 2 } ul, ol { padding-inline-start: 4em } li { margin: 1em 0; padding: .3em }
    dt { float: left; width: 40% } dd { margin-left: 3em }
    button { width: 100%; min-width: 20rem; height: 5rem; margin: 1em; padding: 1.5em 3em; border: 5px solid red; background: yellow; font: 2rem serif }
    progress { appearance: auto; display: inline-block; width: 50%; height: 3em; margin: 1em; border: 2px solid red }
    form, nav, details { margin: 2em; padding: 2em; border: 1px solid red; background: yellow } nav, form { display: grid } summary { padding: 1em; font-size: 2em }";

/// The same for tables.
const NASTY_TABLE: &str = "
    table { width: 50%; margin: 2em; border: 3px solid red; border-collapse: separate; border-spacing: 5px; background: yellow; font: 2rem serif }
    tr { height: 9rem; border: 3px solid red; background: pink }
    th, td { width: 3rem; height: 9rem; padding: 2em; border: 3px solid red; background: yellow; color: red; font: 2rem serif; text-align: center; text-transform: uppercase; letter-spacing: 2px; vertical-align: bottom }";

/// Adds rules to the page.
async fn add_rules(browser: &Chromium, rules: &str) {
    let add = "const sheet = new CSSStyleSheet(); sheet.replaceSync(";
    browser.run(&format!("{add}{}); document.adoptedStyleSheets = [sheet]", json!(rules))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_keeps_its_look_and_we_keep_ours() {
    let shop = Shop::open().await;
    let browser = signed_in(&shop).await;
    let around =
        "return JSON.stringify([...document.querySelectorAll('body, header, header *, h1')].map((e) => {
        const style = getComputedStyle(e);
        return [style.color, style.font, style.margin, style.padding, style.boxSizing].join();
    }))";
    import(&browser, 5000).await;
    browser.wait_until("document.querySelectorAll('.liveop-log-lines > *').length > 5").await;
    assert_accessible(&browser, "an application's page, running").await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
    assert_accessible(&browser, "an application's page, at its end").await;
    // Where everything is, and of which size, with and without the rules.
    let boxes = "return [...document.querySelectorAll('.liveop [class^=liveop-]:not(bdi, span, time, code)')].filter((e) => e.getClientRects().length).map((e) => {
        const [of, box] = [e.getBoundingClientRect(), document.querySelector('.liveop').getBoundingClientRect()];
        return [e.className, of.x - box.x, of.y - box.y, of.width, of.height].map((n) => typeof n === 'number' ? Math.round(n) : n).join(' ');
    })";
    let before = faults(&browser, boxes).await;
    let outside = browser.text(around).await;
    add_rules(&browser, NASTY).await;
    assert_ne!(browser.text(around).await, outside, "the rules do something");
    assert_eq!(faults(&browser, boxes).await, before);
    // And without our stylesheet the page around is what it is with it.
    browser.run("document.adoptedStyleSheets = []; document.querySelector('.liveop h1').remove()").await;
    let with = browser.text(around).await;
    browser.run("document.querySelector('link[href*=\"liveops\"]').remove()").await;
    assert_eq!(browser.text(around).await, with);
}

#[tokio::test]
async fn nothing_moves_while_it_runs() {
    let server = Server::with(&[("workers", "1"), ("log_tail", "50")]).await;
    let browser = Chromium::signed_in(&server).await;
    // What moved up or down, in which state; a number that grows within its line is no move, nor is a line of a log that is
    // followed: it goes up when older ones leave. A page that was painted in part gets the rest of its HTML with the first
    // frame after that is there; what the scripts do to the page comes in that frame too, where it moves nothing, or later.
    let witness = "window.moved = [];
        let whole = Infinity;
        document.addEventListener('readystatechange', () =>
            requestAnimationFrame(() => requestAnimationFrame((now) => { whole = Math.min(whole, now); })));
        new PerformanceObserver((list) => list.getEntries().filter(({ startTime }) => startTime >= whole).forEach(({ sources }) => sources.forEach(({ node, previousRect: from, currentRect: to }) => {
            const state = document.querySelector('.liveop')?.dataset.liveopState;
            const element = node?.nodeType === 1 ? node : node?.parentElement;
            if (Math.abs(from.y - to.y) > 1 && ['waiting', 'running', 'cancelling'].includes(state) && element && !element.closest('.liveop-line')) {
                window.moved.push(`${state}: ${element.id || element.className} from ${from.y} to ${to.y}`);
            }
        }))).observe({ type: 'layout-shift', buffered: true });";
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": witness })).await;
    for width in [1000, 620, 320] {
        dress(&browser, "light", width).await;
        let first =
            simulate(&browser, &[("steps", "2000"), ("delay_ms", "20"), ("log_every", "1"), ("stages", "3")])
                .await;
        browser.wait_for(".liveop-stage-list").await;
        browser.page.refresh().await.expect("it loads");
        // Long enough for a rate and the time left to come, and for lines that only the whole log has.
        browser.wait_until("document.querySelector('.liveop-log-more').textContent.includes('more') && document.querySelector('.liveop-facts').textContent.includes('left')").await;
        assert_eq!(faults(&browser, "return window.moved").await, Vec::<String>::new(), "{width} px wide");

        // One that waits for the first, and runs when that is over.
        let fields = [("steps", "3000"), ("delay_ms", "20"), ("log_every", "15"), ("stages", "0")];
        simulate(&browser, &fields).await;
        browser.wait_for(".liveop[data-liveop-state=\"waiting\"] .liveop-before").await;
        let client = browser.client(&server).await;
        let csrf = client.get(&format!("/operations/{first}")).await.csrf();
        client
            .send(
                crate::harness::Ask::post(&format!("/operations/{first}/cancel"))
                    .form(&[("csrf_token", &csrf)]),
            )
            .await;
        browser.wait_until("document.querySelectorAll('.liveop-line').length > 3").await;
        // A log that is shorter than its box.
        let height = "return document.querySelector('.liveop-log-lines').offsetHeight";
        let before = browser.run(height).await;
        browser.press("Cancel").await;
        browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]:not([data-liveop-token])").await;
        assert_eq!(browser.run(height).await, before, "{width} px wide");
        assert_eq!(faults(&browser, "return window.moved").await, Vec::<String>::new(), "{width} px wide");
        // The witness sees what moves.
        browser.run("document.querySelector('.liveop').dataset.liveopState = 'running'; const p = document.createElement('p'); p.textContent = 'new'; document.querySelector('.liveop').prepend(p)").await;
        browser.wait_until("window.moved.length > 0").await;
    }
}

/// Everything that a person presses or types into.
const CONTROLS: &str =
    "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.site-skip'))";

/// The page fits into its window, everything on it can be hit, and right to left it is its own mirror image.
async fn assert_fits(browser: &Chromium, what: &str) {
    for (width, zoom) in [(320, 100), (320, 200), (1280, 200), (1920, 100)] {
        dress(browser, "light", width).await;
        for direction in ["rtl", "ltr"] {
            browser.run(&format!("document.documentElement.dir = '{direction}'; document.documentElement.style.fontSize = '{zoom}%'")).await;
            let overflow = browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            assert_eq!(overflow, 0, "{what}: {width} px, {zoom} %, {direction}");
        }
    }
    for width in [320, 1000] {
        dress(browser, "light", width).await;
        browser.run("document.documentElement.style.fontSize = ''").await;
        let small = format!(
            "return {CONTROLS}.map((e) => [e, e.getBoundingClientRect()]).filter(([, box]) => box.width < 24 || box.height < 24)
                .map(([e, box]) => `${{e.outerHTML.slice(0, 120)}} ${{box.width}} × ${{box.height}}`)"
        );
        assert_eq!(
            faults(browser, &small).await,
            Vec::<String>::new(),
            "{what}, {width} px: smaller than 24 px"
        );
        // Boxes only: where a text of another direction breaks is its own affair.
        let mirrored = "const boxes = (dir) => {
                document.documentElement.dir = dir;
                return [...document.querySelectorAll('header, header > *, main, .liveop-badge, .liveop-card, .liveop-controls, .liveop-dot, .liveop-stage, .liveop-tile, .liveop-bar, .liveop-log-lines, .site-card, .site-field > *, td')]
                    .filter((e) => e.getClientRects().length).map((e) => [e, e.getBoundingClientRect()]);
            };
            const [ltr, wide] = [boxes('ltr'), document.documentElement.clientWidth];
            return boxes('rtl').map(([e, box], n) => [e, box.left, wide - ltr[n][1].right]).filter(([, is, ought]) => Math.abs(is - ought) > 2)
                .map(([e, is, ought]) => `${e.tagName} ${e.className}: ${is}, not ${ought}`)";
        assert_eq!(faults(browser, mirrored).await, Vec::<String>::new(), "{what}, {width} px");
        browser.run("document.documentElement.dir = 'ltr'").await;
    }
    undress(browser).await;
}

/// On paper: dark on white, the whole log, nothing to press.
async fn assert_prints(browser: &Chromium) {
    let media =
        json!({ "media": "print", "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.cdp("Emulation.setEmulatedMedia", &media).await;
    let pressed = "return [...document.querySelectorAll('button, .liveop-button, header')].filter((e) => e.checkVisibility()).map((e) => e.outerHTML)";
    assert_eq!(faults(browser, pressed).await, Vec::<String>::new());
    let log = "document.querySelector('.liveop-log-lines')";
    assert_eq!(
        browser.run(&format!("return {log}.scrollHeight - {log}.clientHeight")).await,
        0,
        "all of the log"
    );
    let bright = "return [...document.querySelectorAll('.liveop-title, .liveop-outcome-title, .liveop-line bdi')]
        .filter((e) => Math.max(...getComputedStyle(e).color.match(/\\d+/g).slice(0, 2)) > 140).map((e) => e.className || e.textContent)";
    assert_eq!(faults(browser, bright).await, Vec::<String>::new(), "bright letters on paper");
    undress(browser).await;
}

/// A title takes the room that is there and is told whole; a table is ours, whatever is said of tables.
async fn assert_list_holds(browser: &Chromium) {
    dress(browser, "light", 1000).await;
    let cut = "return [...document.querySelectorAll('.liveop-row-title a')].filter((a) => a.textContent.length > 60 && a.title === a.textContent)
        .map((a) => a.querySelector('bdi')).filter((e) => e.scrollWidth > e.clientWidth && e.offsetHeight < 30).length";
    assert_eq!(browser.run(cut).await, 3, "long titles are cut at the end of their cell");
    assert_holds(browser, ".site-table table", NASTY_TABLE).await;
    undress(browser).await;
}

/// An element and what is in it are where they are, and look as they look, whatever rules a page adds.
async fn assert_holds(browser: &Chromium, css: &str, rules: &str) {
    let boxes = format!("const [within] = document.querySelectorAll('{css}'), from = within.getBoundingClientRect();
        return [within, ...within.querySelectorAll('*')].map((e) => {{
            const [{{ x, y, width, height }}, style] = [e.getBoundingClientRect(), getComputedStyle(e)];
            return [e.tagName, e.className, ...[x - from.x, y - from.y, width, height].map(Math.round), style.backgroundColor, style.borderTopWidth, style.color, style.font, style.textTransform].join(' ');
        }})");
    let before = faults(browser, &boxes).await;
    add_rules(browser, rules).await;
    assert_eq!(faults(browser, &boxes).await, before);
    browser.run("document.adoptedStyleSheets = []").await;
}

/// The end changes nothing of how much of the log is in view.
async fn assert_log_keeps_its_size(browser: &Chromium) {
    dress(browser, "light", 1000).await;
    browser.wait_until("document.querySelectorAll('.liveop-line').length > 40").await;
    let height = "return document.querySelector('.liveop-log-lines').offsetHeight";
    let before = browser.run(height).await;
    browser.press("Cancel").await;
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]:not([data-liveop-token])").await;
    assert_eq!(browser.run(height).await, before);
    undress(browser).await;
}

#[tokio::test]
async fn every_page_fits_from_320_px_on_in_both_directions_and_on_paper() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    for path in
        ["/", "/operations/new/simulate", "/operations/new/csv_import", "/operations", "/nothing/here"]
    {
        browser.open(path).await;
        assert_fits(&browser, path).await;
    }
    let file = server.folder().join("customers.csv");
    let mut content = csv(3000);
    content.extend_from_slice(&b"1,2\n".repeat(50));
    std::fs::write(&file, content).expect("written");
    browser.open("/operations/new/csv_import").await;
    browser.fill("file", file.to_str().expect("UTF-8")).await;
    browser.press("Start").await;
    browser.wait_for(".liveop[data-liveop-state=\"succeeded\"]").await;
    assert_fits(&browser, "an import").await;
    assert_prints(&browser).await;
    let long = "A message that goes on for quite a while, with_a_word_that_is_very_long_and_never_seems_to_end_at_all";
    let fields = [("steps", "30"), ("delay_ms", "0"), ("log_every", "1"), ("message", long), ("stages", "3")];
    for (name, value, state) in [("outcome", "error", "failed"), ("chain", "1", "succeeded")] {
        let id = simulate(&browser, &[&fields[..], &[(name, value)]].concat()).await;
        // As it is then: a page that saw the end of the first of two goes on in place.
        browser.client(&server).await.finished(&id).await;
        browser.open(&format!("/operations/{id}")).await;
        if name == "chain" {
            browser.wait_for(".liveop-chain li:nth-child(2)").await;
        }
        browser.wait_for(&format!(".liveop[data-liveop-state=\"{state}\"]")).await;
        browser.run("document.querySelector('.liveop-input').open = true").await;
        assert_fits(&browser, state).await;
        assert_holds(&browser, ".liveop-input", NASTY).await;
        assert_prints(&browser).await;
    }
    // Names of a letter are to be hit, too.
    browser
        .run("document.querySelectorAll('.liveop-chain a bdi').forEach((e) => (e.textContent = 'i'))")
        .await;
    assert_fits(&browser, "a chain of short names").await;
    browser.open("/operations").await;
    assert_fits(&browser, "the list").await;
    assert_list_holds(&browser).await;

    // Colours that the reader forces: a bar is there and says how far, a state has a border.
    simulate(&browser, &[("steps", "100000"), ("delay_ms", "20"), ("log_every", "1")]).await;
    browser.wait_for(".liveop-bar[value]").await;
    assert_fits(&browser, "one that runs").await;
    browser.wait_until("document.querySelectorAll('.liveop-line').length > 199").await;
    assert_prints(&browser).await;
    assert!(browser.sheets().await >= 4, "200 lines do not stop at the end of a sheet");
    prefer(&browser, "forced-colors", "active").await;
    for element in [".liveop-bar", ".liveop-badge"] {
        let border = format!("return getComputedStyle(document.querySelector('{element}')).borderTopWidth");
        assert_eq!(browser.text(&border).await, "1px", "{element}");
    }
    // And nothing moves for those who don't like that. In one go: the next fragment brings the bar's value back.
    let moving = "const bar = document.querySelector('.liveop-bar'); bar.removeAttribute('value');
        const style = getComputedStyle(bar, '::-webkit-progress-value').transitionDuration;
        return [...document.getAnimations().map((animation) => animation.animationName || 'a transition'), style].filter((moves) => moves !== '0s')";
    prefer(&browser, "prefers-reduced-motion", "no-preference").await;
    assert!(faults(&browser, moving).await.contains(&"liveop-pass".to_owned()), "for others something does");
    prefer(&browser, "prefers-reduced-motion", "reduce").await;
    assert_eq!(faults(&browser, moving).await, Vec::<String>::new());
    assert_log_keeps_its_size(&browser).await;
}

#[tokio::test]
async fn what_a_page_is_only_for_a_while_is_accessible_too() {
    let server = Server::with(&[("required_group", "staff")]).await;
    put_into(&server, &["--group", "staff"]);
    let proxy = Proxy::before(server.address).await;
    let browser = Chromium::signed_in_at(proxy.address, &server).await;
    let client = browser.client(&server).await;
    let fields = [("steps", "100000"), ("delay_ms", "20"), ("log_every", "1"), ("stages", "2")];
    let running = simulate(&browser, &fields).await;
    browser.wait_until("document.querySelectorAll('.liveop-line').length > 60").await;
    let everybody = [("light", 1000), ("light", 320), ("dark", 1000), ("dark", 320)];
    browser.run("document.querySelector('.liveop-input').open = true").await;
    assert_accessible_to(&browser, &everybody, "one that runs").await;
    let jump = "!document.querySelector('.liveop-jump').hidden";
    browser.run("document.querySelector('.liveop-log-lines').scrollTop = 0").await;
    browser.wait_until(jump).await;
    assert_accessible(&browser, "a log that is behind").await;
    assert_eq!(browser.run(&format!("return {jump}")).await, true, "it is still there");
    proxy.cut();
    let lost = "document.querySelector('.liveop-connection').dataset.kind === 'lost'";
    browser.wait_until(lost).await;
    assert_accessible(&browser, "a connection that is lost").await;
    assert_eq!(browser.run(&format!("return {lost}")).await, true, "it is still lost");

    proxy.clear();
    browser.open("/operations").await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    browser.run("document.querySelector('#operations-rows a').focus()").await;
    client.simulate(&fields).await;
    let news = "!document.querySelector('.site-news').hidden";
    browser.wait_until(news).await;
    assert_accessible(&browser, "rows that wait").await;
    assert_eq!(browser.run(&format!("return {news}")).await, true, "they still wait");
    browser.wait_for(".site-menu summary").await.click().await.expect("opened");
    browser.wait_for(".site-menu[open]").await;
    assert_accessible(&browser, "a menu that is open").await;
    browser.wait_for(".site-menu[open]").await;
    assert_out_of_touch_accessible(&browser, &server, &proxy, &running).await;
}

/// What is said where there are no live updates, or none any more: that they are fetched, and what is to be done.
async fn assert_out_of_touch_accessible(browser: &Chromium, server: &Server, proxy: &Proxy, running: &str) {
    let page = format!("/operations/{running}");
    let says = async |words: &str| {
        let said =
            format!("document.querySelector('.liveop-connection').textContent.includes({})", json!(words));
        browser.wait_until(&said).await;
        assert_accessible(browser, words).await;
        assert_eq!(browser.run(&format!("return {said}")).await, true, "it is still said");
    };
    browser.open(&page).await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    put_into(server, &[]);
    says("can’t be shown any more. Reload the page").await;
    put_into(server, &["--group", "staff"]);
    browser.open(&page).await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    // In a tab of its own: whoever is in such a hurry has no patience with a busy machine.
    let first = browser.tab().await;
    browser.new_tab().await;
    browser.hurry(10).await;
    proxy.hold();
    browser.open(&page).await;
    says("fetched every few seconds").await;
    proxy.clear();
    browser.look_at(&first).await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    browser.client(server).await.log_out().await;
    says("signed out. Sign in and come back").await;
}

/// Says which groups the demo user is in.
fn put_into(server: &Server, groups: &[&str]) {
    let mut command = liveops(server.folder());
    command.args(["user", "groups", "demo"]).args(groups);
    let output = finish(command, "");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn everything_is_reached_by_keyboard_and_shows_it() {
    let server = Server::start().await;
    let browser = Chromium::signed_in(&server).await;
    // Slow enough that its log is never longer than what a page keeps: the link to the rest would be called otherwise.
    simulate(&browser, &[("steps", "100000"), ("delay_ms", "1000"), ("log_every", "1"), ("stages", "2")])
        .await;
    browser.wait_for(".liveop-line").await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    let name = "const name = (e) => e.tagName + ' ' + (e.getAttribute('aria-label') || e.textContent.trim()).slice(0, 12).replace(/\\d+/g, 'n');";
    let mut reached = Vec::new();
    for _ in 0..40 {
        let focus = browser.page.active_element().await.expect("something has the focus");
        focus.send_keys("\u{e004}").await.expect("the tab key");
        let script = format!(
            "{name} const e = document.activeElement, style = getComputedStyle(e);
             return e === document.body ? '' : name(e) + (style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2 ? '' : ' has no outline')"
        );
        let now = browser.text(&script).await;
        if now.is_empty() || reached.first() == Some(&now) {
            break;
        }
        reached.push(now);
    }
    let all = format!(
        "{name} return [...document.querySelectorAll('a[href], button, summary, [tabindex=\"0\"]')]
            .filter((e) => e.checkVisibility({{ visibilityProperty: true }})).map(name)"
    );
    assert_eq!(reached, faults(&browser, &all).await, "in the order of the page");
    assert!(reached.len() > 8, "{reached:?}");
    // And pressed.
    let cancel = browser.wait_for("[data-liveop-command=cancel] button").await;
    cancel.send_keys("\u{e007}").await.expect("the enter key");
    browser.wait_for(".liveop[data-liveop-state=\"cancelled\"]").await;
}

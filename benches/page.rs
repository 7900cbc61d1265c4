//! How long a page keeps its reader waiting while very many log lines come, in headless Chromium against the real binary:
//! `cargo bench --bench page -- [ROUNDS [LOG_TAIL]…]`, by default 5 200 10000.
//!
//! A person who waits presses keys; what is measured is the longest time that one of them waited for its turn, and the longest
//! task of the page's main thread, of which the browser tells only those of 50 ms or more. Both are by the clock, so whatever
//! else the machine does counts too: let it be quiet, and look at the median. It needs Chromium and chromedriver, which
//! `scripts/setup-tests` installs.

#[path = "../tests/it"]
mod it {
    #[allow(dead_code, unused_imports, reason = "it is the tests', and much of it is for them only")]
    pub(crate) mod harness;
}

use it::harness::{Chromium, Server};
use serde_json::json;

/// Most lines that a page is given at once.
const LINES: u32 = 10_000;

/// What each page runs before its own scripts: its stream is given away, and how long it keeps whom waiting is noted.
const WITNESS: &str = r#"
    window.EventSource = class extends EventSource {
        constructor(url) { super(url); window.stream = this; }
    };
    window.say = (swap, html) => {
        const data = JSON.stringify({ id: log().id, swap, html });
        window.stream.dispatchEvent(new MessageEvent('fragment', { data }));
    };
    window.log = () => document.querySelector('.liveop-log-lines');
    window.newest = () => Number(log()?.lastElementChild?.id.split('-').pop());
    // As the server writes them.
    window.lines = (from, to) => {
        const id = document.querySelector('.liveop').id;
        let html = '';
        for (let n = from; n <= to; n++) html += `<div id="${id}-log-${n}" class="liveop-line" data-level="info"><time class="liveop-line-time" datetime="2026-01-31T12:00:00Z">12:00:00</time>&nbsp;<bdi>Line ${n}, as long as lines are</bdi></div>`;
        return html;
    };
    window.append = (from, to) => { for (let n = from; n <= to; n += 200) say('append', lines(n, n + 199)); };
    window.whole = (from, to) => say('outer', log().cloneNode().outerHTML.replace('</div>', lines(from, to) + '</div>'));
    window.read = () => { log().scrollTop = log().scrollHeight / 2; };
    let [waits, tasks] = [[], []];
    addEventListener('keydown', (event) => waits.push(performance.now() - event.timeStamp), true);
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries()));
    observer.observe({ type: 'longtask', buffered: true });
    window.forget = () => { observer.takeRecords(); [waits, tasks] = [[], []]; };
    window.noted = () => {
        tasks.push(...observer.takeRecords());
        return [Math.max(...waits), Math.max(0, ...tasks.map(({ duration }) => duration))];
    };
"#;

/// What one thing that a page goes through cost its reader: one figure for each round.
struct Cost {
    what: &'static str,
    /// How long a key waited.
    waits: Vec<f64>,
    /// How long the longest task took; 0 where the browser told of none.
    tasks: Vec<f64>,
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u32>().ok());
    let rounds = numbers.next().unwrap_or(5).max(1);
    let tails: Vec<u32> = numbers.collect();
    for tail in if tails.is_empty() { vec![200, LINES] } else { tails } {
        let mut costs = Vec::new();
        for _ in 0..rounds {
            round(tail.clamp(1, LINES), &mut costs).await;
        }
        println!("\nlog_tail {tail}, {rounds} rounds, in ms{:6}a key waited     longest task", "");
        println!("{:35}{}", "", "  median   worst".repeat(2));
        for Cost { what, waits, tasks } in costs {
            println!("{what:35}{}{}", figures(waits, 0.0), figures(tasks, 50.0));
        }
    }
}

/// Median and worst; less than `least` is not told apart.
fn figures(mut values: Vec<f64>, least: f64) -> String {
    values.sort_by(f64::total_cmp);
    let figure = |at: usize| match values.get(at) {
        Some(value) if *value < least => format!("<{least:.0}"),
        Some(value) => format!("{value:.0}"),
        None => "-".to_owned(),
    };
    format!("{:>8}{:>8}", figure(values.len() / 2), figure(values.len().saturating_sub(1)))
}

/// Goes through everything once, with a server and a browser of its own.
async fn round(tail: u32, costs: &mut Vec<Cost>) {
    let server = Server::with(&[("log_tail", &tail.to_string())]).await;
    let browser = Chromium::signed_in(&server).await;
    browser.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WITNESS })).await;
    // Where the time is not the server's, the page changes that of each line.
    browser.cdp("Emulation.setTimezoneOverride", &json!({ "timezoneId": "America/New_York" })).await;

    start(&browser, &[("steps", "1"), ("delay_ms", "60000")]).await;
    browser.wait_for(".liveop-connection[data-kind=\"live\"]").await;
    let whole = |to: u32| format!("whole({}, {to})", to + 1 - tail);
    let bursts = [
        ("10,000 lines appended", format!("append(1, {LINES})"), LINES),
        ("the whole tail, other lines", whole(3 * LINES), 3 * LINES),
        ("the whole tail, the same lines", whole(3 * LINES + 1), 3 * LINES + 1),
        ("the same while somebody reads", format!("read(); {}", whole(3 * LINES + 2)), 3 * LINES + 2),
        (
            "10,000 appended meanwhile",
            format!("read(); append({}, {})", 3 * LINES + 3, 4 * LINES + 2),
            4 * LINES + 2,
        ),
    ];
    for (what, burst, newest) in bursts {
        browser.run(&format!("forget(); {burst}")).await;
        note(costs, what, &browser, &format!("newest() === {newest}")).await;
    }

    start(&browser, &[("steps", "10000"), ("delay_ms", "0"), ("log_every", "1")]).await;
    let over = format!(
        "document.querySelector('.liveop[data-liveop-state=succeeded]:not([data-liveop-token])') && newest() === {LINES}"
    );
    note(costs, "an operation, from form to end", &browser, &over).await;

    browser.page.refresh().await.expect("loaded again");
    note(costs, "its page, loaded", &browser, &over).await;
}

/// Starts a simulation by its form.
async fn start(browser: &Chromium, fields: &[(&str, &str)]) {
    browser.open("/operations/new/simulate").await;
    for (name, value) in fields {
        browser.fill(name, value).await;
    }
    browser.press("Start").await;
}

/// Presses a key, again and again, until something is true and painted, and notes what the page cost since it was loaded or
/// forgot.
async fn note(costs: &mut Vec<Cost>, what: &'static str, browser: &Chromium, until: &str) {
    let mut over = false;
    while !over {
        over = browser.run(&format!("return Boolean({until})")).await == true;
        for kind in ["keyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Shift", "code": "ShiftLeft" });
            browser.cdp("Input.dispatchKeyEvent", &key).await;
        }
    }
    let noted = browser.run("return noted()").await;
    let at = costs.iter().position(|cost| cost.what == what).unwrap_or_else(|| {
        costs.push(Cost { what, waits: Vec::new(), tasks: Vec::new() });
        costs.len() - 1
    });
    costs[at].waits.extend(noted[0].as_f64());
    costs[at].tasks.extend(noted[1].as_f64());
}

//! Large files, long logs, many watchers, and deaths in the middle of much work.
//!
//! The sizes are those that the project promises, none had to be smaller, and each test stays well
//! under a minute in a debug build on two busy cores, but for the thousand kills, which take about one. What they measure shows with `--no-capture`.

mod crowd;
mod deaths;
mod imports;
mod kills;
mod watchers;

use crate::harness::{Client, Page};

/// The numbers of a log of `message #n` lines: nothing else is in it, and they go 1, 2, 3, …
pub(crate) fn numbered(log: &str, message: &str) -> usize {
    let mut count = 0;
    for line in log.lines() {
        count += 1;
        let number = line.strip_prefix(message).and_then(|rest| rest.strip_prefix(" #")?.parse().ok());
        assert_eq!(number, Some(count), "line {count} of the log is {line:?}");
    }
    count
}

/// The whole log as text.
pub(crate) async fn log_of(client: &Client, id: &str) -> String {
    let answer = client.get(&format!("/operations/{id}/log")).await;
    assert_eq!(answer.status, 200);
    answer.text()
}

/// How many lines a page says that the log has.
pub(crate) fn total_lines(page: &Page) -> usize {
    let region = page.html.split_once("-log-more\"").expect("the log's head").1;
    let text = region.split_once('>').expect("a tag").1;
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().unwrap_or(0)
}

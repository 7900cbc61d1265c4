//! Hostile text in a terminal and in a pipe: it is read, and controls nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::Value;

use super::{assert_code, command, run, stdout};
use crate::harness::{Server, Tty, finish};

/// Texts that a terminal obeys: colours, clearing, titles, links, the clipboard, what is said back as if it were typed, 8-bit
/// controls, and lines that begin like lines of ours.
const TEXTS: [&str; 10] = [
    "\u{1b}[31mred\u{1b}[2J\u{1b}[1A\u{1b}[999D",
    "\u{1b}]0;title\u{7}\u{1b}]2;title\u{1b}\\",
    "\u{1b}]8;;http://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\",
    "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[6n\u{1b}[c\u{1b}[21t",
    "\u{1b}P1$r0m\u{1b}\\\u{1b}_apc\u{1b}\\\u{1b}^pm\u{1b}\\\u{1b}c",
    "\u{9b}2J\u{9d}0;x\u{9c}\u{90}q\u{9c}\u{85}\u{84}\u{8d}",
    "a\r\u{8}\u{8}b\u{7}\u{b}\u{c}\u{e}\u{f}\u{7f}",
    "x\nforged\r\n\u{2713} forged\u{85}forged\u{2028}\n",
    "\u{202e}gpj.exe\u{2066} \u{feff}\u{200b}",
    "%s%n {{ 7*7 }} ${HOME} $(id) `id`",
];

fn shown(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

/// The fields of a run that says the text wherever `simulate` can.
fn fields(text: &str, outcome: &str) -> Vec<String> {
    let fields = ["steps=3", "delay_ms=20", "log_every=1", "stages=1"].map(str::to_owned);
    fields.into_iter().chain([format!("outcome={outcome}"), format!("message={text}")]).collect()
}

fn words<'a>(first: &[&'a str], fields: &'a [String]) -> Vec<&'a str> {
    first.iter().copied().chain(fields.iter().flat_map(|field| ["--field", field.as_str()])).collect()
}

fn assert_plain(said: &str, text: &str) {
    let control = said.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
    assert_eq!(control, None, "{text:?} in {said:?}");
    assert!(
        !said.lines().any(|line| line.trim_start_matches(['\u{2713}', ' ']).starts_with("forged")),
        "{said}"
    );
}

#[tokio::test]
async fn in_a_pipe_it_is_one_line_of_text() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let all = TEXTS.join(" | ");
    for (outcome, code) in [("ok", 0), ("error", 1)] {
        let fields = fields(&all, outcome);
        let output = run(server.folder(), &words(&["run", "simulate", "--owner", "demo"], &fields));
        assert_code(&output, code);
        let said = stdout(&output);
        assert_plain(&said, &all);
        assert!(said.lines().any(|line| line.contains(&format!("{} #3", shown(&all)))), "{said}");
        assert!(said.matches(&shown(&all)).count() >= 4, "{said}");
        assert_plain(&String::from_utf8_lossy(&output.stderr), &all);

        let output = run(server.folder(), &words(&["run", "simulate", "--json", "--owner", "demo"], &fields));
        assert_code(&output, code);
        let said = stdout(&output);
        assert_plain(&said, &all);
        let told: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(told.iter().filter(|object| object["type"] == "end").count(), 1, "{said}");
        assert!(told.iter().any(|object| object["text"] == format!("{} #3", shown(&all))), "{said}");

        // Said by another process.
        let slow = [("steps", "3"), ("delay_ms", "200"), ("log_every", "1")];
        let started =
            client.simulate(&[&slow[..], &[("outcome", outcome), ("message", &all)]].concat()).await;
        let output = run(server.folder(), &["watch", &started]);
        assert_code(&output, code);
        assert_plain(&stdout(&output), &all);
    }
}

#[tokio::test]
async fn in_a_terminal_it_controls_nothing() {
    let server = Server::start().await;
    for text in TEXTS {
        let fields = fields(text, "error");
        let mut tty =
            Tty::start(server.folder(), &words(&["run", "simulate", "--owner", "demo"], &fields), 300, "");
        assert_eq!(tty.ended().await, Some(1), "{text:?}");
        let raw = tty.raw();
        // What bars are drawn with: colours, and moves of the cursor by lines.
        let mut rest = raw.as_str();
        let mut plain = String::new();
        while let Some((before, sequence)) = rest.split_once("\u{1b}[") {
            plain.push_str(before);
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).expect("its end");
            let known = ["m", "A", "B", "G", "K", "J", "h", "l"].contains(&&sequence[end..=end]);
            assert!(
                known && !["31m", "2J", "999"].iter().any(|theirs| sequence.starts_with(theirs)),
                "{text:?} in {raw:?}"
            );
            rest = &sequence[end + 1..];
        }
        plain.push_str(rest);
        let control = plain.chars().find(|c| c.is_control() && !"\r\n\t".contains(*c));
        assert_eq!(control, None, "{text:?} in {raw:?}");
        assert!(plain.contains(&format!("{} #3\r\n", shown(text))), "{text:?} in {plain}");
        assert_plain(&tty.lines().join("\n"), text);
    }
}

/// Arguments, names of files and what is in them need not be text at all.
#[tokio::test]
async fn what_is_no_text_is_told_and_nothing_more() {
    let server = Server::start().await;
    let bytes = b"message=a\xff\xed\xa0\x80";
    let mut process =
        command(server.folder(), &["run", "simulate", "--owner", "demo", "--field", "steps=0", "--field"]);
    process.arg(OsStr::from_bytes(bytes));
    let output = finish(process, "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let name = OsStr::from_bytes(b"\x1b[31m\xff\xed\xa0\x80.csv");
    let file = server.folder().join(name);
    std::fs::write(&file, b"a,b\n1,\xed\xa0\x80\n\x1b[2J\n\xff,2\n=1,2\n").expect("it is written");
    let mut process = command(server.folder(), &["run", "csv_import", "--owner", "demo", "--field"]);
    process.arg(OsStr::from_bytes(&[b"file=", file.as_os_str().as_bytes()].concat()));
    let output = finish(process, "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!([0, 2].contains(&output.status.code().expect("a code")), "{output:?}");
    for said in [&*stderr, &*String::from_utf8_lossy(&output.stdout)] {
        assert_plain(said, "a file");
        assert!(!said.contains("panicked"), "{said}");
    }
}

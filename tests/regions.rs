//! What each region looks like, as snapshots: `cargo insta review` shows what a change does to them.

use std::sync::Arc;

use jiff::Timestamp;
use liveops::operation::{Ending, OperationId, State};
use liveops::progress::{Content, ElementId, Html, Level, StageSpec, Text, Update};
use liveops::projection::{Projection, Row};
use liveops::render::{Addresses, Renderer};
use liveops::stream::{Cursor, FrameRenderer as _, RowRenderer as _, Subject};
use liveops::testing::EventReader;
use serde_json::json;

const HOSTILE: &str = "<script>alert('&')</script>\u{1b}[31m \"{{ 7 * 7 }}\"\r\n\u{202e}";

/// The fragments that a new reader gets, one below the other.
fn first_frame(state: State, updates: Vec<Update>) -> String {
    first_frame_of(|now| Projection::new(7, 1, state, 3, now), updates)
}

fn first_frame_of(begin: impl FnOnce(Timestamp) -> Projection, updates: Vec<Update>) -> String {
    let id: OperationId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("a UUID");
    let subject = Subject { id, kind: "import".into(), owner: "u".into() };
    let mut now: Timestamp = "2026-11-25T14:02:00Z".parse().expect("a time");
    let mut projection = begin(now);
    for update in updates {
        now += std::time::Duration::from_secs(2);
        projection.apply(update, now);
    }
    projection.flush();
    let delta = projection.since(Cursor::START).expect("everything is new");
    let frame = Renderer::new(Addresses::default()).frame(&subject, &projection, &delta);
    let mut reader = EventReader::default();
    reader.receive(&frame.bytes);
    std::iter::from_fn(|| reader.next_event())
        .map(|event| match event.name.as_str() {
            "fragment" => format!("## {} {}\n{}\n", event.text("swap"), event.data["id"], event.html()),
            _ => format!("## {}\n", event.data),
        })
        .collect()
}

fn log(text: &str) -> Update {
    Update::Log { level: Level::Info, text: Text::new(text) }
}

#[test]
fn waiting() {
    insta::assert_snapshot!(first_frame(State::Waiting, vec![Update::Before(3)]));
}

#[test]
fn running() {
    let stages = ["Check", "Import", "Report"].map(|name| StageSpec::new(name, 1.0)).to_vec();
    insta::assert_snapshot!(first_frame(
        State::Running,
        vec![
            Update::Stages(stages),
            Update::EnterStage(Text::new("Check")),
            Update::EnterStage(Text::new("Import")),
            Update::Status { level: Level::Warning, text: Text::new("Importing rows") },
            Update::Count { label: None, unit: Some(Text::new("rows")), total: Some(12_000) },
            log("one"),
            log("two"),
            log("three"),
            log("four"),
            Update::Done(6_000),
        ]
    ));
}

#[test]
fn cancelling_cancelled_and_interrupted() {
    let begun = || vec![Update::Percent(40.0), Update::State(State::Cancelling)];
    let over = |state| [begun(), vec![Update::Ended(Ending::plain(state))]].concat();
    insta::assert_snapshot!("cancelling", first_frame(State::Running, begun()));
    insta::assert_snapshot!("cancelled", first_frame(State::Running, over(State::Cancelled)));
    insta::assert_snapshot!("interrupted", first_frame(State::Running, over(State::Interrupted)));
    let fourth = |now| Projection::new(7, 4, State::Running, 3, now).repeated(3);
    insta::assert_snapshot!("interrupted_again", first_frame_of(fourth, over(State::Interrupted)));
}

/// Beside the percent of the whole a count of a stage contradicts it, unless it says of which.
#[test]
fn what_was_counted_when_it_stopped_is_of_the_stage_that_it_stopped_in() {
    let count_of = |state| {
        let stages = ["Check", "Import"].map(|name| StageSpec::new(name, 1.0)).to_vec();
        let frame = first_frame(
            State::Running,
            vec![
                Update::Stages(stages),
                Update::EnterStage(Text::new("Check")),
                Update::Count { label: None, unit: Some(Text::new("rows")), total: Some(100) },
                Update::Tally { ok: 90, skipped: 1 },
                Update::Done(91),
                Update::Ended(Ending::plain(state)),
            ],
        );
        let count = frame.split_once("<li class=\"liveop-count\">").map(|(_, rest)| rest.to_owned());
        count.and_then(|rest| rest.split_once("</li>").map(|(count, _)| count.to_owned()))
    };
    let of_the_stage = "<strong>91</strong> of 100 <bdi>rows</bdi> in <bdi>Check</bdi>";
    for state in [State::Failed, State::Cancelled, State::Interrupted] {
        assert_eq!(count_of(state).as_deref(), Some(of_the_stage), "{state:?}");
    }
    assert_eq!(count_of(State::Succeeded), None, "it stopped in none");
}

#[test]
fn hostile_text_stays_text() {
    let text = || Text::new(HOSTILE);
    let ending = Ending {
        message: Some(text()),
        result: Some(json!({ HOSTILE: [HOSTILE, { "deep": HOSTILE }] })),
        ..Ending::plain(State::Failed)
    };
    let frame = first_frame(
        State::Running,
        vec![
            Update::Stages(vec![StageSpec::new(HOSTILE, 1.0)]),
            Update::EnterStage(text()),
            Update::Status { level: Level::Error, text: text() },
            Update::Count { label: Some(text()), unit: Some(text()), total: None },
            Update::Done(5),
            log(HOSTILE),
            Update::Ended(ending),
        ],
    );
    assert!(!frame.contains("<script"), "{frame}");
    assert!(!frame.contains(|c: char| c.is_control() && c != '\n'), "{frame}");
    insta::assert_snapshot!(frame);
}

#[test]
fn a_page_shows_the_beginning_of_a_very_long_line() {
    let text = Text::lines_of(&"é".repeat(30_000)).next().expect("a line");
    let frame = first_frame(State::Running, vec![Update::Log { level: Level::Info, text }]);
    assert_eq!(frame.matches('é').count(), 4096);
    assert!(frame.contains("… (51808 more bytes in the whole log)"));
}

/// Also where a result is nested deeper than a page takes apart.
#[test]
fn controls_in_a_deep_result_are_made_visible() {
    let mut result = json!({ "k\u{9b}": "<b>\u{85}\u{7f}" });
    for _ in 0..8 {
        result = json!({ "in": result, "list": ["\u{9b}31m"] });
    }
    let ending = Ending { result: Some(result), ..Ending::plain(State::Succeeded) };
    let frame = first_frame(State::Running, vec![Update::Ended(ending)]);
    assert!(!frame.contains(|c: char| c.is_control() && c != '\n') && !frame.contains("<b>"), "{frame}");
    assert!(frame.contains("\u{fffd}"), "{frame}");
}

#[test]
fn succeeded() {
    let ending = Ending {
        result: Some(
            json!({ "rows imported": 999_981, "rows rejected": 19, "table": "customers", "seconds": 82.5 }),
        ),
        redirect: Some("/operations".into()),
        ..Ending::plain(State::Succeeded)
    };
    insta::assert_snapshot!(first_frame(State::Running, vec![Update::Percent(40.0), Update::Ended(ending)]));
}

#[test]
fn handed_over() {
    let next = "7f3c2a91-0000-4000-8000-000000000000".parse().expect("a UUID");
    let ending = Ending { next: Some(next), ..Ending::plain(State::Succeeded) };
    insta::assert_snapshot!(first_frame(State::Running, vec![Update::Ended(ending)]));
}

#[test]
fn rows() {
    let row = |state: State| Row {
        id: "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("a UUID"),
        title: HOSTILE.into(),
        kind_title: "Import".into(),
        state,
        before: None,
        percent: None,
        summary: None,
        figures: Vec::new(),
        next: None,
        created: "2026-11-25T14:02:00.123456Z".parse().expect("a time"),
        since: None,
        took_seconds: None,
    };
    let renderer = Renderer::new(Addresses::default());
    let rows = [
        Row { before: Some(3), ..row(State::Waiting) },
        Row { before: Some(0), ..row(State::Waiting) },
        Row {
            percent: Some(40),
            summary: Some(HOSTILE.into()),
            since: "2026-11-25T14:03:00Z".parse().ok(),
            ..row(State::Running)
        },
        row(State::Running),
        row(State::Interrupted),
        row(State::Cancelled),
        Row { summary: Some("Reading".into()), ..row(State::Cancelling) },
        Row {
            figures: vec![("rows imported".into(), 12_345.into()), ("rows rejected".into(), 2.into())],
            took_seconds: Some(82.5),
            ..row(State::Succeeded)
        },
        Row { next: "00000000-0000-4000-8000-000000000000".parse().ok(), ..row(State::Succeeded) },
        Row { summary: Some("No such table".into()), took_seconds: Some(0.2), ..row(State::Failed) },
    ];
    let rows: Vec<_> = rows.iter().map(|row| renderer.row(row)).collect();
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn counters_and_regions_of_its_own() {
    let id = |name| ElementId::new(name).expect("a name");
    let html = |html: &str| Arc::new(Content::from(Html::trusted(html)));
    let failed = |row: &str| Update::Failed { row: Text::new(row), reason: Text::new(HOSTILE) };
    insta::assert_snapshot!(first_frame(
        State::Running,
        vec![
            Update::Tally { ok: 1200, skipped: 3 },
            failed("line 7"),
            failed(HOSTILE),
            Update::Replace { id: id("map"), content: html("<b>map</b>") },
            Update::Append { id: id("map"), content: html("more") },
            Update::Append { id: id("chart"), content: html("chart") },
            Update::Replace { id: id("map"), content: html("<i>another</i>") },
        ],
    ));
}

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::kinds::{Chain, Failing, Quick, Redirect, Simulate, SimulatedEnd};
use crate::operation::{Kind, State, Submitted, read_form};

fn fast() -> Simulate {
    Simulate { steps: 20, delay_ms: 0, log_every: 1, ..Simulate::default() }
}

#[test]
fn the_log_has_a_line_every_so_many_steps_and_no_other() {
    let seen = run(Simulate { steps: 10, log_every: 3, message: "Hi".to_owned(), ..fast() });
    assert_eq!(seen.log(), ["Hi #3", "Hi #6", "Hi #9"]);
    assert_eq!(seen.statuses(), ["Hi"]);
    assert_eq!(seen.updates().last(), Some(&Update::Done(10)));
    let seen = run(Simulate { log_every: 0, stages: 3, ..fast() });
    assert!(seen.log().is_empty());
}

#[test]
fn success_shows_message_and_steps_and_leads_on() {
    let seen = run(Simulate { steps: 2, redirect: "/operations".to_owned(), ..fast() });
    assert_eq!(seen.result(), Some(&json!({"message": "Working", "steps": 2})));
    assert_eq!(seen.redirect(), Some("/operations"));
    let seen = run(Simulate { steps: 0, ..fast() });
    assert_eq!((seen.state(), seen.redirect()), (State::Succeeded, None));
}

#[test]
fn it_ends_as_it_is_told() {
    let ending = |outcome| run(Simulate { outcome, message: "Oh".to_owned(), chain: 2, ..fast() });
    let error = ending(SimulatedEnd::Error);
    assert_eq!((error.error(), error.detail(), error.ending().next), (Some("Oh"), None, None));
    assert_eq!(ending(SimulatedEnd::Fail).detail(), Some("Oh"));
    assert_eq!(ending(SimulatedEnd::Panic).detail(), Some("panicked: Oh"));
}

#[test]
fn a_chain_hands_on_all_but_its_length() {
    let first = Simulate { chain: 2, redirect: "/x".to_owned(), stages: 1, ..fast() };
    let seen = run(first.clone());
    assert!(seen.result().is_none() && seen.redirect().is_none());
    assert_eq!(seen.next(), Some(Simulate { chain: 1, ..first }));
}

#[test]
fn steps_are_spread_over_the_stages() {
    let seen = run(Simulate { steps: 10, stages: 4, ..fast() });
    assert_eq!(seen.stages(), ["Stage 1", "Stage 2", "Stage 3", "Stage 4"]);
    let totals: Vec<_> = seen
        .updates()
        .iter()
        .filter_map(|update| if let Update::Count { total, .. } = update { *total } else { None })
        .collect();
    assert_eq!(totals, [2, 3, 2, 3]);
    assert_eq!(seen.log().last().map(String::as_str), Some("Working #10"));
    let seen = run(Simulate { steps: 0, stages: 9, ..fast() });
    assert_eq!(seen.state(), State::Succeeded);
    assert_eq!(seen.stages().len(), 9);
    assert_eq!(seen.statuses(), ["Working"]);
}

#[test]
fn a_stamp_is_set_anew_at_each_step() {
    let seen = run(Simulate { steps: 3, delay_ms: 2, stamp: true, ..fast() });
    let stamps: Vec<u128> = seen
        .statuses()
        .iter()
        .map(|status| status.strip_prefix("Working ts=").expect("a stamp").parse().expect("a number"))
        .collect();
    assert_eq!(stamps.len(), 3);
    assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]), "{stamps:?}");
    assert!(stamps[0] > 1_600_000_000_000_000);
}

#[test]
fn a_long_delay_ends_at_once_when_cancelled() {
    let begun = Instant::now();
    let first = |update: &Update| matches!(update, Update::Log { text, .. } if text.as_str() == "Working #1");
    let seen = Recorder::new().cancel_when(first).run(Simulate { delay_ms: 60_000, ..fast() });
    assert_eq!(seen.state(), State::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(60), "one step takes as long");
    assert_eq!(seen.log(), ["Working #1"]);
}

#[test]
fn steps_take_their_time_and_cancel_stops_fast_ones() {
    let begun = Instant::now();
    drop(run(Simulate { steps: 20, delay_ms: 5, ..fast() }));
    assert!(begun.elapsed() >= Duration::from_millis(100));
    let seen = Recorder::new().cancel_after(500).run(Simulate { steps: 1_000_000, log_every: 0, ..fast() });
    assert_eq!(seen.state(), State::Cancelled);
    assert!(seen.updates().len() < 600);
}

#[test]
fn its_form_has_defaults_and_refuses_what_does_not_fit() {
    let kind = Kind::of::<Simulate>();
    let read = |pairs: &[(&str, &str)]| {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Submitted::Text((*value).to_owned()));
        read_form(&kind.fields, &pairs.iter().map(text).collect::<BTreeMap<_, _>>())
    };
    let input = read(&[]).expect("defaults");
    assert_eq!(serde_json::from_value::<Simulate>(input).expect("fits"), Simulate::default());
    let wrong = [
        ("steps", "1000001"),
        ("steps", "-1"),
        ("delay_ms", "60001"),
        ("outcome", "explode"),
        ("outcome", ""),
        ("stages", "10"),
        ("chain", "10"),
        ("redirect", "https://evil.example/"),
        ("redirect", "//evil.example"),
    ];
    for (name, value) in wrong {
        let errors = read(&[(name, value)]).expect_err(value);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].field, name);
    }
    let input = read(&[("steps", "5"), ("outcome", "fail"), ("stamp", "on"), ("redirect", "/a")]);
    let simulate: Simulate = serde_json::from_value(input.expect("fits")).expect("fits");
    assert_eq!((simulate.steps, simulate.outcome, simulate.stamp), (5, SimulatedEnd::Fail, true));
}

#[test]
fn the_examples_end_as_their_titles_say() {
    assert!(run(Quick {}).result().is_some());
    assert!(run(Failing {}).error().is_some());
    assert!(run(Chain {}).ending().next.is_some());
    assert_eq!(run(Redirect {}).redirect(), Some("/operations"));
}

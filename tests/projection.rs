//! What a page shows of updates, without a server.

use jiff::Timestamp;
use liveops::operation::{Ending, State};
use liveops::progress::{Level, StageSpec, Text, Update};
use liveops::projection::{Projection, Region, StageState};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn in_the_first_of_two_stages(percent: f64) -> Projection {
    let mut page = Projection::new(1, 1, State::Running, 200, NOW);
    let stage = |name: &str| StageSpec { name: Text::new(name), weight: 1.0 };
    for update in [
        Update::Stages(vec![stage("Read"), stage("Write")]),
        Update::EnterStage(Text::new("Read")),
        Update::Percent(percent),
    ] {
        page.apply(update, NOW);
    }
    page
}

/// What a stage's guard says when it is dropped.
fn leave(stage: &str) -> Update {
    Update::LeaveStage(Text::new(stage))
}

#[test]
fn a_stage_that_is_left_because_of_a_cancel_does_not_count_as_done() {
    let mut page = in_the_first_of_two_stages(26.0);
    assert_eq!(page.overall_percent(), Some(13.0));
    for update in
        [Update::State(State::Cancelling), leave("Read"), Update::Ended(Ending::plain(State::Cancelled))]
    {
        page.apply(update, NOW);
        assert_eq!(page.overall_percent(), Some(13.0));
    }
    let states: Vec<_> = page.stages().iter().map(|stage| stage.state).collect();
    assert_eq!(states, [StageState::Cancelled, StageState::Todo]);
}

#[test]
fn one_that_goes_on_although_it_was_asked_to_stop_leaves_its_stages_all_the_same() {
    let mut page = in_the_first_of_two_stages(26.0);
    page.apply(Update::State(State::Cancelling), NOW);
    page.apply(leave("Read"), NOW);
    page.apply(Update::EnterStage(Text::new("Write")), NOW);
    assert_eq!(page.overall_percent(), Some(50.0));
    page.apply(leave("Write"), NOW);
    page.apply(Update::Ended(Ending::plain(State::Succeeded)), NOW);
    assert!(page.stages().iter().all(|stage| stage.state == StageState::Done));
}

#[test]
fn what_is_left_is_of_the_whole_work() {
    let mut page = in_the_first_of_two_stages(50.0);
    let later = NOW + std::time::Duration::from_secs(10);
    page.apply(Update::Percent(80.0), later);
    assert_eq!(page.overall_percent(), Some(40.0));
    assert_eq!(page.seconds_left(), Some(15.0), "not of the stage, whose bar is at 80 %");
    let mut plain = Projection::new(1, 1, State::Running, 200, NOW);
    plain.apply(Update::Percent(83.0), later);
    assert_eq!(plain.seconds_left().map(f64::round), Some(2.0));
}

#[test]
fn a_stage_that_is_left_because_of_an_error_does_not_count_as_done() {
    let mut page = in_the_first_of_two_stages(26.0);
    page.apply(leave("Read"), NOW);
    assert_eq!(page.overall_percent(), Some(13.0));
    page.apply(Update::Ended(Ending::failed("no")), NOW);
    assert_eq!(page.overall_percent(), Some(13.0));
    let states: Vec<_> = page.stages().iter().map(|stage| stage.state).collect();
    assert_eq!(states, [StageState::Failed, StageState::Todo]);
}

#[test]
fn what_goes_on_after_a_stage_says_that_it_was_done() {
    let mut page = in_the_first_of_two_stages(26.0);
    page.apply(leave("Read"), NOW);
    page.apply(Update::Log { level: Level::Info, text: Text::new("read") }, NOW);
    assert_eq!(page.overall_percent(), Some(50.0));
    assert!(page.stages().iter().any(|stage| stage.state == StageState::Done));
}

proptest! {
    #[test]
    fn with_stages_the_whole_never_goes_back(steps in prop::collection::vec((0usize..6, 0.0..100.0f64), 1..40)) {
        let mut page = in_the_first_of_two_stages(10.0);
        let mut furthest = 0.0f64;
        for (step, number) in steps {
            let name = ["Read", "Write", "Unannounced"][number as usize % 3];
            page.apply(match step {
                0 => Update::EnterStage(Text::new(name)),
                1 => leave(name),
                2 => Update::Count { label: None, unit: None, total: Some(9) },
                3 => Update::Done(number as u64 % 12),
                4 => Update::Stages((0..number as usize % 3).map(|n| StageSpec::new(name, n as f64 + 0.5)).collect()),
                _ => Update::Percent(number),
            }, NOW);
            let whole = page.overall_percent().expect("there are stages");
            prop_assert!(whole >= furthest, "{whole} after {furthest}");
            furthest = whole;
        }
    }
}

#[test]
fn failed_rows_are_counted_and_lines_of_the_log() {
    let mut page = Projection::new(1, 1, State::Running, 200, NOW);
    page.apply(Update::Tally { ok: 2, skipped: 1 }, NOW);
    for n in 0..100 {
        page.apply(Update::Failed { row: Text::new(&format!("line {n}")), reason: Text::new("a: b") }, NOW);
    }
    let tally = page.tally();
    assert_eq!((tally.ok(), tally.skipped(), tally.failed()), (2, 1, 100));
    assert_eq!(tally.first_failed().len(), 20, "a page lists some");
    let line = page.log().last().expect("a line");
    assert_eq!((line.text.as_str(), line.failure()), ("line 99: a: b", Some(("line 99", "a: b"))));
}

#[test]
fn stages_count_by_their_weights() {
    let mut page = Projection::new(1, 1, State::Running, 200, NOW);
    page.apply(Update::Stages(vec![StageSpec::new("Read", 1.0), StageSpec::new("Write", 3.0)]), NOW);
    page.apply(Update::EnterStage(Text::new("Read")), NOW);
    page.apply(Update::Percent(50.0), NOW);
    assert_eq!(page.overall_percent(), Some(12.5));
    page.apply(Update::EnterStage(Text::new("Write")), NOW);
    page.apply(Update::Percent(50.0), NOW);
    assert_eq!(page.overall_percent(), Some(62.5));
}

#[test]
fn a_stage_that_was_left_is_done_after_a_while_of_silence() {
    let mut page = in_the_first_of_two_stages(26.0);
    assert_eq!(page.true_for(), None);
    page.apply(leave("Read"), NOW);
    assert_eq!(page.overall_percent(), Some(13.0), "it may be about to fail");
    let wait = page.true_for().expect("it does not stay so");
    assert!(page.fall_silent(NOW + std::time::Duration::from_secs_f64(wait)));
    assert_eq!(page.overall_percent(), Some(50.0));
    assert_eq!(page.stages().current_name(), None);
    assert_eq!(page.true_for(), None);
}

/// `stage = p.stage("Write")` drops the guard of the one before after the new one was entered.
#[test]
fn a_stage_that_was_left_already_leaves_no_other_one() {
    let mut page = in_the_first_of_two_stages(50.0);
    page.apply(Update::EnterStage(Text::new("Write")), NOW);
    page.apply(leave("Read"), NOW);
    page.apply(Update::Percent(10.0), NOW);
    assert_eq!(page.overall_percent().map(f64::round), Some(55.0));
    assert_eq!(page.stages().current_name().map(Text::as_str), Some("Write"));
}

#[test]
fn what_was_said_before_the_stages_is_not_taken_back() {
    let mut page = Projection::new(1, 1, State::Running, 200, NOW);
    for percent in [80.0, 20.0] {
        page.apply(Update::Percent(percent), NOW);
        assert_eq!(page.overall_percent(), Some(percent), "without stages it is what was said last");
    }
    page.apply(Update::Stages(vec![StageSpec::new("Read", 1.0)]), NOW);
    assert_eq!(page.overall_percent(), Some(80.0));
    page.apply(Update::Stages(Vec::new()), NOW);
    assert_eq!(page.overall_percent(), Some(80.0));

    // What was counted is something else: what there is to do, say.
    let mut page = Projection::new(1, 1, State::Running, 200, NOW);
    page.apply(Update::Count { label: None, unit: None, total: Some(10) }, NOW);
    page.apply(Update::Done(10), NOW + std::time::Duration::from_secs(1));
    assert_eq!(page.overall_percent(), Some(100.0));
    page.apply(Update::Stages(vec![StageSpec::new("Read", 1.0), StageSpec::new("Write", 1.0)]), NOW);
    page.apply(Update::EnterStage(Text::new("Read")), NOW);
    page.apply(Update::Percent(20.0), NOW);
    assert_eq!(page.overall_percent(), Some(10.0));
}

#[test]
fn a_time_left_that_ran_out_in_silence_is_told_no_longer() {
    let at = |ms: u64| NOW + std::time::Duration::from_millis(ms);
    let mut page = Projection::new(1, 1, State::Running, 200, NOW);
    assert!(!page.fall_silent(at(1)), "nothing was told");
    page.apply(Update::Count { label: None, unit: None, total: Some(100) }, NOW);
    for n in 1..=50u64 {
        page.apply(Update::Done(n), at(n * 200));
    }
    page.flush();
    let (seen, left) = (page.cursor(), page.seconds_left().expect("it is steady"));
    assert!((9.0..12.0).contains(&left), "{left}");
    assert!(!page.fall_silent(at(10_000)), "the clock stands");
    assert!(page.fall_silent(at(10_000 + left as u64 * 1000)));
    assert_eq!(page.seconds_left(), None);
    assert!(page.elapsed_seconds().is_some_and(|elapsed| elapsed >= 19.0));
    assert!(page.flush() && page.since(seen).is_some_and(|delta| delta.regions == [Region::Progress]));
}

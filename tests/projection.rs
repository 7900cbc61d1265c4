//! What a page shows of updates, without a server.

use jiff::Timestamp;
use liveops::operation::{Ending, State};
use liveops::progress::{StageSpec, Text, Update};
use liveops::projection::{Projection, StageState};

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

#[test]
fn a_stage_that_is_left_because_of_a_cancel_does_not_count_as_done() {
    let mut page = in_the_first_of_two_stages(26.0);
    assert_eq!(page.overall_percent(), Some(13.0));
    for update in [
        Update::State(State::Cancelling),
        // What its guard says when it is dropped.
        Update::LeaveStage,
        Update::Ended(Ending::plain(State::Cancelled)),
    ] {
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
    page.apply(Update::LeaveStage, NOW);
    page.apply(Update::EnterStage(Text::new("Write")), NOW);
    assert_eq!(page.overall_percent(), Some(50.0));
    page.apply(Update::LeaveStage, NOW);
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

//! Runs that are put back into the queue because they can be repeated, whatever the store is made of.

use liveops::operation::{NewOperation, OperationId, Record, State};
use liveops::store::{Interruption, Lease, REPEATS, STOPS, Store, StoreError, Wanted, WantedKind};

use super::Home;
use super::operations::{at, create, finish, lease, lines, new, page, record, wanted};

/// Claims as a process that says of the kind whether it can be repeated.
async fn claim(store: &dyn Store, repeatable: bool) -> Record {
    let kind = WantedKind { name: "work".to_owned(), at_once: None, repeatable };
    let wanted = Wanted { kinds: vec![kind], per_user: None };
    store.claim(&wanted, at(100)).await.expect("the queue").expect("it waits")
}

async fn numbers(store: &dyn Store, id: OperationId, attempt: u32) -> Vec<u64> {
    let log = store.log(id, attempt, 1, 100).await.expect("the log");
    log.iter().map(|line| line.seq).collect()
}

/// Every write that there is under a lease.
async fn write_late(store: &dyn Store, late: Lease) {
    let next = new("work");
    let handed = next.id;
    let mut ending = finish(State::Succeeded);
    ending.ending.next = Some(handed);
    ending.next = Some(NewOperation { previous: Some(late.operation), ..next });
    let writes = [
        store.checkpoint(late, &lines(3, 4), page(late.attempt)).await,
        store.finish(late, &lines(3, 4), ending).await,
        store.repeat(late, &lines(3, 4), Interruption::Death, at(300)).await.map(drop),
    ];
    for (n, write) in writes.into_iter().enumerate() {
        assert!(matches!(write, Err(StoreError::Fenced { .. })), "{n}: {write:?}");
    }
    assert!(store.record(handed).await.expect("the store").is_none(), "it hands over to nothing");
}

pub(crate) async fn a_repeatable_run_goes_back_into_the_queue(home: &dyn Home) {
    let (store, _) = home.open();
    let id = create(&*store, "work", 0).await;
    let first = claim(&*store, true).await;
    store.checkpoint(lease(&first), &lines(1, 1), page(1)).await.expect("a checkpoint");
    assert!(
        store.repeat(lease(&first), &lines(2, 2), Interruption::Death, at(150)).await.expect("the store")
    );
    let waiting = record(&*store, id).await;
    assert_eq!((waiting.state, waiting.attempt, waiting.started), (State::Waiting, 2, None));
    assert!(waiting.ending.is_none() && waiting.finished.is_none());
    assert_eq!(numbers(&*store, id, 1).await, [1, 2], "its log is kept, to the last line");
    assert!(store.projection(id).await.expect("the store").is_none(), "the next one has a page of its own");
    let census = store.census().await.expect("the store");
    assert_eq!(census.oldest_waiting, Some(at(150)), "it waits since then");
    assert_eq!(store.cancel_requests().await.expect("the store"), []);

    let second = claim(&*store, true).await;
    assert_eq!((second.id, second.attempt, second.claim), (id, 2, 2));
    store.checkpoint(lease(&second), &lines(1, 1), page(2)).await.expect("the next one writes");
    store.finish(lease(&second), &lines(2, 2), finish(State::Succeeded)).await.expect("and ends");
}

pub(crate) async fn a_late_writer_changes_nothing_after_a_repeat(home: &dyn Home) {
    let (theirs, _) = home.open();
    let (store, _) = home.open();
    let id = create(&*store, "work", 0).await;
    let late = lease(&claim(&*theirs, true).await);
    theirs.checkpoint(late, &lines(1, 2), page(1)).await.expect("a checkpoint");
    assert!(store.repeat(late, &[], Interruption::Death, at(150)).await.expect("whoever finds it dead"));
    // While the next attempt waits, runs and is over, and where the late writer calls itself the next attempt.
    write_late(&*theirs, late).await;
    assert_eq!(record(&*store, id).await.state, State::Waiting);
    let second = lease(&claim(&*store, true).await);
    store.checkpoint(second, &lines(1, 2), page(2)).await.expect("a checkpoint");
    for late in [late, Lease { attempt: 2, ..late }] {
        write_late(&*theirs, late).await;
        let now = record(&*store, id).await;
        assert_eq!((now.state, now.attempt), (State::Running, 2));
        let stored = store.projection(id).await.expect("the store").expect("a page");
        assert_eq!(stored.cursor(), page(2).cursor());
    }
    store.finish(second, &[], finish(State::Failed)).await.expect("ended");
    write_late(&*theirs, late).await;
    write_late(&*theirs, second).await;
    assert_eq!(record(&*store, id).await.state, State::Failed);
    for attempt in [1, 2] {
        assert_eq!(numbers(&*store, id, attempt).await, [1, 2]);
    }
    assert!(numbers(&*store, id, 3).await.is_empty());
}

pub(crate) async fn a_run_is_put_back_a_few_times_in_a_row(home: &dyn Home) {
    let (store, _) = home.open();
    let id = create(&*store, "work", 0).await;
    for round in 1..=2 {
        // The process may be stopped as often as one likes, in between.
        for stops in 0..REPEATS + 1 {
            let claimed = claim(&*store, true).await;
            assert_eq!(claimed.repeats, stops, "it says how often it began by itself, for whatever reason");
            let answer = store.repeat(lease(&claimed), &[], Interruption::Stop, at(150)).await;
            assert!(answer.expect("the store"), "{round}: stop {stops}");
        }
        for repeats in 0..REPEATS {
            let claimed = claim(&*store, true).await;
            assert_eq!(claimed.repeats, REPEATS + 1 + repeats);
            let run = lease(&claimed);
            assert!(
                store.repeat(run, &[], Interruption::Death, at(150)).await.expect("the store"),
                "{round}"
            );
        }
        let last = lease(&claim(&*store, true).await);
        assert!(
            !store.repeat(last, &lines(1, 1), Interruption::Death, at(150)).await.expect("the store"),
            "not for ever"
        );
        assert!(numbers(&*store, id, last.attempt).await.is_empty(), "and nothing is written");
        store.finish(last, &[], finish(State::Interrupted)).await.expect("its lease holds still");
        assert_eq!(record(&*store, id).await.attempt, round * 2 * (REPEATS + 1));
        assert!(store.restart(id, None, at(160)).await.expect("the store"), "a person begins a new count");
    }
}

/// One for which its server is stopped again and again, as it is not healthy while it runs.
pub(crate) async fn a_run_is_put_back_after_many_stops_but_not_for_ever(home: &dyn Home) {
    let (store, _) = home.open();
    create(&*store, "work", 0).await;
    for n in 0..=STOPS {
        let run = lease(&claim(&*store, true).await);
        let is_put_back = store.repeat(run, &[], Interruption::Stop, at(150)).await.expect("the store");
        assert_eq!(is_put_back, n < STOPS, "{n}");
    }
}

pub(crate) async fn only_what_is_known_as_repeatable_and_wanted_is_put_back(home: &dyn Home) {
    let (store, _) = home.open();
    let refused = async |run: Lease, why: &str| {
        assert!(
            !store.repeat(run, &lines(1, 1), Interruption::Death, at(150)).await.expect("the store"),
            "{why}"
        );
        assert!(numbers(&*store, run.operation, run.attempt).await.is_empty(), "{why}");
        store.finish(run, &[], finish(State::Interrupted)).await.expect("it is to end");
    };
    let foreground = NewOperation { claimed: true, ..new("work") };
    store.create(foreground.clone(), None, at(0)).await.expect("created");
    refused(lease(&record(&*store, foreground.id).await), "it never stood in the queue").await;

    let id = create(&*store, "work", 1).await;
    let asked = lease(&claim(&*store, true).await);
    store.cancel(id, at(110)).await.expect("asked");
    refused(asked, "it was asked to stop").await;

    // The same operation, claimed by a process that has another version of its kind.
    assert!(store.restart(id, None, at(120)).await.expect("the store"));
    let run = store.claim(&wanted(&["work"]), at(130)).await.expect("the queue").expect("it waits");
    refused(lease(&run), "its kind is not repeatable there").await;
}

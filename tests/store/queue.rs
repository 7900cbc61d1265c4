//! What may run at once, whatever the store is made of.

use liveops::operation::{NewOperation, OperationId, Record, State, Submission};
use liveops::store::{Lease, Store, StoreError, Wanted, WantedKind};
use serde_json::json;

use super::Home;
use super::operations::{at, create, finish, new, wanted};

/// One kind of which so many may run at once.
fn limited(name: &str, at_once: u32) -> WantedKind {
    WantedKind { name: name.to_owned(), at_once: Some(at_once), repeatable: false }
}

async fn next(store: &dyn Store, wanted: &Wanted) -> Option<Record> {
    store.claim(wanted, at(100)).await.expect("the queue")
}

async fn next_id(store: &dyn Store, wanted: &Wanted) -> Option<OperationId> {
    next(store, wanted).await.map(|record| record.id)
}

async fn end(store: &dyn Store, run: &Record) {
    let lease = Lease { operation: run.id, claim: run.claim, attempt: run.attempt };
    store.finish(lease, &[], finish(State::Succeeded)).await.expect("ended");
}

async fn create_for(store: &dyn Store, owner: &str, seconds: i64) -> OperationId {
    let new = NewOperation { owner: owner.to_owned(), ..new("work") };
    store.create(new, None, at(seconds)).await.expect("created")
}

pub(crate) async fn a_kind_runs_as_often_at_once_as_its_limit_says(home: &dyn Home) {
    let (store, _) = home.open();
    let first = create(&*store, "narrow", 1).await;
    let held = create(&*store, "narrow", 2).await;
    let behind = create(&*store, "wide", 3).await;
    let mut wanted = wanted(&["wide"]);
    wanted.kinds.push(limited("narrow", 1));
    let run = next(&*store, &wanted).await.expect("the oldest");
    assert_eq!(run.id, first);
    assert_eq!(next_id(&*store, &wanted).await, Some(behind), "the one that may not run holds up none");
    assert_eq!(next_id(&*store, &wanted).await, None);
    assert_eq!(store.before(held).await.expect("its place"), 0, "it is the first that waits");
    store.cancel(run.id, at(101)).await.expect("asked");
    assert_eq!(next_id(&*store, &wanted).await, None, "one that is to stop runs still");
    end(&*store, &run).await;
    assert_eq!(next_id(&*store, &wanted).await, Some(held));
}

pub(crate) async fn a_user_runs_as_many_at_once_as_the_limit_says(home: &dyn Home) {
    let (store, _) = home.open();
    let wanted = Wanted { per_user: Some(2), ..wanted(&["work"]) };
    // What runs in the foreground is not held, but counts.
    let claimed = NewOperation { claimed: true, ..new("elsewhere") };
    store.create(claimed.clone(), None, at(0)).await.expect("created");
    let ids = [create_for(&*store, "ada", 1).await, create_for(&*store, "ada", 2).await];
    let other = create_for(&*store, "bob", 3).await;
    let run = next(&*store, &wanted).await.expect("one more of hers");
    assert_eq!(run.id, ids[0]);
    assert_eq!(next_id(&*store, &wanted).await, Some(other), "others pass");
    assert_eq!(next_id(&*store, &wanted).await, None);
    let more = NewOperation { claimed: true, ..new("elsewhere") };
    store.create(more, None, at(4)).await.expect("not held");
    end(&*store, &run).await;
    assert_eq!(next_id(&*store, &wanted).await, None, "two of hers run in the foreground");
    let run = store.record(claimed.id).await.expect("the store").expect("the record");
    end(&*store, &run).await;
    assert_eq!(next_id(&*store, &wanted).await, Some(ids[1]));
}

pub(crate) async fn a_limit_holds_for_all_processes_together(home: &dyn Home) {
    let (one, _) = home.open();
    let (two, _) = home.open();
    for n in 0..20 {
        create(&*one, "narrow", n).await;
    }
    let wanted = Wanted { kinds: vec![limited("narrow", 3)], per_user: None };
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        let wanted = wanted.clone();
        claims.spawn(async move { next(&*store, &wanted).await });
    }
    let runs: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
    assert_eq!(runs.len(), 3, "{runs:?}");
    end(&*one, &runs[0]).await;
    assert!(next(&*two, &wanted).await.is_some(), "the other process sees that one ended");
    assert!(next(&*one, &wanted).await.is_none());
}

pub(crate) async fn a_user_has_as_many_waiting_as_the_limit_says(home: &dyn Home) {
    let ((store, _), (other, _)) = (home.open(), home.open());
    let of = |owner: &str| NewOperation { owner: owner.to_owned(), ..new("work") };
    let is_refused = |answer: Result<_, StoreError>| matches!(answer, Err(StoreError::TooManyWaiting(2)));
    let runs = create_for(&*store, "ada", 0).await;
    let run = next(&*store, &wanted(&["work"])).await.expect("it waits");
    assert_eq!(run.id, runs);
    // What runs is no waiting one, nor is what never waits.
    let submission = Some(Submission::new("key", &json!(1)));
    let first = NewOperation { submission, ..of("ada") };
    store.create(first.clone(), Some(2), at(1)).await.expect("the first that waits");
    other.create(of("ada"), Some(2), at(2)).await.expect("the second, by whatever process");
    for store in [&store, &other] {
        let refused = of("ada");
        assert!(is_refused(store.create(refused.clone(), Some(2), at(3)).await.map(drop)));
        assert!(store.record(refused.id).await.expect("the store").is_none());
    }
    let again = NewOperation { id: OperationId::new(), ..first.clone() };
    assert_eq!(store.create(again, Some(2), at(3)).await.ok(), Some(first.id), "sent again, it is there");
    store.create(NewOperation { claimed: true, ..of("ada") }, Some(2), at(3)).await.expect("it never waits");
    store.create(of("eve"), Some(2), at(3)).await.expect("another user");
    end(&*store, &run).await;
    assert!(is_refused(store.restart(runs, Some(2), at(4)).await.map(drop)));
    let record = store.record(runs).await.expect("the store").expect("it is there");
    assert_eq!((record.state, record.attempt), (State::Succeeded, 1), "it stays as it was");
    store.cancel(first.id, at(5)).await.expect("cancelled");
    assert!(store.restart(runs, Some(2), at(6)).await.expect("there is room"));
    assert!(is_refused(store.create(of("ada"), Some(2), at(7)).await.map(drop)), "it is one of them");
    store.create(of("ada"), None, at(8)).await.expect("no limit");
}

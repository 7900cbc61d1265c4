//! What every store does with what is old.

use std::time::Duration;

use liveops::operation::{NewOperation, State};
use liveops::store::{Filter, Finish, Lease, Removed, Store};
use serde_json::json;

use super::Home;
use super::operations::{at, claim, create, finish, lines, new, page, running};

pub(crate) async fn what_ended_long_ago_is_removed_in_steps(home: &dyn Home) {
    let (store, _) = home.open();
    let mut ids = Vec::new();
    for (n, uploads) in [vec!["a", "shared"], vec!["b", "shared"], vec!["c"]].into_iter().enumerate() {
        let uploads = uploads.into_iter().map(str::to_owned).collect();
        let other = NewOperation { uploads, ..new("work") };
        let id = store.create(other, None, at(0)).await.expect("created");
        store.cancel(id, at(10 * (n as i64 + 1))).await.expect("cancelled");
        ids.push(id);
    }
    let waiting = create(&*store, "other", 0).await;
    let (running, _) = running(&*store).await;
    let names = ["a", "b", "c", "shared", "unknown"].map(str::to_owned).to_vec();
    let needed = async || store.uploads_needed(names.clone()).await.expect("the store");
    assert_eq!(needed().await, ["a", "b", "c", "shared"]);
    assert_eq!(store.uploads_of(ids[0]).await.expect("the store"), ["a", "shared"]);
    assert!(store.uploads_of(waiting).await.expect("the store").is_empty());
    let remove = async |limit| store.remove_ended(at(30), limit).await.expect("the store");
    let removed = remove(1).await;
    assert_eq!(
        (removed.operations, removed.uploads),
        (1, vec!["a".to_owned()]),
        "the oldest, and what is only its own"
    );
    let removed = remove(5).await;
    assert_eq!((removed.operations, removed.uploads), (1, vec!["b".to_owned(), "shared".to_owned()]));
    assert_eq!(remove(5).await.operations, 0);
    assert_eq!(needed().await, ["c"]);
    for (id, is_left) in [(ids[0], false), (ids[1], false), (ids[2], true), (waiting, true), (running, true)]
    {
        assert_eq!(store.record(id).await.expect("the store").is_some(), is_left);
    }
}

pub(crate) async fn what_is_handed_over_keeps_the_uploads_that_it_names(home: &dyn Home) {
    let (store, _) = home.open();
    let first = NewOperation { uploads: vec!["mine".to_owned(), "both".to_owned()], ..new("work") };
    store.create(first.clone(), None, at(0)).await.expect("created");
    let record = claim(&*store, &["work"]).await.expect("it waits");
    let lease = Lease { operation: record.id, claim: record.claim, attempt: record.attempt };
    let input = json!({ "file": { "path": "/srv/uploads/both" } });
    let next = NewOperation { input, previous: Some(first.id), ..new("next") };
    let handed = Finish { next: Some(next.clone()), ..finish(State::Succeeded) };
    store.finish(lease, &[], handed).await.expect("it ends");
    let removed = store.remove_ended(at(1_000_000), 10).await.expect("the store");
    assert_eq!((removed.operations, removed.uploads), (1, vec!["mine".to_owned()]));
    let names = vec!["mine".to_owned(), "both".to_owned()];
    assert_eq!(store.uploads_needed(names).await.expect("the store"), ["both"]);
}

pub(crate) async fn a_long_log_is_removed_bit_by_bit_and_seen_by_nobody(home: &dyn Home) {
    let (store, _) = home.open();
    let (id, lease) = running(&*store).await;
    for n in 1..=300 {
        store.checkpoint(lease, &lines(n, n), page(1)).await.expect("a checkpoint");
    }
    store.finish(lease, &[], finish(State::Succeeded)).await.expect("it ends");
    let remove = async || store.remove_ended(at(1_000_000), 10).await.expect("the store");
    let first = remove().await;
    assert_eq!((first.operations, first.more), (0, true));
    assert!(
        store.list("ada", &Filter::default(), 1, 10).await.expect("the list").records.is_empty(),
        "half a log is nobody's"
    );
    let mut steps = 1;
    while store.record(id).await.expect("the store").is_some() {
        assert!(remove().await.more || steps > 1);
        steps += 1;
    }
    assert!(steps > 2, "{steps}");
    assert_eq!(remove().await, Removed::default());
}

pub(crate) async fn what_is_run_again_is_not_removed_and_what_is_being_removed_is_not_run_again(
    home: &dyn Home,
) {
    let (store, _) = home.open();
    let again = NewOperation { uploads: vec!["mine".to_owned()], ..new("other") };
    store.create(again.clone(), None, at(0)).await.expect("created");
    store.cancel(again.id, at(1)).await.expect("cancelled");
    let (long, lease) = running(&*store).await;
    for n in 1..=300 {
        store.checkpoint(lease, &lines(n, n), page(1)).await.expect("a checkpoint");
    }
    store.finish(lease, &[], finish(State::Succeeded)).await.expect("it ends");
    assert!(store.restart(again.id, None, at(2)).await.expect("the store"));
    let removed = store.remove_ended(at(1_000_000), 10).await.expect("the store");
    assert_eq!((removed.operations, removed.uploads.len(), removed.more), (0, 0, true));
    assert_eq!(store.uploads_needed(vec!["mine".to_owned()]).await.expect("the store"), ["mine"]);
    // Half its log is gone already.
    assert!(!store.restart(long, None, at(3)).await.expect("the store"));
    while store.remove_ended(at(1_000_000), 10).await.expect("the store").more {}
    assert!(store.record(long).await.expect("the store").is_none());
    assert!(store.record(again.id).await.expect("the store").is_some());
}

pub(crate) async fn the_time_of_removal_follows_a_clock_that_leaps_step_by_step(home: &dyn Home) {
    const DAY: i64 = 24 * 3600;
    let (store, other) = (home.open().0, home.open().0);
    let follow = async |store: &dyn Store, seconds| {
        store.follow_clock(at(seconds), Duration::from_secs(24 * 3600)).await.expect("the store")
    };
    assert_eq!(follow(&*store, 0).await, at(0), "the first time is believed");
    assert_eq!(follow(&*store, 3600).await, at(3600));
    assert_eq!(follow(&*store, 365 * DAY).await, at(3600 + DAY));
    assert_eq!(follow(&*other, 365 * DAY).await, at(3600 + 2 * DAY), "for all processes together");
    // Put right again.
    assert_eq!(follow(&*store, 2 * 3600).await, at(2 * 3600));
    assert_eq!(follow(&*store, 3 * 3600).await, at(3 * 3600));
}

pub(crate) async fn a_store_has_one_identity(home: &dyn Home) {
    let (store, other) = (home.open().0, home.open().0);
    assert_eq!(store.identity(), other.identity());
}

//! What every store tells of a user's operations.

use liveops::operation::{NewOperation, OperationId, State};
use liveops::projection::Projection;
use liveops::store::{Filter, Store};

use super::Home;
use super::operations::{at, claim, create, new, running};

pub(crate) async fn lists_are_paged_and_of_one_owner(home: &dyn Home) {
    let (store, _) = home.open();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(create(&*store, "work", n / 2).await);
        let other = NewOperation { owner: "ada ".to_owned(), ..new("work") };
        store.create(other, None, at(n)).await.expect("created");
    }
    ids.reverse();
    let all = Filter::default();
    for (page, expected, more) in [
        (0, &ids[..2], true),
        (1, &ids[..2], true),
        (2, &ids[2..4], true),
        (3, &ids[4..], false),
        (4, &[], false),
    ] {
        let got = store.list("ada", &all, page, 2).await.expect("the list");
        let got_ids: Vec<_> = got.records.iter().map(|record| record.id).collect();
        assert_eq!((got_ids.as_slice(), got.more), (expected, more), "page {page}");
    }
    assert!(!store.list("ada", &all, 1, 5).await.expect("the list").more, "exactly full");
    assert!(store.list("ada", &all, u32::MAX, u32::MAX).await.expect("the list").records.is_empty());
    assert!(store.list("nobody", &all, 1, 9).await.expect("the list").records.is_empty());
}

pub(crate) async fn a_glance_tells_what_changed_in_lists(home: &dyn Home) {
    let (store, _) = home.open();
    let over = create(&*store, "work", 0).await;
    store.cancel(over, at(1)).await.expect("cancelled");
    let (runs, lease) = running(&*store).await;
    let saved = Projection::new(1, 1, State::Running, 5, at(100));
    store.checkpoint(lease, &[], saved).await.expect("saved");
    let theirs = NewOperation { owner: "eve".to_owned(), ..new("work") };
    store.create(theirs.clone(), None, at(2)).await.expect("created");
    let waits = create(&*store, "work", 3).await;
    let owners = ["ada".to_owned(), "nobody".to_owned()];
    let gone = OperationId::new();
    let glances = store.glance(&owners, &[], 1, &[over, theirs.id, gone]).await.expect("a look");
    let newest: Vec<Vec<_>> = glances
        .newest
        .iter()
        .map(|page| page.iter().map(|glance| (glance.id, glance.before)).collect())
        .collect();
    assert_eq!(newest, [vec![(waits, Some(1))], vec![]], "one page for each owner");
    let mut others: Vec<_> = glances
        .others
        .iter()
        .map(|glance| (glance.owner.as_str(), glance.state.as_str(), glance.id))
        .collect();
    others.sort_unstable();
    let mut expected = [
        ("ada", "cancelled", over),
        ("ada", "running", runs),
        ("ada", "waiting", waits),
        ("eve", "waiting", theirs.id),
    ];
    expected.sort_unstable();
    assert_eq!(others, expected, "what is active, and what was asked for");
    let found = store.records(&[over, gone, runs]).await.expect("the records");
    let found: Vec<_> = found.iter().map(|(record, page)| (record.id, page.is_some())).collect();
    assert_eq!(found, [(over, false), (runs, true)]);
}

/// The operations of ada's that a filter lets through, and whether there are more than two.
async fn listed(store: &dyn Store, filter: &Filter, page: u32) -> (Vec<OperationId>, bool) {
    let found = store.list("ada", filter, page, 2).await.expect("the list");
    (found.records.iter().map(|record| record.id).collect(), found.more)
}

pub(crate) async fn a_list_is_filtered_and_its_pages_are_those_of_what_is_left(home: &dyn Home) {
    let (store, _) = home.open();
    let (store, mut cancelled, mut others) = (&*store, Vec::new(), Vec::new());
    for n in 0..5 {
        let id = create(store, "work", n).await;
        store.cancel(id, at(9)).await.expect("cancelled");
        cancelled.insert(0, id);
        others.insert(0, create(store, "other", n).await);
    }
    let theirs = NewOperation { owner: "eve".to_owned(), ..new("secret") };
    store.create(theirs, None, at(0)).await.expect("created");
    let state = Filter { state: Some(State::Cancelled), ..Filter::default() };
    let kind = Filter { kind: Some("work".to_owned()), ..Filter::default() };
    let both = Filter { state: Some(State::Cancelled), kind: Some("work".to_owned()), ..Filter::default() };
    let without = Filter { without: vec!["none".to_owned(), "other".to_owned()], ..Filter::default() };
    for filter in [state, kind, both, without] {
        assert_eq!(listed(store, &filter, 1).await, (cancelled[..2].to_vec(), true), "{filter:?}");
        assert_eq!(listed(store, &filter, 3).await, (cancelled[4..].to_vec(), false), "{filter:?}");
        assert_eq!(listed(store, &filter, 4).await, (vec![], false), "{filter:?}");
    }
    let waiting = Filter { state: Some(State::Waiting), ..Filter::default() };
    assert_eq!(listed(store, &waiting, 1).await, (others[..2].to_vec(), true));
    for nothing in [
        Filter { kind: Some("work".to_owned()), ..waiting },
        Filter { kind: Some("secret".to_owned()), ..Filter::default() },
        Filter { kind: Some("' OR 1 --\0".to_owned()), ..Filter::default() },
        Filter { kind: Some("other".to_owned()), without: vec!["other".to_owned()], state: None },
    ] {
        assert_eq!(listed(store, &nothing, 1).await, (vec![], false), "{nothing:?}");
    }
    assert_eq!(store.kinds("ada").await.expect("the kinds"), ["other", "work"]);
    assert!(store.kinds("nobody").await.expect("the kinds").is_empty());
}

pub(crate) async fn a_glance_leaves_out_the_kinds_that_it_is_told_to(home: &dyn Home) {
    let (store, _) = home.open();
    let (runs, _) = running(&*store).await;
    let waits = create(&*store, "work", 1).await;
    let seen = create(&*store, "other", 2).await;
    create(&*store, "work", 3).await;
    let without = ["work".to_owned()];
    let glances = store.glance(&["ada".to_owned()], &without, 1, &[runs, waits]).await.expect("a look");
    let newest: Vec<_> = glances.newest[0].iter().map(|glance| (glance.id, glance.before)).collect();
    assert_eq!(newest, [(seen, Some(1))], "the newest of the others, behind one that is left out");
    assert!(glances.others.iter().all(|glance| glance.id == seen), "{:?}", glances.others);
}

pub(crate) async fn lists_and_the_queue_are_in_the_order_of_starts_whatever_the_clock_says(home: &dyn Home) {
    const YEAR: i64 = 365 * 24 * 3600;
    let (store, _) = home.open();
    let ran = create(&*store, "work", 0).await;
    store.cancel(ran, at(1)).await.expect("cancelled");
    let mut ids = Vec::new();
    for seconds in [0, YEAR, 1, -YEAR] {
        ids.push(create(&*store, "work", seconds).await);
    }
    assert!(store.restart(ran, None, at(-2 * YEAR)).await.expect("the store"));
    let mut newest: Vec<_> = [&[ran][..], &ids].concat();
    newest.reverse();
    for filter in [
        Filter::default(),
        Filter { state: Some(State::Waiting), ..Filter::default() },
        Filter { kind: Some("work".to_owned()), ..Filter::default() },
    ] {
        let list = store.list("ada", &filter, 1, 9).await.expect("the list").records;
        assert_eq!(list.iter().map(|record| record.id).collect::<Vec<_>>(), newest, "{filter:?}");
    }
    let glances = store.glance(&["ada".to_owned()], &[], 9, &[]).await.expect("a look");
    assert_eq!(glances.newest[0].iter().map(|glance| glance.id).collect::<Vec<_>>(), newest);
    // Nobody waits for longer because the clock was put back.
    ids.push(ran);
    for (place, id) in (0..).zip(&ids) {
        assert_eq!(store.before(*id).await.expect("its place"), place);
    }
    for id in ids {
        assert_eq!(claim(&*store, &["work"]).await.expect("one waits").id, id);
    }
}

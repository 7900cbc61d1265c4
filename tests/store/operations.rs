//! What every store does with operations, whatever it is made of.

use jiff::{Timestamp, ToSpan as _};
use liveops::operation::{Ending, NewOperation, OperationId, Record, State, Submission};
use liveops::progress::{Level, Text, Update};
use liveops::projection::{Line, Projection};
use liveops::store::{CancelAnswer, Filter, Finish, Lease, Store, StoreError, Wanted, WantedKind};
use serde_json::json;

use super::Home;

/// The moment `seconds` after the first one, whole so that it is stored as it is.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

pub(super) fn new(kind: &str) -> NewOperation {
    NewOperation {
        id: OperationId::new(),
        kind: kind.to_owned(),
        owner: "ada".to_owned(),
        title: "Import <orders>.csv".to_owned(),
        input: json!({ "file": "orders.csv", "z": 1, "a": [null, "é\u{0}"] }),
        previous: None,
        submission: None,
        uploads: Vec::new(),
        claimed: false,
    }
}

pub(super) async fn create(store: &dyn Store, kind: &str, seconds: i64) -> OperationId {
    let new = new(kind);
    let id = new.id;
    store.create(new, None, at(seconds)).await.expect("created");
    id
}

/// These kinds, without limits.
pub(super) fn wanted(kinds: &[&str]) -> Wanted {
    let kinds =
        kinds.iter().map(|name| WantedKind { name: (*name).to_owned(), at_once: None, repeatable: false });
    Wanted { kinds: kinds.collect(), per_user: None }
}

pub(super) async fn claim(store: &dyn Store, kinds: &[&str]) -> Option<Record> {
    store.claim(&wanted(kinds), at(100)).await.expect("the queue")
}

/// Creates an operation and claims it.
pub(super) async fn running(store: &dyn Store) -> (OperationId, Lease) {
    let id = create(store, "work", 0).await;
    let record = claim(store, &["work"]).await.expect("it waits");
    assert_eq!(record.id, id);
    (id, lease(&record))
}

pub(super) fn lease(record: &Record) -> Lease {
    Lease { operation: record.id, claim: record.claim, attempt: record.attempt }
}

pub(super) async fn record(store: &dyn Store, id: OperationId) -> Record {
    store.record(id).await.expect("the store").expect("the record")
}

pub(super) fn page(attempt: u32) -> Projection {
    let mut page = Projection::new(u64::MAX, attempt, State::Running, 5, at(100));
    page.apply(Update::Status { level: Level::Warning, text: Text::new("Reading") }, at(101));
    page.flush();
    page
}

pub(super) fn lines(from: u64, to: u64) -> Vec<Line> {
    let line = |seq| Line {
        seq,
        version: 7,
        at: at(0) + i64::try_from(seq).expect("small").microseconds(),
        level: if seq % 2 == 0 { Level::Error } else { Level::Info },
        text: Text::new(&format!(" line  {seq}\twith <spaces> ")),
        failed: (seq % 3 == 0).then_some(5),
    };
    (from..=to).map(line).collect()
}

pub(super) fn finish(state: State) -> Finish {
    let ending = Ending { result: Some(json!({ "rows": 3, "b": 1, "a": 2 })), ..Ending::plain(state) };
    let mut projection = page(1);
    projection.apply(Update::Ended(ending.clone()), at(200));
    projection.flush();
    Finish { projection, ending, detail: None, next: None, at: at(200) }
}

fn is_fenced<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced { .. }))
}

pub(crate) async fn an_operation_lives_from_creation_to_its_end(home: &dyn Home) {
    let (store, _) = home.open();
    let new = new("work");
    let id = new.id;
    assert!(store.record(id).await.expect("the store").is_none());
    store.create(new.clone(), None, at(1)).await.expect("created");
    assert!(store.create(new.clone(), None, at(2)).await.is_err(), "the id is taken");

    for (owner, is_theirs) in [("ada", true), ("Ada", false), ("bob", false), ("", false)] {
        assert_eq!(store.owned(owner, id).await.expect("the store").is_some(), is_theirs, "{owner}");
    }
    let waiting = record(&*store, id).await;
    assert_eq!((waiting.state, waiting.attempt, waiting.claim), (State::Waiting, 1, 0));
    assert_eq!((waiting.created, waiting.started, waiting.finished), (at(1), None, None));
    assert_eq!((waiting.kind, waiting.owner, waiting.title), (new.kind, new.owner, new.title));
    assert_eq!((waiting.input.to_string(), waiting.previous), (new.input.to_string(), None));
    assert!(store.projection(id).await.expect("the store").is_none());

    let claimed = claim(&*store, &["work"]).await.expect("it waits");
    assert_eq!((claimed.id, claimed.state, claimed.claim), (id, State::Running, 1));
    assert_eq!((claimed.started, claimed.finished), (Some(at(100)), None));
    assert!(claim(&*store, &["work"]).await.is_none(), "it is claimed once");

    store.checkpoint(lease(&claimed), &lines(1, 2), page(1)).await.expect("a checkpoint");
    let stored = store.projection(id).await.expect("the store").expect("a page");
    assert_eq!(stored.status().text.as_str(), "Reading");
    assert_eq!(stored.cursor(), page(1).cursor());

    let end = Finish { detail: Some("why".to_owned()), ..finish(State::Succeeded) };
    store.finish(lease(&claimed), &lines(3, 3), end.clone()).await.expect("ended");
    let ended = record(&*store, id).await;
    assert_eq!((ended.state, ended.finished, ended.attempt), (State::Succeeded, Some(at(200)), 1));
    assert_eq!(ended.ending, Some(end.ending));
    let stored = store.projection(id).await.expect("the store").expect("a page");
    assert_eq!(stored.state(), State::Succeeded);
    assert_eq!(store.log(id, 1, 1, 10).await.expect("the log").len(), 3);
    assert!(is_fenced(&store.finish(lease(&claimed), &lines(4, 4), finish(State::Failed)).await));
    assert!(is_fenced(&store.checkpoint(lease(&claimed), &lines(4, 4), page(1)).await));
    assert_eq!(store.log(id, 1, 1, 10).await.expect("the log").len(), 3);
}

pub(crate) async fn the_queue_is_in_order_and_only_of_the_kinds_asked_for(home: &dyn Home) {
    let (store, _) = home.open();
    let other = create(&*store, "b", 0).await;
    let first = create(&*store, "a", 1).await;
    let second = create(&*store, "a", 2).await;
    let same_moment = create(&*store, "a", 2).await;
    assert_eq!(store.before(other).await.expect("the store"), 0);
    assert_eq!(store.before(first).await.expect("the store"), 1);
    assert_eq!(store.before(second).await.expect("the store"), 2);
    assert_eq!(store.before(same_moment).await.expect("the store"), 3);
    assert_eq!(store.before(OperationId::new()).await.expect("the store"), 0);

    assert!(claim(&*store, &[]).await.is_none());
    assert!(claim(&*store, &["c", "a' OR 1"]).await.is_none());
    let claimed = |record: Option<Record>| record.expect("one waits").id;
    assert_eq!(claimed(claim(&*store, &["a"]).await), first);
    assert_eq!(store.before(first).await.expect("the store"), 0, "it waits no longer");
    assert_eq!(store.before(same_moment).await.expect("the store"), 2);
    assert_eq!(claimed(claim(&*store, &["b", "a"]).await), other);
    assert_eq!(claimed(claim(&*store, &["b", "a"]).await), second);
    assert_eq!(claimed(claim(&*store, &["b", "a"]).await), same_moment);
    assert!(claim(&*store, &["a", "b"]).await.is_none());
}

pub(crate) async fn concurrent_claims_get_different_operations(home: &dyn Home) {
    let (one, _) = home.open();
    let (two, _) = home.open();
    for n in 0..20 {
        create(&*one, "work", n).await;
    }
    let wanted = wanted(&["work"]);
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..30 {
        let store = if n % 2 == 0 { one.clone() } else { two.clone() };
        let wanted = wanted.clone();
        claims.spawn(async move { store.claim(&wanted, at(100)).await.expect("the queue") });
    }
    let mut claimed: Vec<_> = claims.join_all().await.into_iter().flatten().map(|record| record.id).collect();
    assert_eq!(claimed.len(), 20);
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 20, "none twice");
}

pub(crate) async fn a_late_writer_changes_nothing(home: &dyn Home) {
    let (store, _) = home.open();
    let (id, late) = running(&*store).await;
    store.checkpoint(late, &lines(1, 1), page(1)).await.expect("a checkpoint");
    // Another process recovers it, with nothing but its claim's number.
    store.finish(late, &[], finish(State::Interrupted)).await.expect("recovered");
    assert!(is_fenced(&store.checkpoint(late, &lines(2, 3), page(1)).await));
    assert!(is_fenced(&store.finish(late, &lines(2, 3), finish(State::Succeeded)).await));
    assert_eq!(record(&*store, id).await.state, State::Interrupted);

    assert!(store.restart(id, None, at(300)).await.expect("the store"));
    let record_now = claim(&*store, &["work"]).await.expect("it waits again");
    assert_eq!((record_now.claim, record_now.attempt), (2, 2));
    assert!(is_fenced(&store.checkpoint(late, &lines(2, 3), page(1)).await));
    let next = Some(new("next"));
    let ending = Finish { next: next.clone(), ..finish(State::Succeeded) };
    assert!(is_fenced(&store.finish(late, &lines(2, 3), ending).await));
    let next = next.map(|next| next.id).expect("its id");
    assert!(store.record(next).await.expect("the store").is_none(), "nothing of it stays");
    assert_eq!(store.log(id, 1, 1, 10).await.expect("the log").len(), 1);
    assert!(store.projection(id).await.expect("the store").is_none());
    store.checkpoint(lease(&record_now), &lines(1, 1), page(2)).await.expect("the new claim writes");
    let unknown = Lease { operation: OperationId::new(), claim: 1, attempt: 1 };
    assert!(is_fenced(&store.checkpoint(unknown, &lines(1, 1), page(1)).await));
}

pub(crate) async fn the_next_operation_is_created_in_the_same_commit(home: &dyn Home) {
    let (store, _) = home.open();
    let (id, held) = running(&*store).await;
    let taken = create(&*store, "other", 0).await;
    let next = NewOperation { previous: Some(id), ..new("work") };

    let impossible = NewOperation { id: taken, ..next.clone() };
    let handing_over = Finish { next: Some(impossible), ..finish(State::Succeeded) };
    assert!(store.finish(held, &lines(1, 1), handing_over).await.is_err());
    assert_eq!(record(&*store, id).await.state, State::Running, "both or none");
    assert!(store.log(id, 1, 1, 10).await.expect("the log").is_empty());

    let mut handing_over = Finish { next: Some(next.clone()), ..finish(State::Succeeded) };
    handing_over.ending.next = Some(next.id);
    store.finish(held, &lines(1, 1), handing_over).await.expect("ended");
    assert_eq!(record(&*store, id).await.ending.expect("an ending").next, Some(next.id));
    let created = record(&*store, next.id).await;
    assert_eq!((created.state, created.previous, created.created), (State::Waiting, Some(id), at(200)));
    assert!(store.restart(id, None, at(300)).await.expect("the store"), "it can run again like others");
}

pub(crate) async fn cancel_depends_on_the_state(home: &dyn Home) {
    let (store, _) = home.open();
    let cancel = async |id, seconds| store.cancel(id, at(seconds)).await.expect("the store");
    assert_eq!(cancel(OperationId::new(), 1).await, CancelAnswer::Nothing);

    let waiting = create(&*store, "work", 0).await;
    assert_eq!(cancel(waiting, 5).await, CancelAnswer::Cancelled);
    let cancelled = record(&*store, waiting).await;
    assert_eq!((cancelled.state, cancelled.finished), (State::Cancelled, Some(at(5))));
    assert_eq!(cancelled.ending, Some(Ending::plain(State::Cancelled)));
    assert_eq!(cancel(waiting, 6).await, CancelAnswer::Nothing);
    assert_eq!(record(&*store, waiting).await.finished, Some(at(5)));
    assert!(claim(&*store, &["work"]).await.is_none(), "it left the queue");

    let (id, held) = running(&*store).await;
    assert!(store.cancel_requests().await.expect("the store").is_empty());
    let (other, _) = home.open();
    assert_eq!(other.cancel(id, at(7)).await.expect("the store"), CancelAnswer::Requested);
    assert_eq!(cancel(id, 8).await, CancelAnswer::Requested);
    assert_eq!(record(&*store, id).await.state, State::Cancelling);
    assert_eq!(store.cancel_requests().await.expect("the store"), [id]);
    assert!(other.cancel_requests().await.expect("the store").is_empty(), "not its run");
    store.checkpoint(held, &lines(1, 1), page(1)).await.expect("it still writes");
    store.finish(held, &[], finish(State::Cancelled)).await.expect("ended");
    assert!(store.cancel_requests().await.expect("the store").is_empty());
    assert_eq!(cancel(id, 9).await, CancelAnswer::Nothing);

    assert!(store.restart(id, None, at(10)).await.expect("the store"));
    assert_eq!(claim(&*store, &["work"]).await.expect("it waits").state, State::Running);
    assert!(
        store.cancel_requests().await.expect("the store").is_empty(),
        "the request is of the last attempt"
    );
}

pub(crate) async fn a_restart_is_a_new_attempt_and_logs_stay_apart(home: &dyn Home) {
    let (store, _) = home.open();
    let (id, held) = running(&*store).await;
    for _ in 0..2 {
        assert!(!store.restart(id, None, at(110)).await.expect("the store"), "it runs");
        store.cancel(id, at(111)).await.expect("the store");
    }
    let later = create(&*store, "work", 150).await;
    assert!(!store.restart(later, None, at(151)).await.expect("the store"), "it waits");
    assert!(!store.restart(OperationId::new(), None, at(152)).await.expect("the store"), "it is not there");

    store.finish(held, &lines(1, 3), finish(State::Failed)).await.expect("ended");
    assert!(store.restart(id, None, at(300)).await.expect("the store"));
    assert!(!store.restart(id, None, at(301)).await.expect("the store"), "once");
    let waiting = record(&*store, id).await;
    assert_eq!((waiting.state, waiting.attempt, waiting.claim), (State::Waiting, 2, 1));
    assert_eq!((waiting.created, waiting.started, waiting.finished), (at(0), None, None));
    assert_eq!(waiting.ending, None);
    assert!(store.projection(id).await.expect("the store").is_none());
    assert_eq!(store.before(id).await.expect("the store"), 1, "it comes after what waits already");

    assert_eq!(claim(&*store, &["work"]).await.expect("one waits").id, later);
    let again = claim(&*store, &["work"]).await.expect("one waits");
    assert_eq!((again.id, again.claim, again.attempt), (id, 2, 2));
    store.checkpoint(lease(&again), &lines(1, 1), page(2)).await.expect("a checkpoint");
    assert_eq!(store.log(id, 1, 1, 10).await.expect("the log").len(), 3);
    assert_eq!(store.log(id, 2, 1, 10).await.expect("the log").len(), 1);
    assert!(store.log(id, 3, 1, 10).await.expect("the log").is_empty());
    for (attempt, end) in [(1, 3), (2, 1), (3, 0)] {
        assert_eq!(store.log_end(id, attempt).await.expect("the log"), end, "{attempt}");
    }
}

pub(crate) async fn a_log_is_read_from_any_line_on(home: &dyn Home) {
    let (store, _) = home.open();
    let (id, held) = running(&*store).await;
    for (from, to) in [(1, 3), (4, 4), (5, 9)] {
        store.checkpoint(held, &lines(from, to), page(1)).await.expect("a checkpoint");
    }
    // A chunk that is larger than stores like to keep together.
    store.checkpoint(held, &lines(10, 9000), page(1)).await.expect("a checkpoint");

    let read = async |from, limit| store.log(id, 1, from, limit).await.expect("the log");
    for from in [0, 1, 2, 3, 4, 5, 9, 10, 11, 4321, 9000, 9001, u64::MAX] {
        for limit in [0, 1, 2, 5, 1000] {
            let got = read(from, limit).await;
            assert!(got.len() <= limit as usize);
            assert_eq!(got.is_empty(), limit == 0 || from > 9000, "{from} {limit}");
            let first = from.max(1);
            let mut expected = lines(first, if got.is_empty() { 0 } else { first + got.len() as u64 - 1 });
            expected.iter_mut().for_each(|line| line.version = 0);
            assert_eq!(got, expected, "{from} {limit}");
        }
    }
    let mut next = 1;
    loop {
        let got = read(next, 700).await;
        let Some(last) = got.last() else { break };
        assert_eq!(got[0].seq, next);
        next = last.seq + 1;
    }
    assert_eq!(next, 9001, "none is left out");
    assert_eq!(store.log_end(id, 1).await.expect("the log"), 9000);
}

pub(crate) async fn the_version_changes_with_the_store(home: &dyn Home) {
    let (store, _) = home.open();
    let version = async || store.version().await.expect("a version");
    let first = version().await;
    assert_eq!(version().await, first, "nothing happened");
    let id = create(&*store, "work", 0).await;
    let second = version().await;
    assert_ne!(second, first);
    let (elsewhere, _) = home.open();
    elsewhere.cancel(id, at(1)).await.expect("cancelled");
    assert_ne!(version().await, second, "whoever it was");
}

pub(crate) async fn what_was_answered_is_there_after_a_restart(home: &dyn Home) {
    let (store, _) = home.open();
    let (id, held) = running(&*store).await;
    store.finish(held, &lines(1, 2), finish(State::Succeeded)).await.expect("ended");
    let waiting = create(&*store, "work", 3).await;
    drop(store);
    let (store, _) = home.open();
    assert_eq!(record(&*store, id).await.state, State::Succeeded);
    assert_eq!(store.log(id, 1, 1, 10).await.expect("the log").len(), 2);
    assert!(store.projection(id).await.expect("the store").is_some());
    assert_eq!(record(&*store, waiting).await.state, State::Waiting);
    assert!(store.orphans().await.expect("the store").is_empty());
    assert_eq!(claim(&*store, &["work"]).await.expect("it waits").id, waiting);
}

pub(crate) async fn only_runs_of_dead_processes_are_orphans(home: &dyn Home) {
    let (store, _) = home.open();
    let (own, _) = running(&*store).await;
    let (other, _) = home.open();
    let (bare, bare_lease) = running(&*other).await;
    let (asked, asked_lease) = running(&*other).await;
    other.checkpoint(asked_lease, &lines(1, 1), page(1)).await.expect("a checkpoint");
    store.cancel(asked, at(110)).await.expect("the store");
    create(&*other, "work", 0).await;
    assert!(store.orphans().await.expect("the store").is_empty(), "it lives");

    drop(other);
    for _ in 0..2 {
        let orphans = store.orphans().await.expect("the store");
        let found: Vec<_> =
            orphans.iter().map(|it| (it.record.id, it.record.state, it.projection.is_some())).collect();
        assert_eq!(found, [(bare, State::Running, false), (asked, State::Cancelling, true)]);
    }
    let (third, _) = home.open();
    assert_eq!(third.orphans().await.expect("the store").len(), 2, "others see them too");
    store.finish(bare_lease, &[], finish(State::Interrupted)).await.expect("recovered");
    let twice = third.finish(bare_lease, &[], finish(State::Interrupted)).await;
    assert!(is_fenced(&twice), "by one of them");
    store.finish(asked_lease, &[], finish(State::Interrupted)).await.expect("recovered");
    assert!(store.orphans().await.expect("the store").is_empty());
    assert_eq!(record(&*store, own).await.state, State::Running);
}

pub(crate) async fn one_failing_write_among_many_harms_only_itself(home: &dyn Home) {
    let (store, _) = home.open();
    let taken = create(&*store, "work", 0).await;
    let mut writes = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        writes.spawn(async move {
            let mut new = new("work");
            if n % 50 == 7 {
                new.id = taken;
            }
            let result = store.create(new.clone(), None, at(n)).await;
            assert_eq!(result.is_err(), n % 50 == 7, "{n}: {result:?}");
            if result.is_ok() {
                assert_eq!(record(&*store, new.id).await.created, at(n), "committed before the answer");
            }
        });
    }
    writes.join_all().await;
    let list = store.list("ada", &Filter::default(), 1, 1000).await.expect("the list");
    assert_eq!(list.records.len(), 197);
}

pub(crate) async fn a_submission_starts_once(home: &dyn Home) {
    let (store, _) = home.open();
    let submission = Some(Submission::new("key", &json!(1)));
    let first = NewOperation { submission, ..new("work") };
    assert_eq!(store.create(first.clone(), None, at(1)).await.ok(), Some(first.id));
    let again = NewOperation { id: OperationId::new(), ..first.clone() };
    assert_eq!(store.create(again.clone(), None, at(2)).await.ok(), Some(first.id));
    assert!(store.record(again.id).await.expect("the store").is_none());
    let others = [
        NewOperation { owner: "eve".to_owned(), ..again.clone() },
        NewOperation { id: OperationId::new(), kind: "other".to_owned(), ..again.clone() },
        NewOperation {
            id: OperationId::new(),
            submission: Some(Submission::new("key", &json!(2))),
            ..again.clone()
        },
        NewOperation { id: OperationId::new(), submission: None, ..again.clone() },
        NewOperation { id: OperationId::new(), submission: None, ..again },
    ];
    for other in others {
        let id = other.id;
        assert_eq!(store.create(other, None, at(3)).await.ok(), Some(id));
    }
}

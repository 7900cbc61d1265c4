//! A kind that keeps its operations out of lists.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::request::Parts;
use liveops::live::{Opened, Reader};
use liveops::operation::OperationId;
use liveops::store::{Filter, Sqlite};
use liveops::stream::Cursor;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, LiveOpsBuilder, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

/// Is in lists, as most are.
#[derive(Serialize, Deserialize)]
struct Shown {}

impl Operation for Shown {
    const KIND: &'static str = "shown";

    async fn run(self, _: Progress) -> liveops::Result {
        Ok(Outcome::default())
    }
}

/// Is in none.
#[derive(Serialize, Deserialize)]
struct Hidden {}

impl Operation for Hidden {
    const KIND: &'static str = "hidden";
    const LISTED: bool = false;

    async fn run(self, p: Progress) -> liveops::Result {
        // Runs until a cancel, so that lists have the time to show it.
        Err(p.cancelled().await.into())
    }
}

struct Everybody;

#[async_trait]
impl Identify for Everybody {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(Some(ada()))
    }
}

fn ada() -> Viewer {
    Viewer { id: "u".into(), name: "Ada".into(), groups: Vec::new(), superuser: false, session: "s".into() }
}

/// What a process has that shares a folder's database.
fn process(folder: &Path) -> LiveOpsBuilder {
    LiveOps::builder()
        .store(Sqlite::open(folder.join("app.db")).expect("a database"))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
}

async fn get(live: &LiveOps, path: &str) -> String {
    let site = web::router(live.clone(), Everybody, &WebOptions::default());
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = site.oneshot(request).await.expect("an answer");
    assert!(response.status().is_success(), "{path}: {}", response.status());
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

async fn listed(live: &LiveOps) -> BTreeSet<OperationId> {
    let page = live.list(&ada(), &Filter::default(), 1).await.expect("the store");
    page.records.iter().map(|record| record.id).collect()
}

/// What the list's stream tells until it tells that the operation has ended.
async fn told_until_over(list: &mut Reader, id: OperationId) -> String {
    let told = async {
        let mut told = String::new();
        while !told.split("\n\n").any(|event| event.contains(&id.to_string()) && event.contains("succeeded"))
        {
            let frame = list.next().await.expect("it never ends by itself");
            told.push_str(std::str::from_utf8(&frame.bytes).expect("UTF-8"));
        }
        told
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("in time")
}

async fn follow(live: &LiveOps) -> Reader {
    let token = live.list_token(&ada().id);
    match live.open(&ada(), token.as_str(), None, Cursor::START).await {
        Ok(Opened::Stream(reader, _)) => reader,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_in_no_list_and_no_stream_of_one_in_any_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let build = || process(folder.path()).operation::<Shown>().operation::<Hidden>();
    let (here, there) =
        (build().start().await.expect("it starts"), build().start().await.expect("it starts"));
    let mut lists = [follow(&here).await, follow(&there).await];
    let hidden = here.start(&ada(), Hidden {}).await.expect("started");
    let ended = here.start(&ada(), Hidden {}).await.expect("started");
    assert!(here.cancel(&ada(), ended).await.expect("the store"));
    let shown = here.start(&ada(), Shown {}).await.expect("started");
    for (live, list) in [&here, &there].into_iter().zip(&mut lists) {
        let told = told_until_over(list, shown).await;
        assert!([hidden, ended].iter().all(|id| !told.contains(&id.to_string())), "{told}");
        // A change of one is none of the list either.
        assert!(live.cancel(&ada(), hidden).await.expect("the store"));
        let next = live.start(&ada(), Shown {}).await.expect("started");
        let told = told_until_over(list, next).await;
        assert!([hidden, ended].iter().all(|id| !told.contains(&id.to_string())), "{told}");
        let told = told_until_over(&mut follow(live).await, next).await;
        assert!([hidden, ended].iter().all(|id| !told.contains(&id.to_string())), "{told}");
    }
    for live in [&here, &there] {
        assert!(listed(live).await.contains(&shown));
        assert!(!listed(live).await.contains(&hidden));
        for path in
            ["/operations", "/operations?page=1", "/operations?kind=hidden", "/operations?state=cancelled"]
        {
            let page = get(live, path).await;
            assert!(!page.contains(&hidden.to_string()), "{path}");
            assert!(!page.contains("kind=hidden"), "{path}");
        }
        assert!(get(live, "/operations?kind=shown").await.contains("kind=shown"), "the other one is offered");
        let page = get(live, &format!("/operations/{hidden}")).await;
        assert!(page.contains(&format!("id=\"op-{hidden}\"")), "it has its page");
        let only = Filter { kind: Some("hidden".to_owned()), ..Filter::default() };
        assert!(live.list(&ada(), &only, 1).await.expect("the store").records.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_no_place_on_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = process(folder.path()).operation::<Shown>().operation::<Hidden>().start().await;
    let live = live.expect("it starts");
    let first = live.start(&ada(), Shown {}).await.expect("started");
    for n in 0..100 {
        if n % 2 == 0 {
            live.start(&ada(), Shown {}).await.expect("started");
        }
        let hidden = live.start(&ada(), Hidden {}).await.expect("started");
        live.cancel(&ada(), hidden).await.expect("the store");
    }
    let page = live.list(&ada(), &Filter::default(), 1).await.expect("the store");
    assert_eq!((page.records.len(), page.more), (50, true));
    let page = live.list(&ada(), &Filter::default(), 2).await.expect("the store");
    let ids: Vec<_> = page.records.iter().map(|record| record.id).collect();
    assert_eq!((ids, page.more), (vec![first], false));
    // The stream begins with as many rows as the page has.
    let frame = follow(&live).await.next().await.expect("the newest page");
    let rows = String::from_utf8(frame.bytes.to_vec()).expect("UTF-8").matches("event: fragment").count();
    assert_eq!(rows, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_the_kind_lists_it_as_any_other_that_it_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = process(folder.path()).operation::<Hidden>().start().await.expect("it starts");
    let id = live.start(&ada(), Hidden {}).await.expect("started");
    live.cancel(&ada(), id).await.expect("the store");
    assert!(listed(&live).await.is_empty());
    let without = process(folder.path()).operation::<Shown>().start().await.expect("it starts");
    assert_eq!(listed(&without).await, BTreeSet::from([id]));
    assert!(get(&without, "/operations?kind=hidden").await.contains(&id.to_string()));
}

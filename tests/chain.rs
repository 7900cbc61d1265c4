//! A chain that is longer than what a page shows of it.

use std::time::Duration;

use jiff::Timestamp;
use liveops::operation::{NewOperation, OperationId};
use liveops::store::{Sqlite, Store as _};
use liveops::testing::StreamClient;
use liveops::{LiveOps, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};

/// Hands over to one more while `left` of them are left, but for the one that fails.
#[derive(Serialize, Deserialize)]
struct Link {
    left: u32,
    #[serde(default)]
    fails_at: Option<u32>,
}

fn links(left: u32) -> Link {
    Link { left, fails_at: None }
}

impl Operation for Link {
    const KIND: &'static str = "link";

    fn label(&self) -> String {
        format!("<{} left>", self.left)
    }

    async fn run(self, p: Progress) -> liveops::Result {
        match self.left.checked_sub(1) {
            _ if self.fails_at == Some(self.left) => p.error("no such table"),
            Some(left) => p.chain_to(&Self { left, ..self }),
            None => Ok(Outcome::default()),
        }
    }
}

fn viewer(id: &str) -> Viewer {
    let (id, name) = (id.to_owned(), id.to_owned());
    Viewer { id, name, groups: Vec::new(), superuser: false, session: String::new() }
}

/// The titles in the breadcrumb of an operation's page, its own marked by `*`, with `…` where it is cut.
async fn breadcrumb(live: &LiveOps, id: OperationId) -> Vec<String> {
    let page =
        live.page(&viewer("ada"), id).await.expect("the store").expect("hers").operation().expect("HTML");
    let Some((_, nav)) = page.split_once("<nav class=\"liveop-chain\"") else { return Vec::new() };
    let nav = nav.split("</nav>").next().expect("its end");
    let links = nav.split("<li>").skip(1).map(|link| {
        let mark = if link.contains("aria-current=\"page\"") { "*" } else { "" };
        assert_eq!(link.contains("<a href=\"/operations/"), mark.is_empty() && !link.contains('…'), "{link}");
        let title =
            link.split("<bdi>").nth(1).map_or("…", |title| title.split("</bdi>").next().expect("one"));
        format!("{mark}{title}")
    });
    links.collect()
}

fn titles(left: impl Iterator<Item = u32>) -> Vec<String> {
    left.map(|left| format!("&lt;{left} left&gt;")).collect()
}

async fn open(folder: &tempfile::TempDir) -> (Sqlite, LiveOps) {
    let store = Sqlite::open(folder.path().join("app.db")).expect("a database");
    let live = LiveOps::builder()
        .store(store.clone())
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .operation::<Link>()
        .start()
        .await
        .expect("it starts");
    (store, live)
}

/// Those of a chain, once the last one is over.
async fn follow(live: &LiveOps, first: OperationId) -> Vec<OperationId> {
    let mut client = StreamClient::open(live, &viewer("ada"), first).await;
    let mut chain = vec![first];
    while let Some(next) = client.end().await.next {
        let id = next.rsplit('/').next().expect("an address");
        chain.push(id.parse().expect("an id"));
        client = client.next_page().await;
    }
    chain
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_is_the_last_one_and_says_so_to_those_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_store, live) = open(&folder).await;
    let first = Link { left: 9, fails_at: Some(7) };
    let first = live.start(&viewer("ada"), first).await.expect("started");
    let chain = follow(&live, first).await;
    assert_eq!(chain.len(), 3, "nothing comes after it");
    let page = StreamClient::open(&live, &viewer("ada"), chain[2]).await;
    assert!(page.page().text("result").contains("no such table"), "{page:?}");
    let html =
        live.page(&viewer("ada"), first).await.expect("the store").expect("hers").operation().expect("HTML");
    assert_eq!(html.matches("<span class=\"liveop-chain-state\">Failed</span>").count(), 1, "{html}");
    live.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_ten_links_in_each_direction_and_says_that_there_are_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, live) = open(&folder).await;
    let alone = live.start(&viewer("ada"), links(0)).await.expect("started");
    // What is over first is the oldest.
    StreamClient::open(&live, &viewer("ada"), alone).await.end().await;
    let first = live.start(&viewer("ada"), links(12)).await.expect("started");
    let chain = follow(&live, first).await;
    assert_eq!(chain.len(), 13);
    assert!(breadcrumb(&live, alone).await.is_empty(), "it is in no chain");
    let more = ["…".to_owned()];
    let own = |left: u32| [format!("*&lt;{left} left&gt;")];
    let expected = [&own(12)[..], &titles((2..12).rev()), &more].concat();
    assert_eq!(breadcrumb(&live, chain[0]).await, expected, "from the first one");
    let expected = [&titles((7..13).rev())[..], &own(6), &titles((0..6).rev())].concat();
    assert_eq!(breadcrumb(&live, chain[6]).await, expected, "from the middle");
    let expected = [&more[..], &titles((1..11).rev()), &own(0)].concat();
    assert_eq!(breadcrumb(&live, chain[12]).await, expected, "from the last one");
    let foreign = live.page(&viewer("bob"), chain[6]).await.expect("the store");
    assert!(foreign.is_none(), "nobody else's");

    // Nobody's chain leads to what is somebody else's, whatever the database says.
    let id = OperationId::new();
    let stolen = NewOperation {
        id,
        kind: Link::KIND.to_owned(),
        owner: "bob".to_owned(),
        title: "his".to_owned(),
        input: serde_json::json!({ "left": 0 }),
        previous: Some(chain[12]),
        submission: None,
        uploads: Vec::new(),
        claimed: false,
    };
    store.create(stolen, None, Timestamp::now()).await.expect("created");
    let page =
        live.page(&viewer("bob"), id).await.expect("the store").expect("his").operation().expect("HTML");
    assert!(page.contains("his") && !page.contains("left&gt;"), "{page}");

    // Those that are removed because of their age leave a mark, and no link to nowhere.
    let removed = store.remove_ended(Timestamp::now() + Duration::from_secs(60), 8).await.expect("removed");
    assert_eq!(removed.operations, 8, "the one alone, and seven links");
    let expected = [&more[..], &titles((1..6).rev()), &own(0)].concat();
    assert_eq!(breadcrumb(&live, chain[12]).await, expected, "the seven oldest are gone");
    assert_eq!(breadcrumb(&live, chain[7]).await[..2], [&more[..], &own(5)].concat());
    live.shutdown(Duration::ZERO).await;
}

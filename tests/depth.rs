//! Values that nest so deep that nobody could read them again are refused where they come in.

use liveops::live::NotStarted;
use liveops::operation::{DEPTH_LIMIT, State};
use liveops::progress::{Content, ContentError};
use liveops::store::Sqlite;
use liveops::testing::Recorder;
use liveops::{LiveOps, Operation, Outcome, Progress, SecretKey, Viewer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Hands what it got on, in the way of that name.
#[derive(Serialize, Deserialize)]
struct Nest {
    way: String,
    levels: usize,
    value: Value,
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::from(1), |value, _| serde_json::json!([value]))
}

impl Operation for Nest {
    const KIND: &'static str = "nest";

    async fn run(self, p: Progress) -> liveops::Result {
        let value = nested(self.levels);
        match self.way.as_str() {
            "result" => p.result(value),
            "chain" => p.chain_to(&Self { way: "none".into(), levels: 0, value }),
            "region" => {
                let refused = matches!(Content::template("x", value), Err(ContentError::Deep(_)));
                assert_eq!(refused, self.levels > DEPTH_LIMIT);
                Ok(Outcome::default())
            }
            other => p.result(other),
        }
    }
}

#[test]
fn what_a_run_gives_has_a_limit() {
    for (way, levels, state) in [
        ("result", DEPTH_LIMIT, State::Succeeded),
        ("result", DEPTH_LIMIT + 1, State::Failed),
        // The operation around it is a level too.
        ("chain", DEPTH_LIMIT - 1, State::Succeeded),
        ("chain", DEPTH_LIMIT, State::Failed),
        ("region", DEPTH_LIMIT, State::Succeeded),
        ("region", DEPTH_LIMIT + 1, State::Succeeded),
    ] {
        let seen = Recorder::new().run(Nest { way: way.into(), levels, value: Value::Null });
        assert_eq!(seen.state(), state, "{way} {levels}: {seen:?}");
        if state == State::Failed {
            assert!(seen.detail().is_some_and(|detail| detail.contains("100 levels")), "{seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_starts_an_operation_has_a_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = LiveOps::builder()
        .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
        .secret_key(SecretKey::new(&[7; 32]).expect("a key"))
        .operation::<Nest>()
        .start()
        .await
        .expect("it starts");
    let (id, session) = ("ada".to_owned(), "s".to_owned());
    let ada = Viewer { name: id.clone(), id, groups: Vec::new(), superuser: false, session };
    let nest = |levels| Nest { way: "none".into(), levels: 0, value: nested(levels) };
    let refused = live.start(&ada, nest(DEPTH_LIMIT)).await;
    assert!(matches!(refused, Err(NotStarted::Deep(_))), "{refused:?}");
    assert!(live.list(&ada, &Default::default(), 1).await.expect("the store").records.is_empty());
    live.start(&ada, nest(DEPTH_LIMIT - 1)).await.expect("as deep as may be");
}

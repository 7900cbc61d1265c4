//! A form's body, urlencoded or multipart, with files: whatever it is, it is refused, nothing is started and no file is left.

#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use libfuzzer_sys::fuzz_target;
use liveops::operation::{Field, Operation, Upload};
use liveops::store::Sqlite;
use liveops::web::{self, Identify, IdentifyError, WebOptions};
use liveops::{LiveOps, Progress, SecretKey, Viewer};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// Nothing that is submitted is right for it.
#[derive(serde::Serialize, serde::Deserialize)]
struct Never {
    never: String,
    file: Option<Upload>,
}

impl Operation for Never {
    const KIND: &'static str = "never";

    fn fields() -> Vec<Field> {
        vec![Field::text("never", "Never").required().pattern("[^\\s\\S]"), Field::file("file", "File")]
    }

    async fn run(self, _: Progress) -> liveops::Result {
        unreachable!("it is never started")
    }
}

fn ada() -> Viewer {
    Viewer {
        id: "ada".into(),
        name: "Ada".into(),
        groups: Vec::new(),
        superuser: false,
        session: "hers".into(),
    }
}

/// Everybody is Ada.
struct Always;

#[async_trait::async_trait]
impl Identify for Always {
    async fn identify(&self, _: &Parts) -> Result<Option<Viewer>, IdentifyError> {
        Ok(Some(ada()))
    }
}

/// The application, once for all inputs.
struct App {
    runtime: Runtime,
    router: Router,
    csrf: String,
    folder: TempDir,
}

static APP: LazyLock<App> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("threads");
    // Nothing drops it: it is among what git ignores.
    let found = concat!(env!("CARGO_MANIFEST_DIR"), "/found");
    std::fs::create_dir_all(found).expect("a folder");
    let folder = tempfile::tempdir_in(found).expect("a folder");
    let live = runtime.block_on(async {
        let live = LiveOps::builder()
            .store(Sqlite::open(folder.path().join("app.db")).expect("a database"))
            .secret_key(SecretKey::new(&[1; 32]).expect("32 bytes"))
            .uploads(folder.path().join("uploads"))
            .max_upload_bytes(100_000)
            .operation::<Never>();
        live.start().await.expect("it starts")
    });
    let router = web::router(live, Always, &WebOptions::default());
    let page = runtime.block_on(answer(&router, Request::get("/operations/new/never"), Vec::new())).1;
    let (_, csrf) = page.split_once("name=\"csrf_token\" value=\"").expect("a form");
    let csrf = csrf.split('"').next().expect("a token").to_owned();
    App { runtime, router, csrf, folder }
});

async fn answer(router: &Router, ask: axum::http::request::Builder, body: Vec<u8>) -> (u16, String) {
    let request = ask.body(Body::from(body)).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    let page = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a page");
    (status, String::from_utf8(page.into()).expect("UTF-8"))
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let kind =
        if choice % 2 == 0 { "multipart/form-data; boundary=x" } else { "application/x-www-form-urlencoded" };
    let mut ask = Request::post("/operations/new/never").header("content-type", kind);
    let is_genuine = choice & 2 == 0;
    if is_genuine {
        ask = ask.header("x-csrf-token", &APP.csrf);
    }
    let (status, page) = APP.runtime.block_on(answer(&APP.router, ask, body.to_vec()));
    assert!([400, 403, 413, 422].contains(&status), "{status}: {page}");
    assert!(is_genuine || status == 403, "without a token that is not {status}: {page}");
    let uploads = std::fs::read_dir(APP.folder.path().join("uploads"));
    assert_eq!(uploads.map_or(0, Iterator::count), 0, "a file is left");
});

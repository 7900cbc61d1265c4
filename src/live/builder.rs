//! The settings of a [`LiveOps`], with their defaults.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::lists::{Lists, keep};
use super::streams::OpenStreams;
use super::{Inner, LiveOps, Uploads, follow, housekeeping};
use crate::access::{Keys, SecretKey};
use crate::clock::{Clock, SystemClock};
use crate::operation::{Kind, Operation, Registry, RegistryError, is_local_path};
use crate::render::{Addresses, Reading, Renderer, TemplateError};
use crate::runner::{Runner, Work, epoch};
use crate::store::{Store, StoreError};
use crate::stream::Hub;
use crate::upkeep::keep_up;

/// Builds a [`LiveOps`].
#[derive(Default)]
pub struct LiveOpsBuilder {
    store: Option<Arc<dyn Store>>,
    secret: Option<SecretKey>,
    fallbacks: Vec<SecretKey>,
    kinds: Vec<Kind>,
    mount: String,
    page: Option<String>,
    uploads: Option<PathBuf>,
    max_upload_bytes: Option<u64>,
    token_ttl: Option<Duration>,
    throttle_hz: Option<f64>,
    log_tail: Option<usize>,
    workers: Option<usize>,
    streams_per_user: Option<usize>,
    streams_per_address: Option<usize>,
    running_per_user: Option<u32>,
    waiting_per_user: Option<u32>,
    retention: Option<Duration>,
    foreground: bool,
    templates: Option<(PathBuf, Reading)>,
    clock: Option<Arc<dyn Clock>>,
}

/// Why a [`LiveOps`] could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No store was given.
    #[error("no store: call .store(…)")]
    NoStore,
    /// No secret key was given.
    #[error("no secret key: call .secret_key(…) with at least 32 random bytes")]
    NoSecret,
    /// The mount is no path.
    #[error("mount {0:?}: expected a path such as \"/live\", the one where the router is nested")]
    Mount(String),
    /// The address of the application's own page is none.
    #[error("page_at {0:?}: expected a path with {{id}} in it, such as \"/imports/{{id}}\"")]
    Page(String),
    /// A kind cannot be registered.
    #[error(transparent)]
    Kind(#[from] RegistryError),
    /// The templates of the folder cannot be used.
    #[error(transparent)]
    Templates(#[from] TemplateError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Threads could not be started.
    #[error("the runtime of the runs could not be started: {0}")]
    Runtime(#[source] std::io::Error),
}

impl LiveOpsBuilder {
    /// Where operations last. Needed.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The key that signs tokens. Needed.
    pub fn secret_key(mut self, secret: SecretKey) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Older keys whose tokens are still accepted.
    pub fn secret_key_fallbacks(mut self, fallbacks: Vec<SecretKey>) -> Self {
        self.fallbacks = fallbacks;
        self
    }

    /// Can run operations of this type.
    pub fn operation<O: Operation>(self) -> Self {
        self.kind(Kind::of::<O>())
    }

    /// Can run operations of this kind.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// The path below which the router will be nested, such as `/live`; the root by default.
    pub fn mount(mut self, path: &str) -> Self {
        path.clone_into(&mut self.mount);
        self
    }

    /// Where the application has a page of its own for an operation, by [`LiveOps::page`]: a path with `{id}` in it, such as
    /// `/imports/{id}`. Links and redirects lead there; our own pages stay where they are.
    pub fn page_at(mut self, path: &str) -> Self {
        self.page = Some(path.to_owned());
        self
    }

    /// The folder for uploads, `uploads` by default; made when it is missing. A copy of a database needs a
    /// folder of its own: what the copy knows nothing of is removed.
    pub fn uploads(mut self, folder: impl Into<PathBuf>) -> Self {
        self.uploads = Some(folder.into());
        self
    }

    /// The largest form body; 100 MiB by default.
    pub fn max_upload_bytes(mut self, bytes: u64) -> Self {
        self.max_upload_bytes = Some(bytes);
        self
    }

    /// How long a subscription token opens streams; 300 s by default.
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.token_ttl = Some(ttl);
        self
    }

    /// Most flushes a second of one operation; 10 by default, which also stands for what is not
    /// positive.
    pub fn throttle_hz(mut self, hertz: f64) -> Self {
        self.throttle_hz = Some(hertz).filter(|hertz| *hertz > 0.0 && hertz.is_finite());
        self
    }

    /// Log lines kept on a page; 200 by default.
    pub fn log_tail(mut self, lines: usize) -> Self {
        self.log_tail = Some(lines);
        self
    }

    /// Operations that run at once; the number of processors, at least 4, by default.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Removes operations that ended longer ago, with their logs and uploads; without it they are
    /// kept for ever.
    pub fn retention(mut self, age: Duration) -> Self {
        self.retention = Some(age);
        self
    }

    /// Streams that one user may have open at once in this process; 100 by default.
    pub fn streams_per_user(mut self, streams: usize) -> Self {
        self.streams_per_user = Some(streams);
        self
    }

    /// Streams that one address of a client may have open at once in this process, whoever has signed in there; of version 6 a whole
    /// /64 network is one. Ten times [`streams_per_user`](Self::streams_per_user) by default. Behind a proxy it has to be among
    /// [`WebOptions::trusted_proxies`](crate::web::WebOptions::trusted_proxies).
    pub fn streams_per_address(mut self, streams: usize) -> Self {
        self.streams_per_address = Some(streams);
        self
    }

    /// Operations of one user that may run at once, in all processes of the store; the others wait, and those of
    /// other users pass them. 0, and the default, is no limit. See [`Operation::AT_ONCE`] for what counts.
    pub fn running_per_user(mut self, operations: u32) -> Self {
        self.running_per_user = Some(operations).filter(|operations| *operations > 0);
        self
    }

    /// Operations of one user that may wait, in all processes of the store; 10,000 by default, and 0 is no limit. One more is not
    /// started, nor run again: [`StoreError::TooManyWaiting`]. What is handed over to, or put back by itself, waits all the same.
    pub fn waiting_per_user(mut self, operations: u32) -> Self {
        self.waiting_per_user = Some(operations);
        self
    }

    /// A folder whose templates replace the embedded ones of their names, such as `base.html` or
    /// `regions/row.html`; `<kind>_result.html` shows the results of that kind. Read once, at the
    /// start.
    pub fn templates(mut self, folder: impl Into<PathBuf>) -> Self {
        self.templates = Some((folder.into(), Reading::Once));
        self
    }

    /// The same, read again whenever a file in it changed: for working on templates.
    pub fn reloaded_templates(mut self, folder: impl Into<PathBuf>) -> Self {
        self.templates = Some((folder.into(), Reading::Always));
        self
    }

    /// What says what time it is; the system's clock by default. Tests take a
    /// [`ManualClock`](crate::testing::ManualClock), which they put forward themselves.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Leaves the queue alone: only what [`LiveOps::run`] starts is run here, and what that hands
    /// over to. For a command in a terminal beside the server.
    pub fn foreground(mut self) -> Self {
        self.foreground = true;
        self
    }

    /// Marks what dead processes left, and begins to run what waits. To be called within a tokio
    /// runtime; runs get one of their own.
    ///
    /// # Errors
    /// [`StartError`] says what is missing or failed.
    pub async fn start(self) -> Result<LiveOps, StartError> {
        let store = self.store.ok_or(StartError::NoStore)?;
        let secret = self.secret.ok_or(StartError::NoSecret)?;
        if !self.mount.is_empty() && !is_local_path(&self.mount) {
            return Err(StartError::Mount(self.mount));
        }
        if let Some(page) = self.page.as_ref().filter(|page| !is_local_path(page) || !page.contains("{id}")) {
            return Err(StartError::Page(page.clone()));
        }
        let folder = self.uploads.unwrap_or_else(|| PathBuf::from("uploads"));
        let uploads = Uploads::new(folder, store.identity());
        let mut registry = Registry::default();
        for kind in self.kinds {
            let uploads = uploads.clone();
            registry.add(kind.prepared(move |input| uploads.bring_home(input)))?;
        }
        let mut addresses = Addresses::new(&self.mount);
        if let Some(page) = &self.page {
            addresses = addresses.with_page(page);
        }
        let mut renderer = Renderer::new(addresses).with_kinds(&registry);
        if let Some((folder, reading)) = &self.templates {
            renderer = renderer.with_templates(folder, *reading)?;
            for name in renderer.misplaced() {
                tracing::warn!(
                    template = name,
                    "it has a live_region, which is only found in the text of <kind>_live.html itself"
                );
            }
            for name in renderer.strangers() {
                tracing::warn!(
                    template = name,
                    "it is no template of ours, nor of a kind that is here: only one that includes it shows it"
                );
            }
        }
        let hub = Arc::new(Hub::new(Arc::new(renderer.clone()), self.throttle_hz.unwrap_or(10.0)));
        let log_tail = self.log_tail.unwrap_or(200).max(1);
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let processors = std::thread::available_parallelism().map_or(4, usize::from);
        let workers = self.workers.unwrap_or(processors.max(4)).max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("liveops-runs")
            .worker_threads(processors.min(4))
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let changed = Arc::new(Notify::new());
        let runner = Runner::new(
            Arc::clone(&store),
            Arc::clone(&hub),
            registry.clone(),
            Work { at_once: workers, foreground: self.foreground, per_user: self.running_per_user, log_tail },
            Arc::clone(&clock),
            runtime.handle().clone(),
            Arc::clone(&changed),
        );
        match runner.recover().await {
            Ok(_) => {}
            // The runner tries again each second.
            Err(error @ (StoreError::Unwritable(_) | StoreError::Busy(_))) => {
                tracing::warn!(%error, "what dead processes left could not be marked yet");
            }
            Err(error) => {
                // Dropping it here would block.
                runtime.shutdown_background();
                return Err(error.into());
            }
        }
        let streams_per_user = self.streams_per_user.unwrap_or(100);
        let streams_per_address =
            self.streams_per_address.unwrap_or_else(|| streams_per_user.saturating_mul(10));
        let lists = Arc::new(Lists::new(Arc::new(renderer.clone())));
        let live = LiveOps(Arc::new_cyclic(|inner| Inner {
            follower: {
                let (inner, changed, lists) = (inner.clone(), Arc::clone(&changed), Arc::clone(&lists));
                let follow = move || follow::follow(inner.clone(), Arc::clone(&changed), Arc::clone(&lists));
                tokio::spawn(keep_up("following", follow)).abort_handle()
            },
            list_keeper: {
                let (inner, lists) = (inner.clone(), Arc::clone(&lists));
                tokio::spawn(keep_up("lists", move || keep(inner.clone(), Arc::clone(&lists)))).abort_handle()
            },
            lists,
            clock,
            // A command in a terminal need not know for how long the server keeps things.
            housekeeper: (!self.foreground).then(|| {
                let inner = inner.clone();
                let keep_house = move || housekeeping::keep_house(inner.clone());
                tokio::spawn(keep_up("housekeeping", keep_house)).abort_handle()
            }),
            retention: self.retention,
            keys: Keys::new(&secret, &self.fallbacks),
            secret,
            fallbacks: self.fallbacks,
            uploads,
            store,
            hub,
            runner,
            registry,
            renderer,
            token_ttl: self.token_ttl.unwrap_or(Duration::from_secs(300)),
            log_tail,
            max_upload_bytes: self.max_upload_bytes.unwrap_or(100 * 1024 * 1024),
            waiting_per_user: Some(self.waiting_per_user.unwrap_or(10_000)).filter(|most| *most > 0),
            waiting_epoch: epoch(),
            changed,
            streams: Arc::new(OpenStreams::new(streams_per_user, streams_per_address)),
            runtime: parking_lot::Mutex::new(Some(runtime)),
        }));
        live.0.runner.start();
        Ok(live)
    }
}

impl std::fmt::Debug for LiveOpsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveOpsBuilder")
            .field("kinds", &self.kinds)
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}

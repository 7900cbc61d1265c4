//! `liveops demo`: everything to try it out.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use liveops::access::random_text;
use liveops::kinds::{Chain, CsvImport, Failing, Quick, Redirect, Simulate};
use liveops::store::{Accounts, Digest, Sqlite, User};
use liveops::{LiveOps, SecretKey};

use super::{Failure, serve};
use crate::config::{ServeSettings, beside};

/// How long a login link is good for.
const LINK_LIFE: Duration = Duration::from_secs(600);
const DEMO_USER: &str = "demo";

pub(super) async fn demo(database: &Path, settings: ServeSettings) -> Result<(), Failure> {
    let store = Sqlite::open(database)?;
    let secret: SecretKey = settings.tokens.secret.key(database)?;
    let link = login_link(&store).await?;
    let mut builder = LiveOps::builder()
        .store(store.clone())
        .secret_key(secret)
        .operation::<CsvImport>()
        .operation::<Simulate>()
        .operation::<Quick>()
        .operation::<Failing>()
        .operation::<Chain>()
        .operation::<Redirect>()
        .uploads(beside(database, "-uploads"))
        .max_upload_bytes(settings.max_upload_bytes)
        .token_ttl(Duration::from_secs(settings.tokens.token_ttl_seconds))
        .throttle_hz(settings.throttle_hz)
        .log_tail(settings.log_tail as usize);
    if let Some(workers) = settings.workers {
        builder = builder.workers(usize::from(workers));
    }
    let listener = serve::bind(&settings.listen).await?;
    let signals = serve::Signals::listen()?;
    let live = builder.start().await?;
    let address = listener.local_addr()?;
    let site = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    println!("listening on http://{address}");
    println!("sign in once, within 10 minutes: {site}/login/link/{link}");
    serve::serve(listener, live, store, &settings, signals).await
}

/// A link that signs the demo user in, who is made on the first start.
async fn login_link(store: &Sqlite) -> Result<String, Failure> {
    let now = Timestamp::now();
    let user = match store.user_by_name(DEMO_USER).await? {
        Some(user) => user,
        None => {
            let user = User {
                id: uuid::Uuid::new_v4().to_string(),
                name: DEMO_USER.to_owned(),
                groups: Vec::new(),
                superuser: false,
                password_hash: None,
            };
            store.add_user(user.clone(), now).await?;
            user
        }
    };
    let secret = random_text();
    store.add_login_link(Digest::of(&secret), &user.id, now + LINK_LIFE).await?;
    Ok(secret)
}

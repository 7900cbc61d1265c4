//! `liveops demo`: everything to try it out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use liveops::LiveOpsBuilder;
use liveops::access::random_text;
use liveops::kinds::{Chain, CsvImport, Failing, Quick, Redirect, Repeatable, Simulate};
use liveops::store::{Accounts, Digest, Sqlite, StoreError, User};

use super::metrics::Metrics;
use super::{Failure, say, serve, server};
use crate::config::{Settings, stored_or_new_secret};

/// How long a login link is good for.
const LINK_LIFE: Duration = Duration::from_secs(600);
const DEMO_USER: &str = "demo";

pub(super) async fn demo(settings: &Settings) -> Result<ExitCode, Failure> {
    let store = Sqlite::open(&settings.database)?;
    let secret = match &settings.secret_key {
        Some(secret) => secret.clone(),
        None => stored_or_new_secret(&settings.database)?,
    };
    let link = login_link(&store).await?;
    let mut builder = with_kinds(serve::builder(settings, store.clone(), secret));
    if let Some(folder) = &settings.templates {
        // A demo is where templates are tried out.
        builder = builder.reloaded_templates(folder);
    }
    let listener = server::bind(&settings.listen).await?;
    let metrics = Metrics::prepare(settings).await?;
    let signals = server::Signals::listen()?;
    let live = builder.start().await?;
    let address = listener.local_addr()?;
    let site = settings.public_url.clone().unwrap_or_else(|| format!("http://{}", reachable(address)));
    say(&format!("listening on http://{address}"));
    say(&format!("sign in once, within 10 minutes: {site}/login/link/{link}"));
    if let Some(metrics) = metrics {
        metrics.serve(live.clone())?;
    }
    server::serve(listener, live, store, settings, signals).await
}

/// An address that a browser on this machine can go to, also where the server listens on all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let ip = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(ip);
    }
    address
}

/// Adds the kinds of the demo.
pub(super) fn with_kinds(builder: LiveOpsBuilder) -> LiveOpsBuilder {
    builder
        .operation::<CsvImport>()
        .operation::<Simulate>()
        .operation::<Quick>()
        .operation::<Failing>()
        .operation::<Chain>()
        .operation::<Redirect>()
        .operation::<Repeatable>()
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
            match store.add_user(user.clone(), now).await {
                // Another demo on the same database began in the same moment.
                Err(StoreError::Taken(_)) => store.user_by_name(DEMO_USER).await?.unwrap_or(user),
                added => added.map(|()| user)?,
            }
        }
    };
    let secret = random_text();
    store.add_login_link(Digest::of(&secret), &user.id, now + LINK_LIFE).await?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_somewhere() {
        for (bound, link) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(bound.parse().expect("an address")).to_string(), link);
        }
    }
}

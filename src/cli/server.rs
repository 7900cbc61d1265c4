//! The HTTP server: HTTP/1.1 connections until a signal ends it.

mod dressed;

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use liveops::LiveOps;
use liveops::store::Sqlite;
use liveops::web::{self, WebOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Failure, INTERRUPTED};
use crate::config::Settings;
use dressed::Dressed;

/// Two signals within this are one.
const MOMENT: Duration = Duration::from_millis(300);
/// A larger head of a request is refused; it is held before anybody knows who sends it.
const LARGEST_HEAD: usize = 64 * 1024;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(30);
/// A client that is gone, or reads nothing of what is sent to it, is waited for so long (TCP_USER_TIMEOUT, tcp(7)).
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_secs(120);
/// How long answers that are under way may take when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

pub(super) async fn bind(listen: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        format!("listen: {listen} cannot be used: {error}; choose another one with --listen, port 0 for any")
            .into()
    })
}

/// The signals that stop a server. Listened to before anybody is told that it is there.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for another one. What comes within a moment is the same: `timeout` and a terminal's Ctrl-C signal a process and its group.
    async fn stop_again(&mut self) {
        let _ = tokio::time::timeout(MOMENT, self.stop()).await;
        self.stop().await;
    }

    /// Waits for one of them.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until SIGTERM or SIGINT, then lets runs and answers end.
pub(super) async fn serve(
    listener: TcpListener,
    live: LiveOps,
    store: Sqlite,
    settings: &Settings,
    mut signals: Signals,
) -> Result<ExitCode, Failure> {
    let shutdown = CancellationToken::new();
    let options = WebOptions {
        public_url: settings.public_url.clone(),
        required_group: settings.required_group.clone(),
        trusted_proxies: settings.trusted_proxies.clone(),
        sessions: settings.sessions,
        shutdown: shutdown.clone(),
    };
    let tidy = store.clone();
    let site = web::site(live.clone(), Arc::new(store), &options);
    let connections = GracefulShutdown::new();
    let mut serving = Box::pin(accept(&listener, &site, &connections));
    tokio::select! {
        () = &mut serving => {}
        () = signals.stop() => {}
    }
    tracing::info!("stopping");
    // First of all it is not ready any more, and streams are told to come back.
    shutdown.cancel();
    let mut again = pin!(signals.stop_again());
    tokio::select! {
        // While what runs has its grace, everybody is answered: whoever sends requests here needs a moment to notice.
        () = &mut serving => {}
        () = live.shutdown(settings.shutdown_grace) => {}
        () = &mut again => {
            tracing::warn!("stopped by a second signal; what was running is marked at the next start");
            // Dropped, it would wait for a database that keeps it waiting.
            std::mem::forget(live);
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    drop(serving);
    drop(listener);
    // Whoever reads or sends too slowly for this holds nothing up, and everything is recorded.
    let end = async {
        let _ = tokio::time::timeout(LAST_ANSWERS, connections.shutdown()).await;
        tidy.tidy().await;
    };
    tokio::select! {
        () = end => {}
        () = &mut again => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes connections and answers on them, for as long as it is polled.
async fn accept(listener: &TcpListener, site: &Router, connections: &GracefulShutdown) {
    // Not axum::serve, which takes 8 KiB more for each connection (measured with 10,000 of them).
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD).writev(false);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, say: connections that end will free some.
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        // The kernel's work: a timer in each connection would cost memory for each stream.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
        let site = site.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let connection =
            http.serve_connection(TokioIo::new(Dressed::new(stream)), TowerToHyperService::new(site));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            match connection.await {
                Ok(()) => tracing::trace!("a connection ended"),
                // Clients that go away in the middle are no news.
                Err(error) => tracing::debug!(%error, "a connection broke"),
            }
        });
    }
}

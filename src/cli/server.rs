//! The HTTP server: HTTP/1.1 connections until a signal ends it.

mod dressed;
#[cfg(test)]
mod tests;

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
/// So much of an answer is held for a client that does not take it, and a request's head may be so long.
const BUFFER: usize = 64 * 1024;
/// When a connection could not be accepted, the next is tried so much later.
const AGAIN: Duration = Duration::from_millis(100);
/// How long answers that are under way may take when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How long clients are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For a request's head.
    head: Duration,
    /// For one that is gone, or reads nothing of what is sent to it (TCP_USER_TIMEOUT, tcp(7)).
    #[cfg(target_os = "linux")]
    unread: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            #[cfg(target_os = "linux")]
            unread: Duration::from_secs(120),
        }
    }
}

pub(super) async fn bind(listen: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        format!("listen: {listen} cannot be used: {error}; choose another one with --listen, port 0 for any")
            .into()
    })
}

/// Lets this process have as many connections as it is allowed to: the soft limit is low for the sake of programs that use select(2),
/// and many streams are what a server is for.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised: there are fewer streams then");
    }
}

/// The signals that stop a server. Listened to before anybody is told that it is there.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where it is to live on without its terminal, and once that is gone: the kernel tells of it, and the shell too.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if outlives_terminal() { None } else { Some(signal(SignalKind::hangup())?) },
        })
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
            () = hung_up(&mut self.hangup) => self.hangup = None,
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP was being ignored when this process began, as nohup(1) has it: listening would undo that. Only Linux tells
/// without unsafe code (proc_pid_status(5)); elsewhere that signal ends the process, as it does by default.
fn outlives_terminal() -> bool {
    const SIGHUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP != 0)
}

/// Serves until SIGTERM, SIGINT or the end of its terminal, then lets runs and answers end.
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
        ..WebOptions::default()
    };
    let tidy = store.clone();
    let site = web::site(live.clone(), Arc::new(store), &options);
    let connections = GracefulShutdown::new();
    let mut serving = Box::pin(accept(&listener, &site, &connections, Patience::default()));
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
async fn accept(listener: &TcpListener, site: &Router, connections: &GracefulShutdown, patience: Patience) {
    // Not axum::serve, which takes 8 KiB more for each connection (measured with 10,000 of them).
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head).writev(false).max_buf_size(BUFFER);
    let mut accepts = true;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, say: connections that end will free some. Told once, however often it is tried.
                if std::mem::take(&mut accepts) {
                    tracing::error!(%error, "connections cannot be accepted: those that are open go on");
                }
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        if !std::mem::replace(&mut accepts, true) {
            tracing::info!("connections are accepted again");
        }
        let _ = stream.set_nodelay(true);
        // The kernel's work: a timer in each connection would cost memory for each stream.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(patience.unread));
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

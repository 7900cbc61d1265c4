//! A proxy before a server that is as rough as the web: real TCP that is held back, swallowed or cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A proxy. Whatever goes through it ends when this is dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    weather: watch::Sender<Weather>,
    streams: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

/// What the proxy does to its connections.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// Nothing is connected, and nothing can be.
    cut: bool,
    /// Streams get no answer, as of a proxy that waits for the answer's end.
    holding: bool,
    /// Streams opened before this count say nothing more, though nobody is told.
    swallowed: usize,
    /// Pages may be kept by the browser, as a host's pages may.
    keeping: bool,
}

/// One of the streams that are open.
struct Open(Arc<AtomicUsize>);

impl Proxy {
    /// A proxy that lets everything through.
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (weather, now) = watch::channel(Weather::default());
        let streams = Arc::new(AtomicUsize::new(0));
        let open = Arc::clone(&streams);
        let listening = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, server, now.clone(), Arc::clone(&open)));
            }
        });
        Self { address, weather, streams, listening }
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    /// Lets everything through again.
    pub(crate) fn clear(&self) {
        self.weather.send_modify(|weather| (weather.cut, weather.holding) = (false, false));
    }

    /// Cuts all connections, and new ones too.
    pub(crate) fn cut(&self) {
        self.weather.send_modify(|weather| weather.cut = true);
    }

    /// Holds the answers of streams back.
    pub(crate) fn hold(&self) {
        self.weather.send_modify(|weather| weather.holding = true);
    }

    /// Swallows what the streams that are open now say from now on.
    pub(crate) fn swallow(&self) {
        self.weather.send_modify(|weather| weather.swallowed += 1);
    }

    /// Lets browsers keep pages: `no-store` becomes `no-cache`.
    pub(crate) fn keep_pages(&self) {
        self.weather.send_modify(|weather| weather.keeping = true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Open {
    fn one_of(streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries bytes both ways until one side, or the weather, ends it.
async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    streams: Arc<AtomicUsize>,
) {
    if weather.borrow_and_update().cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut question, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut stream = None;
    loop {
        let carried = tokio::select! {
            changed = weather.changed() => {
                let now = *weather.borrow_and_update();
                if changed.is_err() || now.cut {
                    return;
                }
                Ok(())
            }
            read = client.read(&mut question) => {
                let Ok(length @ 1..) = read else { return };
                // Browsers send a request on a connection when the one before it is answered, so each begins a piece.
                let opens = question.starts_with(b"GET /stream?");
                stream = opens.then(|| (Open::one_of(&streams), weather.borrow().swallowed));
                server.write_all(&question[..length]).await
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                let now = *weather.borrow();
                let lost = stream.as_ref().is_some_and(|(_, then)| now.holding || *then < now.swallowed);
                let bytes = &mut answer[..length];
                if now.keeping {
                    let_be_kept(bytes);
                }
                if lost { Ok(()) } else { client.write_all(bytes).await }
            }
        };
        if carried.is_err() {
            return;
        }
    }
}

fn let_be_kept(bytes: &mut [u8]) {
    let found = |bytes: &[u8]| bytes.windows(8).position(|word| word == b"no-store");
    while let Some(at) = found(bytes) {
        bytes[at..at + 8].copy_from_slice(b"no-cache");
    }
}

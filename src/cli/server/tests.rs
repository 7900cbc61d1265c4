use std::io::ErrorKind;

use axum::body::{Body, Bytes};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

/// What never comes.
const LONG: Duration = Duration::from_secs(60);
/// What is waited for here, of which nothing is lost on a slow machine.
const SHORT: Duration = Duration::from_millis(300);

/// Nobody loses patience in a test, except with what the test is about.
fn patient() -> Patience {
    Patience {
        head: 10 * LONG,
        #[cfg(target_os = "linux")]
        unread: 10 * LONG,
    }
}

/// A client of a server with this patience, and what it has said.
async fn connect(site: Router, patience: Patience, said: &[u8]) -> TcpStream {
    let listener = bind("127.0.0.1:0").await.unwrap_or_else(|_| panic!("a free port"));
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { accept(&listener, &site, &GracefulShutdown::new(), patience).await });
    let mut client = TcpStream::connect(address).await.expect("a connection");
    client.write_all(said).await.expect("it is sent");
    client
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_let_go() {
    let site = Router::new().route("/", get(async || "here"));
    let patience = Patience { head: SHORT, ..patient() };
    // One that finishes its first and not its second is no better.
    for (said, answers) in
        [("GET / HTTP/1.1\r\nHost: x\r\nX-A: ", 0), ("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /", 1)]
    {
        let mut client = connect(site.clone(), patience, said.as_bytes()).await;
        let mut heard = Vec::new();
        let end = timeout(LONG, client.read_to_end(&mut heard)).await.expect("it is closed");
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        let heard = String::from_utf8_lossy(&heard);
        assert_eq!(heard.matches("HTTP/1.1 200 ").count(), answers, "{heard}");
    }
}

/// A body without an end that tells when nobody is served by it any more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_sent_to_a_client_that_reads_nothing_is_let_go() {
    let (guard, gone) = oneshot::channel::<()>();
    let guard = Arc::new(parking_lot::Mutex::new(Some(guard)));
    let endless = get(async move || {
        let guard = guard.lock().take();
        let zeros = Bytes::from(vec![0; BUFFER]);
        Body::from_stream(tokio_stream::iter(std::iter::repeat_with(move || {
            let _held = &guard;
            Ok::<_, std::convert::Infallible>(zeros.clone())
        })))
    });
    let patience = Patience { unread: SHORT, ..patient() };
    let site = Router::new().route("/", endless);
    let mut client = connect(site, patience, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut first = [0; 12];
    client.read_exact(&mut first).await.expect("it begins");
    assert_eq!(&first, b"HTTP/1.1 200");
    // From now on it reads nothing.
    let end = timeout(LONG, gone).await.expect("the body is dropped");
    assert!(end.is_err(), "nobody sent anything");
}

//! A connection on which hyper's own refusals have the headers of every other answer: what is no request, or has a head that is
//! too large, is answered before there is a request that anybody could be asked about.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use liveops::web::PROTECTION;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// hyper's refusals have no body and hardly any headers.
const LONGEST: usize = 256;

/// A connection that looks at what is written to it.
pub(super) struct Dressed<T> {
    inner: T,
    /// The rest of a refusal that could not be written at once.
    left: Bytes,
}

impl<T> Dressed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, left: Bytes::new() }
    }
}

impl<T: AsyncWrite + Unpin> Dressed<T> {
    fn write_left(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// A refusal by hyper itself with our headers; none where these bytes are anything else. No body of ours looks like it: line
/// breaks of two characters are in none.
fn dressed(bytes: &[u8]) -> Option<Bytes> {
    if !bytes.starts_with(b"HTTP/1.1 4") || bytes.len() > LONGEST {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    // It has none of our headers, so one of them tells it from our own answers.
    let is_bare = head.contains("content-length: 0") && !head.contains("x-content-type-options");
    let headers = PROTECTION.iter().map(|(name, value)| format!("\r\n{name}: {value}"));
    is_bare.then(|| format!("{head}{}\r\n\r\n", headers.collect::<String>()).into())
}

impl<T: AsyncRead + Unpin> AsyncRead for Dressed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Dressed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_left(context))?;
        let Some(refusal) = dressed(bytes) else {
            return Pin::new(&mut self.inner).poll_write(context, bytes);
        };
        self.left = refusal;
        // Taken in any case: a flush writes what is left.
        if let Poll::Ready(Err(error)) = self.write_left(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_left(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_left(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REFUSAL: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn only_bare_refusals_are_changed() {
        assert!(dressed(REFUSAL).is_some());
        let ours = "HTTP/1.1 404 Not Found\r\nx-content-type-options: nosniff\r\ncontent-length: 0\r\n\r\n";
        for other in [
            ours.as_bytes(),
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400",
            b"",
            &REFUSAL[1..],
        ] {
            assert_eq!(dressed(other), None);
        }
    }

    /// Through a pipe that takes a few bytes at a time.
    #[tokio::test]
    async fn a_refusal_is_written_whole_and_what_follows_after_it() {
        let (near, mut far) = tokio::io::duplex(7);
        let mut near = Dressed::new(near);
        let reading = tokio::spawn(async move {
            let mut all = String::new();
            far.read_to_string(&mut all).await.expect("text");
            all
        });
        near.write_all(REFUSAL).await.expect("written");
        near.write_all(b"more").await.expect("written");
        near.shutdown().await.expect("closed");
        drop(near);
        let all = reading.await.expect("no panic");
        assert!(all.starts_with("HTTP/1.1 431 ") && all.ends_with("\r\n\r\nmore"), "{all}");
        for (name, value) in PROTECTION {
            assert_eq!(all.matches(&format!("\r\n{name}: {value}\r\n")).count(), 1, "{name} in {all}");
        }
    }
}

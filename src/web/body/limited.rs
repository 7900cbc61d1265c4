//! A multipart body on its way to the parser, which sets no limits of its own.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use multer::{Field, Multipart};
use tokio_stream::Stream;

use super::pieces::{BodyError, Pieces};
use crate::web::error::Refusal;

/// Longest head of a part, and longest text before the first one: the parser holds all of it in
/// memory, and searches it anew with every piece that comes.
const MOST_HEAD: u64 = 64 * 1024;
/// What a piece of a head counts at least, so that a head in pieces of a byte isn't searched too often.
const LEAST: u64 = 64;
/// So much of a body is read also where less is allowed: the token has to be seen before the size counts.
pub(super) const TOKEN_ROOM: u64 = 1024;
/// Longest boundary (RFC 2046 section 5.1.1). The parser searches for it in every piece.
const LONGEST_BOUNDARY: usize = 70;

/// The parts of a body of limited size.
pub(super) struct UploadParts<'a> {
    parser: Multipart<'a>,
    gauge: Arc<Gauge>,
}

/// What the two ends of the parser tell each other.
#[derive(Default)]
struct Gauge {
    /// More came than is allowed.
    over: AtomicBool,
    /// What may still come before the head of the next part is complete; no end while a part is read.
    head_left: AtomicU64,
    /// A piece came that the parser has not looked at yet.
    unseen: AtomicBool,
}

impl<'a> UploadParts<'a> {
    /// The parts of `pieces`, of which more than `limit` bytes are [too large](UploadParts::is_too_large).
    pub(super) fn new(pieces: &'a mut Pieces, media_type: &str, limit: u64) -> Result<Self, Refusal> {
        let malformed = |error: &dyn Display| Refusal::Malformed(error.to_string());
        let boundary = multer::parse_boundary(media_type).map_err(|error| malformed(&error))?;
        if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
            return Err(malformed(&"its boundary has no or more than 70 characters"));
        }
        let gauge = Arc::new(Gauge::default());
        let limited =
            Limited { pieces, seen: 0, limit, end: limit.max(TOKEN_ROOM), gauge: Arc::clone(&gauge) };
        Ok(Self { parser: Multipart::new(limited, boundary), gauge })
    }

    /// The next part; the one before has been read to its end.
    pub(super) async fn next(&mut self) -> Result<Option<Field<'a>>, multer::Error> {
        let Self { parser, gauge } = self;
        gauge.head_left.store(MOST_HEAD, Ordering::Relaxed);
        let part = poll_fn(|context| {
            gauge.unseen.store(false, Ordering::Relaxed);
            parser.poll_next_field(context)
        });
        let part = part.await?;
        gauge.head_left.store(u64::MAX, Ordering::Relaxed);
        Ok(part)
    }

    /// Whether more came than is allowed. The parser calls that incomplete.
    pub(super) fn is_too_large(&self) -> bool {
        self.gauge.over.load(Ordering::Relaxed)
    }
}

/// A body that ends where it becomes too large.
struct Limited<'a> {
    pieces: &'a mut Pieces,
    seen: u64,
    limit: u64,
    end: u64,
    gauge: Arc<Gauge>,
}

impl Stream for Limited<'_> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let head_left = self.gauge.head_left.load(Ordering::Relaxed);
        if head_left < u64::MAX && self.gauge.unseen.load(Ordering::Relaxed) {
            // The parser takes all that it can get before it looks at it.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.seen >= self.end && self.gauge.over.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        let mut piece = match ready!(self.pieces.as_mut().poll_next(context)) {
            Some(Ok(piece)) => piece,
            other => return Poll::Ready(other),
        };
        if head_left == 0 {
            return Poll::Ready(Some(Err(BodyError::Head)));
        }
        if head_left < u64::MAX {
            let left = head_left.saturating_sub((piece.len() as u64).max(LEAST));
            self.gauge.head_left.store(left, Ordering::Relaxed);
            self.gauge.unseen.store(true, Ordering::Relaxed);
        }
        let within = usize::try_from(self.end - self.seen).unwrap_or(usize::MAX);
        self.seen += piece.len() as u64;
        if self.seen > self.limit {
            self.gauge.over.store(true, Ordering::Relaxed);
        }
        piece.truncate(within);
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio_stream::StreamExt as _;

    const MEDIA_TYPE: &str = "multipart/form-data; boundary=edge";

    /// Pieces that are all there at once, and how many of them were taken.
    fn pieces(body: &[u8], size: usize) -> (Pieces, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let pieces: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).collect();
        let pieces = tokio_stream::iter(pieces).map(move |piece| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(piece)
        });
        (Box::pin(pieces), taken)
    }

    async fn sizes(parts: &mut UploadParts<'_>) -> Result<Vec<usize>, multer::Error> {
        let mut sizes = Vec::new();
        while let Some(mut part) = parts.next().await? {
            sizes.push(0);
            while let Some(chunk) = part.chunk().await? {
                *sizes.last_mut().expect("pushed") += chunk.len();
            }
        }
        Ok(sizes)
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_not_searched_for_ever() {
        for (size, most) in [(1, 1100), (1000, 100), (200_000, 2)] {
            let mut body = b"--edge\r\nX: ".to_vec();
            body.resize(500_000, b'x');
            let (mut pieces, taken) = pieces(&body, size);
            let mut parts = UploadParts::new(&mut pieces, MEDIA_TYPE, u64::MAX).expect("a boundary");
            let error = parts.next().await.expect_err("no head");
            assert!(matches!(error, multer::Error::StreamReadFailed(_)), "{error}");
            drop(parts);
            assert!(taken.load(Ordering::Relaxed) <= most, "{size}: {taken:?}");
        }
    }

    #[tokio::test]
    async fn however_much_is_there_at_once_nothing_of_it_counts_as_head_that_is_none() {
        let mut body = Vec::new();
        for length in [10, 2_000_000, 0, 70_000] {
            body.extend_from_slice(b"--edge\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
            body.resize(body.len() + length, b'x');
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--edge--\r\n");
        for size in [7, 1000, 65_536, usize::MAX] {
            let (mut pieces, _) = pieces(&body, size);
            let mut parts = UploadParts::new(&mut pieces, MEDIA_TYPE, body.len() as u64).expect("a boundary");
            assert_eq!(sizes(&mut parts).await, Ok(vec![10, 2_000_000, 0, 70_000]), "{size}");
            assert!(!parts.is_too_large());
        }
    }

    #[tokio::test]
    async fn what_is_too_large_ends_but_not_before_the_token() {
        let mut body = b"--edge\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ntoken\r\n".to_vec();
        body.extend_from_slice(b"--edge\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n");
        body.resize(100_000, b'x');
        for (size, limit) in [(1, 1), (usize::MAX, 1), (usize::MAX, 5000), (4096, 99_999)] {
            let (mut pieces, taken) = pieces(&body, size);
            let mut parts = UploadParts::new(&mut pieces, MEDIA_TYPE, limit).expect("a boundary");
            let token = parts.next().await.expect("a part").expect("a part");
            assert_eq!(token.text().await.as_deref(), Ok("token"), "{size} {limit}");
            assert!(sizes(&mut parts).await.is_err(), "{size} {limit}");
            assert!(parts.is_too_large());
            drop(parts);
            assert!(taken.load(Ordering::Relaxed) <= 1025, "{size} {limit}: {taken:?}");
        }
    }

    #[test]
    fn boundaries_are_of_1_to_70_characters() {
        for (length, is_fine) in [(0, false), (1, true), (70, true), (71, false), (70_000, false)] {
            let media_type = format!("multipart/form-data; boundary=\"{}\"", "x".repeat(length));
            let (mut pieces, _) = pieces(&[], 1);
            assert_eq!(UploadParts::new(&mut pieces, &media_type, 1).is_ok(), is_fine, "{length}");
        }
    }
}

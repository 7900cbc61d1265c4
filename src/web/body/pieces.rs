//! A body as it comes: how slow it may be, and how much of it is looked at.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};

/// A sender of a body that is too large who pauses for so long gets the answer then.
const PAUSE: Duration = Duration::from_secs(1);
/// So much of a body that is too large is read on, so that its sender hears the answer.
const READ_ON: usize = 1024 * 1024;
/// A sender who sends nothing for so long is not waited for: its connection would be kept for ever.
const SILENCE: Duration = Duration::from_secs(30);
/// Nor is one who is slower than this many bytes a second once a minute is over: a byte now and then is as good as none.
const SLOWEST: u64 = 1024;
const MINUTE: Duration = Duration::from_secs(60);

/// A body as it comes.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Why no more of a body comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("it was cut off")]
    CutOff,
    #[error("it came too slowly")]
    Slow,
    #[error("the head of a part is too long")]
    Head,
}

/// The name of a part's file; a part that has none is text. What is not UTF-8 in it gets replaced, as people only read it.
pub(super) fn file_name(part: &multer::Field<'_>) -> Option<String> {
    if let Some(name) = part.file_name() {
        return Some(name.to_owned());
    }
    let disposition = part.headers().get(header::CONTENT_DISPOSITION)?;
    let disposition = String::from_utf8_lossy(disposition.as_bytes());
    let (_, name) = disposition.split_once("filename=\"")?;
    Some(name.split('"').next().unwrap_or("").to_owned())
}

/// The pieces of a body, none of which is waited for too long.
pub(super) fn pieces(body: Body) -> Pieces {
    let begin = Instant::now();
    let mut seen = 0;
    Box::pin(body.into_data_stream().timeout(SILENCE).map(move |piece| {
        let piece = piece.map_err(|_| BodyError::Slow)?.map_err(|_| BodyError::CutOff)?;
        seen += piece.len() as u64;
        let allowed = MINUTE + Duration::from_secs(seen / SLOWEST);
        if begin.elapsed() > allowed { Err(BodyError::Slow) } else { Ok(piece) }
    }))
}

/// Reads on a little, so that a sender who looks for no answer before the end gets one.
pub(super) async fn read_on(pieces: &mut Pieces) {
    let mut read = 0;
    while read < READ_ON {
        match tokio::time::timeout(PAUSE, pieces.next()).await {
            Ok(Some(Ok(chunk))) => read += chunk.len(),
            _ => return,
        }
    }
}

//! `GET /stream`: one channel as server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::dialect::{Dialect, Translation, translated};
use super::error::{NoStream, Refusal};
use super::{App, client, identify};
use crate::access::Viewer;
use crate::live::{OpenError, Opened, Reader, StreamPlace};
use crate::stream::Cursor;

/// A quiet stream says so this often; the contract allows 15 s.
const PING: Duration = Duration::from_secs(12);

/// A frame is given away in pieces of so many bytes: of one that its reader doesn't take, only a piece is copied for that reader.
pub(super) const PIECE: usize = 16 * 1024;

/// Opens a stream for the viewer.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    request: Request,
) -> Response {
    let Ok(Query(query)) = query else { return NoStream::Refused.into_response() };
    let (parts, _) = request.into_parts();
    let headers = &parts.headers;
    let token = query.get("token").map_or("", String::as_str);
    let last_event_id = query.get("last_event_id").map(String::as_str);
    let header_cursor = headers.get("last-event-id").map(|value| value.to_str().unwrap_or(""));
    let cursor = header_cursor.or(last_event_id).map_or(Cursor::START, Cursor::parse);
    let Ok(dialect) = query.get("as").map(|name| Dialect::parse(name).ok_or(())).transpose() else {
        return NoStream::UnknownDialect.into_response();
    };
    match app.live.open(&viewer, token, query.get("channel").map(String::as_str), cursor).await {
        Ok(Opened::Over) => StatusCode::NO_CONTENT.into_response(),
        Ok(Opened::Stream(reader, place)) => {
            let Some(place) = place_of(&app, place, &parts) else {
                metrics::counter!("liveops_streams_refused_total", "reason" => "address").increment(1);
                return Refusal::CrowdedAddress.into_response();
            };
            let Some((reader, translation)) = translated(reader, dialect) else {
                return NoStream::ListInDialect.into_response();
            };
            match identify::again(&app, &parts, viewer).await {
                Ok(_) => respond(events(reader, translation, place, app.shutdown.clone())),
                Err(Refusal::NotMember(_)) => NoStream::Refused.into_response(),
                Err(refusal) => refusal.into_response(),
            }
        }
        Err(OpenError::Refused) => {
            metrics::counter!("liveops_streams_refused_total", "reason" => "token").increment(1);
            NoStream::Refused.into_response()
        }
        Err(error @ OpenError::ChannelNeeded) => NoStream::Unclear(error).into_response(),
        Err(OpenError::TooMany) => {
            metrics::counter!("liveops_streams_refused_total", "reason" => "too_many").increment(1);
            Refusal::TooManyStreams.into_response()
        }
        Err(OpenError::Store(error)) => Refusal::from(error).into_response(),
    }
}

/// The place as one of those of the client's address, where that is known.
fn place_of(app: &App, place: StreamPlace, parts: &Parts) -> Option<StreamPlace> {
    let client = client::address(&app.trusted_proxies, &parts.extensions, &parts.headers);
    if client == client::UNKNOWN {
        return Some(place);
    }
    let place = place.from_address(client);
    if place.is_none() && app.crowd_told.is_due() {
        tracing::warn!(
            %client,
            "more streams than streams_per_address allows; if this is a proxy, name it in trusted_proxies and let it send X-Forwarded-For"
        );
    }
    place
}

/// A stream is opened by GET and nothing else; HEAD would be a stream without its body.
pub(super) async fn only_get() -> NoStream {
    NoStream::NotGet
}

fn respond(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// Says at its end how long a stream was open and what it sent: whoever reads it may go at any time.
struct Length {
    /// The request's, kept where somebody will read it: there are many streams.
    span: Option<Span>,
    begin: Instant,
    bytes: usize,
}

impl Length {
    fn begin() -> Self {
        let span = tracing::enabled!(tracing::Level::DEBUG).then(Span::current);
        Self { span, begin: Instant::now(), bytes: 0 }
    }

    fn counted(&mut self, bytes: Bytes) -> Bytes {
        self.bytes += bytes.len();
        bytes
    }
}

impl Drop for Length {
    fn drop(&mut self) {
        if let Some(span) = &self.span {
            let seconds = self.begin.elapsed().as_secs_f64();
            tracing::debug!(parent: span, seconds, bytes = self.bytes, "a stream ended");
        }
    }
}

/// Sends what the reader lacks, and waits; until the ending is sent, the reader is gone or signed
/// out, or the server stops.
fn events(
    mut reader: Reader,
    mut translation: Option<Translation>,
    place: StreamPlace,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut length = Length::begin();
    async_stream::stream! {
        // Spread, so that the readers of a server that restarts do not all come back at once.
        let spread = uuid::Uuid::new_v4().as_u64_pair().0 % 2000;
        yield Ok(length.counted(Bytes::from(format!("retry: {}\n\n", 1000 + spread))));
        // Both are set up once for the stream, not once for each frame.
        let over = async {
            tokio::select! {
                () = place.ended() => {}
                () = shutdown.cancelled() => {}
            }
        };
        let mut over = pin!(over);
        let mut quiet = pin!(tokio::time::sleep(PING));
        let mut sent = Instant::now();
        let mut left = Bytes::new();
        loop {
            if left.is_empty() && let Some(translation) = &mut translation {
                left = translation.piece();
                // Others take their turn before the next one.
                tokio::task::yield_now().await;
            }
            tokio::select! {
                // The ending first: nothing is sent to somebody who signed out meanwhile.
                biased;
                () = &mut over => break,
                () = std::future::ready(()), if !left.is_empty() => {
                    sent = Instant::now();
                    yield Ok(length.counted(left.split_to(PIECE.min(left.len()))));
                }
                frame = reader.next() => match frame {
                    Some(frame) => match &mut translation {
                        None => left = frame.bytes,
                        Some(translation) => translation.begin(frame.bytes),
                    },
                    None => break,
                },
                () = &mut quiet => {
                    if sent.elapsed() >= PING {
                        sent = Instant::now();
                        yield Ok(length.counted(Bytes::from_static(b"event: ping\ndata: {}\n\n")));
                    }
                    quiet.as_mut().reset(sent + PING);
                }
            }
        }
    }
}

//! Reading the body of a form: token first, files to the disk, nothing larger than allowed.

mod limited;
mod pieces;
mod text;
mod urlencoded;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use tokio_stream::StreamExt as _;

use super::error::Refusal;
use super::{App, csrf, identify};
use crate::access::Viewer;
use crate::live::{Receiving, Uploads};
use crate::operation::{Field, Submitted, Upload, size};
use limited::{TOKEN_ROOM, UploadParts};
use pieces::{BodyError, Pieces, file_name, pieces, read_on};
use text::FieldText;
use urlencoded::Pairs;

/// The largest body of a command, which holds nothing but the token.
const MOST_COMMAND: u64 = 1024 * 1024;
/// What our own forms hold beside a kind's fields.
const OWN: [&str; 5] = [csrf::FIELD, super::commands::SUBMISSION, "username", "password", "next"];
/// Most parts of a form.
const MOST_PARTS: usize = 200;

/// What was submitted by somebody whose token was right.
#[derive(Default)]
pub(super) struct Posted {
    pub(super) values: BTreeMap<String, Submitted>,
    pub(super) files: Vec<Receiving>,
    /// It was read up to a file whose name no parser takes.
    pub(super) is_misnamed: bool,
}

impl Posted {
    /// The text of a field.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Submitted::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// How a body is to be read.
pub(super) struct Reading<'a> {
    /// Whether a token is right for whoever sent the form.
    pub(super) genuine: &'a (dyn Fn(&str) -> bool + Sync),
    /// The fields that it may hold, beside those of every form; others are passed over.
    pub(super) fields: &'a [Field],
    /// Where files go.
    pub(super) uploads: &'a Uploads,
    /// The largest body, in bytes.
    pub(super) limit: u64,
}

/// Reads a command's form, which holds nothing but the token; then who the viewer is, who may have been signed out meanwhile.
pub(super) async fn read_command(app: &App, viewer: Viewer, request: Request) -> Result<Viewer, Refusal> {
    app.csrf.check_source(request.headers())?;
    let genuine = |token: &str| app.csrf.is_of(token, &viewer);
    let reading =
        Reading { genuine: &genuine, fields: &[], uploads: app.live.uploads(), limit: MOST_COMMAND };
    let (parts, _) = reading.read(request).await?;
    identify::again(app, &parts, viewer).await
}

impl Reading<'_> {
    /// Reads the body, and gives the request's head back with it. The token is looked at before anything else of the body
    /// counts.
    pub(super) async fn read(&self, request: Request) -> Result<(Parts, Posted), Refusal> {
        let (parts, body) = request.into_parts();
        let mut pieces = pieces(body);
        let posted = self.read_pieces(&parts.headers, &mut pieces).await;
        // Of a form that was taken that is its very end, after which the connection serves on.
        read_on(&mut pieces).await;
        if posted.is_ok() {
            tracing::debug!("a form was read");
        }
        Ok((parts, posted?))
    }

    async fn read_pieces(&self, headers: &HeaderMap, pieces: &mut Pieces) -> Result<Posted, Refusal> {
        let mut trusted = match csrf::header_token(headers) {
            Some(token) if (self.genuine)(token) => true,
            Some(_) => return Err(Refusal::ForeignForm),
            None => false,
        };
        let media_type =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let announced_too_much = announced.is_some_and(|announced: u64| announced > self.limit);
        let posted = match essence.as_str() {
            "application/x-www-form-urlencoded" | "multipart/form-data" if trusted && announced_too_much => {
                Err(self.too_large())
            }
            "application/x-www-form-urlencoded" => {
                self.read_urlencoded(&mut trusted, announced_too_much, pieces).await
            }
            "multipart/form-data" => {
                self.read_multipart(&mut trusted, announced_too_much, media_type, pieces).await
            }
            // A script that sends the token as a header need not send a body.
            "" if trusted
                && announced.unwrap_or(0) == 0
                && !headers.contains_key(header::TRANSFER_ENCODING) =>
            {
                Ok(Posted::default())
            }
            _ => Err(Refusal::WrongType),
        };
        match posted {
            Err(Refusal::TooSlow) => posted,
            // Whoever has not shown a token is told nothing else.
            _ if !trusted => Err(Refusal::ForeignForm),
            _ => posted,
        }
    }

    async fn read_urlencoded(
        &self,
        trusted: &mut bool,
        announced_too_much: bool,
        pieces: &mut Pieces,
    ) -> Result<Posted, Refusal> {
        let mut posted = Posted::default();
        let mut pairs = Pairs::default();
        let mut count = 0;
        let mut take = |name: String, text: FieldText, trusted: &mut bool| {
            count += 1;
            if count > MOST_PARTS {
                return Err(Refusal::Malformed(format!("it has more than {MOST_PARTS} fields")));
            }
            self.take(name, text, trusted, &mut posted)
        };
        let (mut seen, end) = (0, self.limit.max(TOKEN_ROOM));
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| refuse(&error))?;
            let within = usize::try_from(end - seen).unwrap_or(usize::MAX).min(piece.len());
            pairs.feed(&piece[..within], |name, text| take(name, text, trusted))?;
            seen += within as u64;
            // Not before the token was looked at.
            let is_known = announced_too_much || seen > self.limit;
            if within < piece.len() || (*trusted && is_known) {
                return Err(self.too_large());
            }
        }
        pairs.finish(|name, text| take(name, text, trusted))?;
        if seen > self.limit { Err(self.too_large()) } else { Ok(posted) }
    }

    async fn read_multipart(
        &self,
        trusted: &mut bool,
        announced_too_much: bool,
        media_type: &str,
        pieces: &mut Pieces,
    ) -> Result<Posted, Refusal> {
        let mut parts = UploadParts::new(pieces, media_type, self.limit)?;
        let posted = self.read_parts(trusted, announced_too_much, &mut parts).await;
        // The parser calls it incomplete.
        if parts.is_too_large() { Err(self.too_large()) } else { posted }
    }

    async fn read_parts(
        &self,
        trusted: &mut bool,
        announced_too_much: bool,
        parts: &mut UploadParts<'_>,
    ) -> Result<Posted, Refusal> {
        let mut posted = Posted::default();
        for count in 0.. {
            if *trusted && announced_too_much {
                return Err(self.too_large());
            }
            let part = match parts.next().await {
                // Whoever chose the file is told beside its field.
                Err(multer::Error::ReadHeaderFailed(_))
                    if *trusted && self.fields.iter().any(Field::is_file) =>
                {
                    return Ok(Posted { is_misnamed: true, ..posted });
                }
                part => part.map_err(|error| broken(&error))?,
            };
            let Some(mut part) = part else { return Ok(posted) };
            if count == MOST_PARTS {
                break;
            }
            let name = part.name().unwrap_or("").to_owned();
            let field = self.field(&name);
            let is_file = field.is_some_and(Field::is_file);
            let file_name = file_name(&part);
            if let Some(file_name) = file_name.as_deref().filter(|_| is_file && *trusted) {
                self.receive(&name, file_name, &mut part, &mut posted).await?;
                continue;
            }
            // What comes before the token is not stored, nor is a file where none belongs.
            let stored = (*trusted && file_name.is_none()) || name == csrf::FIELD;
            let mut text = FieldText::default();
            while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error))? {
                if stored {
                    text.push(&chunk);
                }
            }
            if stored {
                self.take(name, text, trusted, &mut posted)?;
            } else if *trusted && file_name.is_some() && field.is_some() {
                // The field says so beside itself.
                posted.values.entry(name).or_insert(Submitted::File(Upload::default()));
            }
        }
        Err(Refusal::Malformed(format!("it has more than {MOST_PARTS} parts")))
    }

    /// The kind's field of that name.
    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Takes the text of a field, the token's first of all. Of a field that comes twice the first one counts.
    fn take(
        &self,
        name: String,
        text: FieldText,
        trusted: &mut bool,
        posted: &mut Posted,
    ) -> Result<(), Refusal> {
        let is_own = OWN.contains(&name.as_str());
        if !is_own && self.field(&name).is_none() {
            return Ok(());
        }
        // A kind's field says so itself, beside its text.
        if is_own && text.is_too_long() {
            return Err(Refusal::Malformed(format!("the field {name:?} is too long")));
        }
        let text = text.into_text(&name)?;
        if name == csrf::FIELD && !*trusted {
            if !(self.genuine)(&text) {
                return Err(Refusal::ForeignForm);
            }
            *trusted = true;
        }
        posted.values.entry(name).or_insert(Submitted::Text(text));
        Ok(())
    }

    async fn receive(
        &self,
        name: &str,
        file_name: &str,
        part: &mut multer::Field<'_>,
        posted: &mut Posted,
    ) -> Result<(), Refusal> {
        let failed = |error: std::io::Error| {
            tracing::error!(%error, "an upload could not be stored");
            Refusal::Unavailable
        };
        let mut receiving: Option<Receiving> = None;
        while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error))? {
            if receiving.is_none() && !chunk.is_empty() {
                receiving = Some(self.uploads.receive(file_name).await.map_err(failed)?);
            }
            if let Some(receiving) = &mut receiving {
                receiving.write(&chunk).await.map_err(failed)?;
            }
        }
        // Browsers send an empty part without a name for a field in which no file was chosen.
        if receiving.is_none() && !file_name.is_empty() {
            receiving = Some(self.uploads.receive(file_name).await.map_err(failed)?);
        }
        if let Some(mut receiving) = receiving {
            let upload = receiving.complete().await.map_err(failed)?;
            // The first one counts. Another one is removed here, since nobody will read it.
            if let Entry::Vacant(entry) = posted.values.entry(name.to_owned()) {
                entry.insert(Submitted::File(upload));
                posted.files.push(receiving);
            }
        }
        Ok(())
    }

    fn too_large(&self) -> Refusal {
        Refusal::TooLarge(size(self.limit))
    }
}

fn broken(error: &multer::Error) -> Refusal {
    match error {
        multer::Error::StreamReadFailed(source) => {
            refuse(source.downcast_ref().unwrap_or(&BodyError::CutOff))
        }
        multer::Error::ReadHeaderFailed(_) => Refusal::Malformed(
            "the name of a file or a field has control characters in it, so rename the file".to_owned(),
        ),
        other => Refusal::Malformed(other.to_string()),
    }
}

fn refuse(error: &BodyError) -> Refusal {
    match error {
        BodyError::Slow => Refusal::TooSlow,
        BodyError::CutOff | BodyError::Head => Refusal::Malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use bytes::Bytes;

    use super::*;

    /// With the clock of the runtime stopped, so that nobody waits.
    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_is_not_waited_for() {
        let uploads = Uploads::new("".into(), 0);
        let reading = Reading { genuine: &|_| true, fields: &[], uploads: &uploads, limit: 1000 };
        for media_type in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let silent = tokio_stream::pending::<Result<Bytes, std::io::Error>>();
            let request = Request::builder().header(header::CONTENT_TYPE, media_type);
            let request = request.body(Body::from_stream(silent)).expect("a request");
            assert_eq!(reading.read(request).await.err(), Some(Refusal::TooSlow), "{media_type}");
            // One byte now and then is hardly more.
            let drops = tokio_stream::iter(0..10_000).then(|_| async {
                tokio::time::sleep(Duration::from_secs(20)).await;
                Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
            });
            let request = Request::builder().header(header::CONTENT_TYPE, media_type);
            let request = request.body(Body::from_stream(drops)).expect("a request");
            assert_eq!(reading.read(request).await.err(), Some(Refusal::TooSlow), "{media_type}");
        }
    }
}

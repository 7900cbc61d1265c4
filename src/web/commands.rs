//! Start, cancel, restart: posts that change something.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::Value;

use super::App;
use super::body::{Reading, read_command};
use super::error::Refusal;
use super::identify::{self, is_scripted};
use super::pages::{self, FormPage};
use super::segment::Segment;
use crate::access::Viewer;
use crate::live::{NotStarted, Receiving, RestartAnswer, Sent};
use crate::operation::{FieldError, OperationId, Submission, read_form};

/// The hidden field of a form whose key makes a second post of it do nothing.
pub(super) const SUBMISSION: &str = "submission";

/// Starts an operation of a kind.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(kind): Segment,
    request: Request,
) -> Result<Response, Refusal> {
    let kind = pages::with_form(&app, &viewer, &kind)?;
    app.csrf.check_source(request.headers())?;
    let reading = Reading {
        genuine: &|token| app.csrf.is_of(token, &viewer),
        fields: &kind.fields,
        uploads: app.live.uploads(),
        limit: app.live.max_upload_bytes(),
    };
    let (parts, mut posted) = reading.read(request).await?;
    let viewer = identify::again(&app, &parts, viewer.clone()).await?;
    let kind = pages::with_form(&app, &viewer, &kind.name)?;
    let files = std::mem::take(&mut posted.files);
    let again = |status: StatusCode, errors, general| {
        let page = FormPage { kind, values: Some(&posted), from: None, errors, general };
        let page = pages::render_form(&app, &viewer, &page)?;
        Ok((status, page).into_response())
    };
    let form = |errors, general| again(StatusCode::UNPROCESSABLE_ENTITY, errors, general);
    if posted.is_misnamed {
        // Files come in the order of their fields.
        let mut fields = kind.fields.iter().filter(|field| field.is_file());
        let field = fields.find(|field| !posted.values.contains_key(&*field.name));
        let field = field.map(|field| field.name.to_string()).unwrap_or_default();
        let message =
            "The file’s name has control characters in it. Rename the file, and choose it again.".to_owned();
        return form(&[FieldError { field, message }], None);
    }
    let input = match read_form(&kind.fields, &posted.values) {
        Ok(input) => input,
        Err(errors) => return form(&errors, None),
    };
    let submission = posted.text(SUBMISSION).filter(|key| !key.is_empty());
    let submission = submission.map(|key| Submission::new(key, &by_content(&input, &files)));
    let sent = Sent { submission, files, claimed: false };
    match app.live.submit(&viewer, &kind.name, input, sent).await {
        Ok(id) => Ok(Redirect::to(&app.live.renderer().addresses().page(id)).into_response()),
        Err(NotStarted::NoKind(_)) => Err(Refusal::NotFound),
        Err(NotStarted::Input(error)) => {
            // Whoever wrote the kind is to blame, and not who filled in its form.
            tracing::error!(kind = kind.name, %error, "what its form gives does not fit the kind");
            form(&[], Some("This form does not fit what it starts. Tell whoever runs this site.".to_owned()))
        }
        Err(NotStarted::Deep(error)) => form(&[], Some(error.to_string())),
        Err(NotStarted::Fields(errors)) => form(&errors, None),
        Err(NotStarted::Store(error)) => match error.into() {
            // With what was typed, to be sent once more.
            refusal @ Refusal::TooManyWaiting(_) => {
                let form = again(refusal.status(), &[], Some(refusal.to_string()))?;
                Ok((refusal.retry_after().map(|seconds| [(header::RETRY_AFTER, seconds)]), form)
                    .into_response())
            }
            refusal => Err(refusal),
        },
    }
}

/// The input with what is in files instead of where they lie.
fn by_content(input: &Value, files: &[Receiving]) -> Value {
    let mut input = input.clone();
    let uploads = input.as_object_mut().into_iter().flat_map(|fields| fields.values_mut());
    for path in uploads.filter_map(|value| value.get_mut("path")) {
        let file = files.iter().map(Receiving::content).find(|(stored, _)| stored.to_str() == path.as_str());
        if let Some((_, content)) = file {
            *path = content.into();
        }
    }
    input
}

/// Asks an operation to stop.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Refusal> {
    let id = pages::owned(&app, &viewer, &id).await?.id;
    let (parts, body) = request.into_parts();
    let scripted = is_scripted(&parts);
    let viewer = read_command(&app, viewer, Request::from_parts(parts, body)).await?;
    app.live.cancel(&viewer, id).await?;
    tracing::info!(operation = %id, user = viewer.id, "asked to stop");
    // The script's page learns what became of it from its stream.
    Ok(if scripted { StatusCode::NO_CONTENT.into_response() } else { to_page(&app, id) })
}

/// Runs a finished operation again.
pub(super) async fn restart(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Refusal> {
    let id = pages::owned(&app, &viewer, &id).await?.id;
    let viewer = read_command(&app, viewer, request).await?;
    match app.live.restart(&viewer, id).await? {
        RestartAnswer::Queued => {
            tracing::info!(operation = %id, user = viewer.id, "restarted");
            Ok(to_page(&app, id))
        }
        RestartAnswer::NotOver => Err(Refusal::NotOver),
        RestartAnswer::NoKind => Err(Refusal::KindGone),
        RestartAnswer::NotFound => Err(Refusal::NotFound),
    }
}

fn to_page(app: &App, id: OperationId) -> Response {
    Redirect::to(&app.live.renderer().addresses().page(id)).into_response()
}

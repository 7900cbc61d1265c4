//! Start, cancel, restart: posts that change something.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::App;
use super::body::{Reading, read_command};
use super::error::Refusal;
use super::identify::is_scripted;
use super::pages::{self, FormPage};
use super::segment::Segment;
use crate::access::Viewer;
use crate::live::NotStarted;
use crate::operation::{OperationId, read_form};

/// Starts an operation of a kind.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(kind): Segment,
    request: Request,
) -> Result<Response, Refusal> {
    let kind = app.live.kind_for(&viewer, &kind).ok_or(Refusal::NotFound)?;
    app.csrf.check_source(request.headers())?;
    let reading = Reading {
        genuine: &|token| app.csrf.is_of(token, &viewer),
        fields: &kind.fields,
        uploads: app.live.uploads(),
        limit: app.live.max_upload_bytes(),
    };
    let mut posted = reading.read(request).await?;
    let files = std::mem::take(&mut posted.files);
    let form = |errors, general| {
        let page = FormPage { kind, values: Some(&posted), errors, general };
        let page = pages::render_form(&app, &viewer, &page)?;
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    };
    let input = match read_form(&kind.fields, &posted.values) {
        Ok(input) => input,
        Err(errors) => return form(&errors, None),
    };
    let (live, owner, name) = (app.live.clone(), viewer.clone(), kind.name.clone());
    // A task of its own: a client that goes away now must not take the files of what is committed.
    let started = tokio::spawn(async move {
        let id = live.start_kind(&owner, &name, input).await?;
        for file in files {
            file.keep();
        }
        Ok(id)
    });
    match started.await.map_err(|_| Refusal::Internal)? {
        Ok(id) => Ok(Redirect::to(&app.live.renderer().addresses().operation(id)).into_response()),
        Err(NotStarted::NoKind(_)) => Err(Refusal::NotFound),
        Err(NotStarted::Input(error)) => form(&[], Some(error.to_string())),
        Err(NotStarted::Store(error)) => Err(error.into()),
    }
}

/// Asks an operation to stop.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Segment(id): Segment,
    request: Request,
) -> Result<Response, Refusal> {
    let id = pages::owned(&app, &viewer, &id).await?;
    let (parts, body) = request.into_parts();
    let scripted = is_scripted(&parts);
    read_command(&app.csrf, &viewer, Request::from_parts(parts, body)).await?;
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
    let id = pages::owned(&app, &viewer, &id).await?;
    read_command(&app.csrf, &viewer, request).await?;
    match app.live.restart(&viewer, id).await? {
        Some(true) => {
            tracing::info!(operation = %id, user = viewer.id, "restarted");
            Ok(to_page(&app, id))
        }
        Some(false) => Err(Refusal::NotOver),
        None => Err(Refusal::NotFound),
    }
}

fn to_page(app: &App, id: OperationId) -> Response {
    Redirect::to(&app.live.renderer().addresses().operation(id)).into_response()
}

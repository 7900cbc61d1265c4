//! The part of an address that names something.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::Refusal;

/// One segment of the path, or several as a tuple. What is no text names nothing, so it is not found.
pub(super) struct Segment<T = String>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(segment) = Path::from_request_parts(parts, state).await.map_err(|_| Refusal::NotFound)?;
        Ok(Self(segment))
    }
}

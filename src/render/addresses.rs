//! Where things are, for links in pages and fragments.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::operation::OperationId;

/// What a field's name may be made of stays as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// The addresses of operations below the path where they are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    mount: String,
    /// The application's own page of an operation, with `{id}` in it.
    page: Option<String>,
}

impl Addresses {
    /// Addresses below `mount`: empty, or a path such as `/live`.
    pub fn new(mount: &str) -> Self {
        Self { mount: mount.trim_end_matches('/').to_owned(), page: None }
    }

    /// The same, but people are led to an operation's page of the application's own: a path with `{id}` in it.
    pub fn with_page(self, path: &str) -> Self {
        Self { page: Some(path.to_owned()), ..self }
    }

    /// Where a path of ours is: `/assets/x`, say.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.mount)
    }

    /// The list of the viewer's operations.
    pub fn operations(&self) -> String {
        self.at("/operations")
    }

    /// Where people find an operation's page.
    pub fn page(&self, id: OperationId) -> String {
        match &self.page {
            Some(path) => path.replace("{id}", &id.to_string()),
            None => self.operation(id),
        }
    }

    /// Our own page of an operation, which the script fetches.
    pub fn operation(&self, id: OperationId) -> String {
        format!("{}/operations/{id}", self.mount)
    }

    /// Where its cancel form goes.
    pub fn cancel(&self, id: OperationId) -> String {
        format!("{}/operations/{id}/cancel", self.mount)
    }

    /// Where its restart form goes.
    pub fn restart(&self, id: OperationId) -> String {
        format!("{}/operations/{id}/restart", self.mount)
    }

    /// Its whole log.
    pub fn log(&self, id: OperationId) -> String {
        format!("{}/operations/{id}/log", self.mount)
    }

    /// The rows that failed in it, as CSV.
    pub fn failed_rows(&self, id: OperationId) -> String {
        format!("{}/operations/{id}/failed.csv", self.mount)
    }

    /// The file that came in a field of its form.
    pub fn upload(&self, id: OperationId, field: &str) -> String {
        let field = utf8_percent_encode(field, SEGMENT);
        format!("{}/operations/{id}/uploads/{field}", self.mount)
    }

    /// The form of a kind.
    pub fn new_operation(&self, kind: &str) -> String {
        format!("{}/operations/new/{kind}", self.mount)
    }

    /// The same, filled in as for that operation.
    pub fn new_like(&self, kind: &str, id: OperationId) -> String {
        format!("{}?from={id}", self.new_operation(kind))
    }

    /// The streams.
    pub fn stream(&self) -> String {
        self.at("/stream")
    }
}

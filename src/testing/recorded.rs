//! What an operation said, and how it ended.

use std::fmt;

use serde_json::Value;

use super::{EventReader, Page};
use crate::operation::{Ending, Operation, OperationId, State};
use crate::progress::{Level, Update};
use crate::projection::Projection;
use crate::render::{Addresses, Renderer};
use crate::runner::Conclusion;
use crate::stream::{Cursor, FrameRenderer as _, Subject};

/// What a [`Recorder`](super::Recorder) heard of one run.
pub struct Recorded {
    pub(super) kind: &'static str,
    pub(super) id: OperationId,
    pub(super) updates: Vec<Update>,
    pub(super) page: Projection,
    pub(super) conclusion: Conclusion,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("kind", &self.kind)
            .field("ending", &self.conclusion.ending)
            .field("detail", &self.conclusion.detail)
            .field("updates", &self.updates)
            .finish_non_exhaustive()
    }
}

impl Recorded {
    /// All that it said, in order.
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    /// The texts of its status.
    pub fn statuses(&self) -> Vec<&str> {
        self.pick(|update| match update {
            Update::Status { text, .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// The lines of its log, rows that failed among them as `row: reason`.
    pub fn log(&self) -> Vec<String> {
        self.lines(|_| true)
    }

    /// The lines of that level; rows that failed are warnings.
    pub fn log_at(&self, level: Level) -> Vec<String> {
        self.lines(|of| of == level)
    }

    /// The stages that it entered.
    pub fn stages(&self) -> Vec<&str> {
        self.pick(|update| match update {
            Update::EnterStage(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Each percent that it said.
    pub fn percents(&self) -> Vec<f64> {
        self.pick(|update| match update {
            Update::Percent(percent) => Some(*percent),
            _ => None,
        })
    }

    /// How far the bar of the last stage came, 0 to 100, by percent or by counting; none where that was never known.
    pub fn percent(&self) -> Option<f64> {
        self.page.bar().fraction().map(|fraction| fraction * 100.0)
    }

    /// The rows that failed, each with its reason.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        self.pick(|update| match update {
            Update::Failed { row, reason } => Some((row.as_str(), reason.as_str())),
            _ => None,
        })
    }

    /// What the page knows at the end.
    pub fn projection(&self) -> &Projection {
        &self.page
    }

    /// The page at the end, by the embedded templates.
    pub fn page(&self) -> Page {
        self.page_by(&Renderer::new(Addresses::default()))
    }

    /// The page at the end, by templates of the application's own: [`LiveOps::renderer`](crate::LiveOps::renderer), or one
    /// made with [`Renderer::with_templates`].
    pub fn page_by(&self, renderer: &Renderer) -> Page {
        let mut page = Page::blank(self.page.log().limit());
        if let Some(delta) = self.page.since(Cursor::START) {
            let subject = Subject { id: self.id, kind: self.kind.to_owned(), owner: String::new() };
            let mut reader = EventReader::default();
            reader.receive(&renderer.frame(&subject, &self.page, &delta).bytes);
            while let Some(event) = reader.next_event() {
                page.apply(&event);
            }
        }
        page
    }

    /// How it ended.
    pub fn ending(&self) -> &Ending {
        &self.conclusion.ending
    }

    /// The state in which it ended.
    pub fn state(&self) -> State {
        self.conclusion.ending.state
    }

    /// Its result.
    pub fn result(&self) -> Option<&Value> {
        self.conclusion.ending.result.as_ref()
    }

    /// What its user reads of what went wrong: after an `Err` or a panic a general sentence.
    pub fn error(&self) -> Option<&str> {
        self.conclusion.ending.message.as_ref().map(|message| message.as_str())
    }

    /// What went wrong inside, of which its user reads nothing: the `Err` that it returned, or its panic.
    pub fn detail(&self) -> Option<&str> {
        self.conclusion.detail.as_deref()
    }

    /// Where it leads the page.
    pub fn redirect(&self) -> Option<&str> {
        self.conclusion.ending.redirect.as_deref()
    }

    /// The operation that it handed over to, where that is of this type.
    pub fn next<O: Operation>(&self) -> Option<O> {
        let next = self.conclusion.next.as_ref().filter(|next| next.kind == O::KIND)?;
        serde_json::from_value(next.input.clone()).ok()
    }

    fn pick<'a, T>(&'a self, wanted: impl FnMut(&'a Update) -> Option<T>) -> Vec<T> {
        self.updates.iter().filter_map(wanted).collect()
    }

    fn lines(&self, wanted: impl Fn(Level) -> bool) -> Vec<String> {
        self.pick(|update| match update {
            Update::Log { level, text } if wanted(*level) => Some(text.to_string()),
            Update::Failed { row, reason } if wanted(Level::Warning) => Some(format!("{row}: {reason}")),
            _ => None,
        })
    }
}

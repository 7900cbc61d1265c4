//! One operation as its line in the list.

use jiff::Timestamp;
use serde_json::{Number, Value};

use super::{Projection, seconds_between};
use crate::operation::{OperationId, Record, State};
use crate::progress::shortened;

/// So many entries of a result are looked at for figures.
const FIGURES: usize = 2;
/// Longest summary, in characters; the operation's page has the whole.
const SUMMARY: usize = 300;

/// What the list shows of an operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The operation.
    pub id: OperationId,
    /// What the run is called.
    pub title: String,
    /// The title of its kind.
    pub kind_title: String,
    /// Where it stands.
    pub state: State,
    /// How many operations are before it, while it waits.
    pub before: Option<u64>,
    /// The whole work done, 0 to 100, while it runs and that is known.
    pub percent: Option<u8>,
    /// What is being done, or the message that it ended with.
    pub summary: Option<String>,
    /// The first figures of its result.
    pub figures: Vec<(String, Number)>,
    /// The operation that it handed over to.
    pub next: Option<OperationId>,
    /// When it was started by its user.
    pub created: Timestamp,
    /// Since when the latest attempt runs.
    pub since: Option<Timestamp>,
    /// Seconds that the latest attempt took, once it is over.
    pub took_seconds: Option<f64>,
}

impl Row {
    /// The row of a record; `projection` is its page, where it runs, and `before` its place in the
    /// queue, where it waits.
    pub fn new(
        record: &Record,
        projection: Option<&Projection>,
        kind_title: &str,
        before: Option<u64>,
    ) -> Self {
        let mut row = Self {
            id: record.id,
            title: record.title.clone(),
            kind_title: kind_title.to_owned(),
            state: record.state,
            before: before.filter(|_| record.state == State::Waiting),
            percent: None,
            summary: None,
            figures: Vec::new(),
            next: None,
            created: record.created,
            since: record.started.filter(|_| is_under_way(record.state)),
            took_seconds: None,
        };
        if let Some(ending) = &record.ending {
            row.summary = ending.message.as_ref().map(|message| summary(message.as_str()));
            row.figures = figures(ending.result.as_ref());
            row.next = ending.next;
        }
        if record.state.is_final() {
            let times = record.started.zip(record.finished);
            row.took_seconds = times.map(|(from, to)| seconds_between(from, to));
        } else if let Some(projection) = projection {
            row.follow(projection);
        }
        row
    }

    /// The id of the row's element.
    pub fn element(&self) -> String {
        Self::element_of(self.id)
    }

    /// The id of the element of an operation's row.
    pub fn element_of(id: OperationId) -> String {
        format!("op-{id}-row")
    }

    /// Takes over what the page of the running operation shows.
    pub fn follow(&mut self, projection: &Projection) {
        // Where its own process does not know yet that it was asked to stop, the record does.
        if (self.state, projection.state()) != (State::Cancelling, State::Running) {
            self.state = projection.state();
        }
        self.before = projection.before();
        self.since = projection.started().filter(|_| is_under_way(self.state));
        let ending = projection.ending();
        let said = match ending {
            Some(ending) => ending.message.as_ref(),
            None => Some(&projection.status().text),
        };
        self.summary = said.map(|text| summary(text.as_str())).filter(|text| !text.is_empty());
        self.figures = figures(ending.and_then(|ending| ending.result.as_ref()));
        self.next = ending.and_then(|ending| ending.next);
        self.percent = projection.overall_percent().filter(|_| !self.state.is_final()).map(whole);
    }
}

fn is_under_way(state: State) -> bool {
    matches!(state, State::Running | State::Cancelling)
}

fn summary(text: &str) -> String {
    shortened(text, SUMMARY).into_owned()
}

fn figures(result: Option<&Value>) -> Vec<(String, Number)> {
    let entries = result.and_then(Value::as_object).into_iter().flatten().take(FIGURES);
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_number()?.clone()))).collect()
}

/// A percentage without its fraction: 100 only when it is.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
pub(crate) fn whole(percent: f64) -> u8 {
    percent.clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Ending;

    #[test]
    fn what_ended_before_it_began_took_no_time() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let record = Record {
            id: OperationId::new(),
            kind: "k".into(),
            owner: "ada".into(),
            title: "t".into(),
            input: Value::Null,
            previous: None,
            state: State::Succeeded,
            attempt: 1,
            repeats: 0,
            claim: 1,
            created: at(1000),
            started: Some(at(1000)),
            finished: Some(at(10)),
            ending: Some(Ending::plain(State::Succeeded)),
        };
        // The clock was put back.
        assert_eq!(Row::new(&record, None, "k", None).took_seconds, Some(0.0));
    }
}

//! Rows to values and back.

use jiff::Timestamp;
use rusqlite::Row;
use serde_json::Value;

use super::fault::Fault;
use crate::operation::{Ending, OperationId, Record};
use crate::store::state_from;

/// What [`record`] reads, in its order.
pub(super) const RECORD: &str = "id, kind, owner, title, input, previous, state, attempt, repeats + stops AS repeats, claim, created, started, finished, ending";

/// The condition that leaves out the kinds in the second parameter, which [`names`] made.
pub(super) const LISTED: &str = "kind NOT IN (SELECT value FROM json_each(?2))";

/// Names as one parameter.
pub(super) fn names(names: &[String]) -> String {
    Value::from(names).to_string()
}

/// A record from a row that begins with [`RECORD`].
pub(super) fn record(row: &Row<'_>) -> Result<Record, Fault> {
    let operation = id(&row.get::<_, String>("id")?)?;
    let previous: Option<String> = row.get("previous")?;
    let state = state_from(&row.get::<_, String>("state")?)?;
    let ending: Option<String> = row.get("ending")?;
    let ending =
        ending.map(|text| readable(operation, "ending", &text).unwrap_or_else(|| Ending::plain(state)));
    Ok(Record {
        id: operation,
        kind: row.get("kind")?,
        owner: row.get("owner")?,
        title: row.get("title")?,
        input: readable(operation, "input", &row.get::<_, String>("input")?).unwrap_or_default(),
        previous: previous.as_deref().map(id).transpose()?,
        state,
        attempt: row.get("attempt")?,
        repeats: row.get("repeats")?,
        claim: unsigned(row.get("claim")?)?,
        created: time(row.get("created")?)?,
        started: row.get::<_, Option<i64>>("started")?.map(time).transpose()?,
        finished: row.get::<_, Option<i64>>("finished")?.map(time).transpose()?,
        ending,
    })
}

pub(super) fn id(text: &str) -> Result<OperationId, Fault> {
    text.parse().map_err(|error: crate::operation::ParseIdError| Fault::stored(error))
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(Fault::stored)
}

/// What one column of a record holds. Where it cannot be read, that is the trouble of this one operation, and not of the
/// queue or of a list that it stands in: it runs without its input, and fails.
fn readable<T: serde::de::DeserializeOwned>(operation: OperationId, column: &str, text: &str) -> Option<T> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::error!(%operation, column, %error, "what is stored cannot be read"))
        .ok()
}

/// JSON as it is stored.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(Fault::stored)
}

pub(super) fn input(value: &Value) -> String {
    value.to_string()
}

/// Microseconds since the Unix epoch.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(super) fn time(micros: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_microsecond(micros).map_err(Fault::stored)
}

pub(super) fn unsigned(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(Fault::stored)
}

pub(super) fn signed(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(Fault::stored)
}

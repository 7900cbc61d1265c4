//! How an operation comes into the store.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::queue;
use super::rows::{self, micros};
use super::worker::Worker;
use crate::operation::{NewOperation, OperationId, State, Submission};
use crate::store::StoreError;

/// Puts it into the queue, or gives it to this process, with what it needs.
pub(super) fn insert(
    connection: &Connection,
    worker: &Worker,
    new: &NewOperation,
    now: Timestamp,
) -> Result<(), Fault> {
    let (state, claim, worker, started) = if new.claimed {
        worker.show().map_err(|error| StoreError::Unwritable(error.into()))?;
        (State::Running, 1, Some(worker.id()), Some(micros(now)))
    } else {
        (State::Waiting, 0, None, None)
    };
    let sql = "INSERT INTO liveops_operations
                   (id, kind, owner, title, input, previous, submission, created, queued,
                    state, attempt, claim, worker, started)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?13, ?9, 1, ?10, ?11, ?12)";
    let queued = queue::end(connection, now)?;
    connection.prepare_cached(sql)?.execute(params![
        new.id.to_string(),
        new.kind,
        new.owner,
        new.title,
        rows::input(&new.input),
        new.previous.map(|id| id.to_string()),
        new.submission.as_ref().map(Submission::as_bytes),
        micros(now),
        state.as_str(),
        claim,
        worker,
        started,
        queued
    ])?;
    let sql = "INSERT INTO liveops_uploads (name, operation) VALUES (?1, ?2)";
    for name in &new.uploads {
        connection.prepare_cached(sql)?.execute([name, &new.id.to_string()])?;
    }
    if let Some(previous) = new.previous {
        // What it was handed on is its own as well.
        let sql = "INSERT OR IGNORE INTO liveops_uploads (name, operation)
                   SELECT name, ?1 FROM liveops_uploads WHERE operation = ?2 AND instr(?3, name) > 0";
        let input = rows::input(&new.input);
        connection.prepare_cached(sql)?.execute(params![new.id.to_string(), previous.to_string(), input])?;
    }
    Ok(())
}

/// The operation that was started by the same submission.
pub(super) fn submitted(connection: &Connection, new: &NewOperation) -> Result<Option<OperationId>, Fault> {
    let Some(submission) = &new.submission else { return Ok(None) };
    let sql = "SELECT id FROM liveops_operations WHERE owner = ?1 AND kind = ?2 AND submission = ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let id: Option<String> = statement
        .query_row(params![new.owner, new.kind, submission.as_bytes()], |row| row.get(0))
        .optional()?;
    id.as_deref().map(rows::id).transpose()
}

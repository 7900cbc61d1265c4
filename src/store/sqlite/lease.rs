//! What is written under a lease. Each write looks first, in its own transaction, whether the lease holds still: a
//! late writer, whose run was taken from it, changes nothing.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::log::{self, Chunk};
use super::queue;
use super::rows::{micros, signed, to_json};
use crate::operation::OperationId;
use crate::projection::Line;
use crate::store::{Finish, Interruption, Lease, REPEATS, STOPS, StoreError, StoreResult};

/// Adds to the log and replaces the page.
pub(super) fn checkpoint(
    connection: &Connection,
    lease: Lease,
    chunks: &[Chunk],
    page: &str,
) -> Result<(), Fault> {
    hold(connection, lease)?;
    log::insert(connection, lease, chunks)?;
    replace_page(connection, lease.operation, page)
}

/// An ending as it is stored.
pub(super) struct End {
    state: &'static str,
    ending: String,
    detail: Option<String>,
    at: Timestamp,
    chunks: Vec<Chunk>,
    page: String,
}

impl End {
    pub(super) fn new(lines: &[Line], finish: Finish) -> StoreResult<Self> {
        let Finish { projection, ending, detail, at, .. } = finish;
        if !ending.state.is_final() {
            let reason = format!("{:?} is no ending", ending.state.as_str());
            return Err(StoreError::Failed(reason.into()));
        }
        Ok(Self {
            state: ending.state.as_str(),
            ending: to_json(&ending).map_err(Fault::of_write)?,
            detail,
            at,
            chunks: log::chunks(lines),
            page: to_json(&projection).map_err(Fault::of_write)?,
        })
    }
}

/// Ends the run.
pub(super) fn finish(connection: &Connection, lease: Lease, end: &End) -> Result<(), Fault> {
    hold(connection, lease)?;
    let sql =
        "UPDATE liveops_operations SET state = ?2, ending = ?3, detail = ?4, finished = ?5, worker = NULL
               WHERE id = ?1";
    let End { state, ending, detail, at, chunks, page } = end;
    let id = lease.operation.to_string();
    connection.prepare_cached(sql)?.execute(params![id, state, ending, detail, micros(*at)])?;
    log::insert(connection, lease, chunks)?;
    replace_page(connection, lease.operation, page)
}

/// Puts the run back into the queue as the next attempt; false when it is to end instead.
pub(super) fn repeat(
    connection: &Connection,
    lease: Lease,
    chunks: &[Chunk],
    why: Interruption,
    now: Timestamp,
) -> Result<bool, Fault> {
    hold(connection, lease)?;
    let id = lease.operation.to_string();
    let (count, most) = match why {
        Interruption::Death => ("repeats", REPEATS),
        Interruption::Stop => ("stops", STOPS),
    };
    let sql = format!(
        "UPDATE liveops_operations
         SET state = 'waiting', attempt = attempt + 1, {count} = {count} + 1, worker = NULL,
             queued = ?2, started = NULL
         WHERE id = ?1 AND state = 'running' AND repeatable AND {count} < ?3"
    );
    if connection.prepare_cached(&sql)?.execute(params![id, queue::end(connection, now)?, most])? == 0 {
        return Ok(false);
    }
    log::insert(connection, lease, chunks)?;
    forget_page(connection, &id)?;
    Ok(true)
}

/// The next attempt has a page of its own.
pub(super) fn forget_page(connection: &Connection, id: &str) -> Result<(), Fault> {
    let sql = "DELETE FROM liveops_projections WHERE operation = ?1";
    connection.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

fn replace_page(connection: &Connection, id: OperationId, page: &str) -> Result<(), Fault> {
    let sql = "INSERT INTO liveops_projections (operation, projection) VALUES (?1, ?2)
               ON CONFLICT (operation) DO UPDATE SET projection = excluded.projection";
    connection.prepare_cached(sql)?.execute(params![id.to_string(), page])?;
    Ok(())
}

/// Whoever writes after this, in the same transaction, is no late writer.
fn hold(connection: &Connection, lease: Lease) -> Result<(), Fault> {
    let sql = "SELECT 1 FROM liveops_operations
               WHERE id = ?1 AND claim = ?2 AND state IN ('running', 'cancelling')";
    let mut statement = connection.prepare_cached(sql)?;
    if statement.exists(params![lease.operation.to_string(), signed(lease.claim)?])? {
        return Ok(());
    }
    Err(StoreError::Fenced { operation: lease.operation, claim: lease.claim }.into())
}

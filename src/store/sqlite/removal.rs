//! Removing what is old, so little at a time that other writers hardly wait.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::rows::{micros, time};
use crate::store::Removed;

/// So many chunks of logs are removed in one step, some 64 KiB each.
const CHUNKS: u32 = 128;

/// The time by which what is old is removed: `now`, but no more than `step` after what it was before.
pub(super) fn follow_clock(
    connection: &Connection,
    now: Timestamp,
    step: Duration,
) -> Result<Timestamp, Fault> {
    let sql = "SELECT value FROM liveops_meta WHERE key = 'removing'";
    let before: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let most = before.map(time).transpose()?.and_then(|before| before.checked_add(step).ok());
    let at = most.map_or(now, |most| most.min(now));
    let sql = "INSERT OR REPLACE INTO liveops_meta (key, value) VALUES ('removing', ?1)";
    connection.prepare_cached(sql)?.execute([micros(at)])?;
    Ok(at)
}

/// One step: up to `limit` operations that ended before `before`, or a part of one with a long log.
pub(super) fn step(connection: &Connection, before: Timestamp, limit: u32) -> Result<Removed, Fault> {
    let sql = "SELECT id FROM liveops_operations WHERE finished < ?1 ORDER BY finished LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(params![micros(before), limit], |row| row.get(0))?;
    let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
    let mut removed = Removed { more: u32::try_from(ids.len()) == Ok(limit), ..Removed::default() };
    let mut chunks = CHUNKS;
    for id in ids {
        chunks = chunks.saturating_sub(remove_log(connection, &id, chunks)?);
        if chunks == 0 {
            hide(connection, &id)?;
            removed.more = true;
            break;
        }
        remove(connection, &id, &mut removed)?;
    }
    Ok(removed)
}

/// Removes up to `most` chunks of an operation's logs; returns how many there were.
fn remove_log(connection: &Connection, id: &str, most: u32) -> Result<u32, Fault> {
    let sql = "DELETE FROM liveops_log WHERE operation = ?1 AND (attempt, first_seq) IN (
                   SELECT attempt, first_seq FROM liveops_log WHERE operation = ?1 LIMIT ?2)";
    let deleted = connection.prepare_cached(sql)?.execute(params![id, most])?;
    Ok(u32::try_from(deleted).unwrap_or(most))
}

/// Makes an operation nobody's, so that nobody sees it with half a log, runs it again, or gets it for a form that is
/// sent again.
fn hide(connection: &Connection, id: &str) -> Result<(), Fault> {
    let sql = "UPDATE liveops_operations SET owner = '', submission = NULL WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

fn remove(connection: &Connection, id: &str, removed: &mut Removed) -> Result<(), Fault> {
    let sql = "SELECT name FROM liveops_uploads AS mine WHERE operation = ?1 AND NOT EXISTS (
               SELECT 1 FROM liveops_uploads WHERE name = mine.name AND operation != ?1)";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map([id], |row| row.get(0))?;
    removed.uploads.extend(names.collect::<Result<Vec<String>, _>>()?);
    // Page and uploads go with it.
    let sql = "DELETE FROM liveops_operations WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([id])?;
    removed.operations += 1;
    Ok(())
}

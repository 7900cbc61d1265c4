//! Log lines as chunks of text: one row holds many lines, one of text each.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::rows::{signed, time, unsigned};
use crate::operation::OperationId;
use crate::progress::{Level, Text};
use crate::projection::Line;
use crate::store::Lease;

/// A chunk ends with the line that reaches this, so that reading from the middle of a log decodes
/// little for nothing.
const CHUNK: usize = 64 * 1024;

/// Most text that is read at once: lines may be long.
const READ: usize = 1024 * 1024;

/// The lines `first` to `last` as they are stored.
pub(super) struct Chunk {
    first: u64,
    last: u64,
    text: String,
}

/// Lines as chunks. Numbers that don't follow each other begin a new one, since lines are counted
/// within it.
pub(super) fn chunks(lines: &[Line]) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for line in lines {
        match chunks.last_mut() {
            Some(chunk) if chunk.text.len() < CHUNK && chunk.last.checked_add(1) == Some(line.seq) => {
                chunk.last = line.seq;
                push(&mut chunk.text, line);
            }
            _ => {
                let mut chunk = Chunk { first: line.seq, last: line.seq, text: String::new() };
                push(&mut chunk.text, line);
                chunks.push(chunk);
            }
        }
    }
    chunks
}

fn push(chunk: &mut String, line: &Line) {
    // Writing to a string cannot fail.
    let _ = write!(chunk, "{} {}", line.at.as_microsecond(), line.level.as_str());
    if let Some(row) = line.failed {
        let _ = write!(chunk, "/{row}");
    }
    let _ = writeln!(chunk, " {}", line.text);
}

/// Adds chunks to the log of a run. The same lines once more replace themselves: a commit may have
/// failed as its answer was on the way.
pub(super) fn insert(connection: &Connection, lease: Lease, chunks: &[Chunk]) -> Result<(), Fault> {
    let sql = "INSERT OR REPLACE INTO liveops_log (operation, attempt, first_seq, last_seq, chunk)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = connection.prepare_cached(sql)?;
    let operation = lease.operation.to_string();
    for chunk in chunks {
        let (first, last) = (signed(chunk.first)?, signed(chunk.last)?);
        statement.execute(params![operation, lease.attempt, first, last, chunk.text])?;
    }
    Ok(())
}

/// Up to `limit` lines from `from` on, fewer where they are long.
pub(super) fn read(
    connection: &Connection,
    id: OperationId,
    attempt: u32,
    from: u64,
    limit: usize,
) -> Result<Vec<Line>, Fault> {
    // The chunk that holds `from` is the last one that begins no later.
    let sql = "SELECT first_seq, chunk FROM liveops_log
               WHERE operation = ?1 AND attempt = ?2 AND last_seq >= ?3 AND first_seq >= coalesce(
                   (SELECT max(first_seq) FROM liveops_log
                    WHERE operation = ?1 AND attempt = ?2 AND first_seq <= ?3), 0)
               ORDER BY first_seq";
    let mut statement = connection.prepare_cached(sql)?;
    let from_stored = i64::try_from(from).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![id.to_string(), attempt, from_stored])?;
    let mut lines = Vec::new();
    let mut bytes = 0;
    while lines.len() < limit && bytes < READ {
        let Some(row) = rows.next()? else { break };
        let first = unsigned(row.get("first_seq")?)?;
        let chunk = row.get_ref("chunk")?.as_str().map_err(Fault::stored)?;
        bytes += chunk.len();
        let numbered = (first..).zip(chunk.split_terminator('\n')).filter(|(seq, _)| *seq >= from);
        for (seq, text) in numbered.take(limit - lines.len()) {
            lines.push(line(seq, text)?);
        }
    }
    Ok(lines)
}

/// The number of the newest line; 0 without one. The last chunk has it, whatever length the log is of.
pub(super) fn end(connection: &Connection, id: OperationId, attempt: u32) -> Result<u64, Fault> {
    let sql = "SELECT last_seq FROM liveops_log WHERE operation = ?1 AND attempt = ?2
               ORDER BY first_seq DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let last = statement.query_row(params![id.to_string(), attempt], |row| row.get(0)).optional()?;
    last.map_or(Ok(0), unsigned)
}

/// How many lines a chunk has, whose first one is `first`; all of them can be read.
pub(super) fn count(first: u64, chunk: &str) -> Result<u64, Fault> {
    (first..)
        .zip(chunk.split_terminator('\n'))
        .try_fold(0, |count, (seq, text)| line(seq, text).map(|_| count + 1))
}

fn line(seq: u64, stored: &str) -> Result<Line, Fault> {
    let mut parts = stored.splitn(3, ' ');
    let parsed = (|| {
        let at = parts.next()?.parse().ok()?;
        let level = parts.next()?;
        let (level, failed) = level.split_once('/').map_or((level, None), |(level, row)| (level, Some(row)));
        Some((at, Level::from_name(level)?, failed.map(str::parse).transpose().ok()?, parts.next()?))
    })();
    let (at, level, failed, text) =
        parsed.ok_or_else(|| Fault::stored(format!("line {seq} of a log is damaged")))?;
    Ok(Line { seq, version: 0, at: time(at)?, level, text: Text::from_stored(text.to_owned()), failed })
}

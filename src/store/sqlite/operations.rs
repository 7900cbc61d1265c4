//! Operations and their queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::rows::{self, RECORD, micros, record, to_json, unsigned};
use super::worker;
use super::{Sqlite, glance, lease, list, log, queue, removal, start};
use crate::operation::{Ending, NewOperation, OperationId, Record, State};
use crate::projection::{Line, Projection};
use crate::store::{
    CancelAnswer, Census, Filter, Finish, Glances, Interruption, Lease, Orphan, RecordPage, Removed, Store,
    StoreError, StoreResult, Wanted, state_from,
};

#[async_trait]
impl Store for Sqlite {
    async fn create(
        &self,
        new: NewOperation,
        most_waiting: Option<u32>,
        now: Timestamp,
    ) -> StoreResult<OperationId> {
        let worker = Arc::clone(&self.0.worker);
        let create = move |connection: &Connection| {
            if let Some(earlier) = start::submitted(connection, &new)? {
                return Ok(earlier);
            }
            queue::enter(connection, &new.owner, most_waiting.filter(|_| !new.claimed))?;
            start::insert(connection, &worker, &new, now)?;
            Ok(new.id)
        };
        self.0.writer.write(create).await
    }

    async fn record(&self, id: OperationId) -> StoreResult<Option<Record>> {
        let find = move |connection: &Connection| {
            let sql = format!("SELECT {RECORD} FROM liveops_operations WHERE id = ?1");
            one(connection, &sql, params![id.to_string()])
        };
        self.0.readers.read(find).await
    }

    async fn owned(&self, owner: &str, id: OperationId) -> StoreResult<Option<Record>> {
        let owner = owner.to_owned();
        let find = move |connection: &Connection| {
            let sql = format!("SELECT {RECORD} FROM liveops_operations WHERE id = ?1 AND owner = ?2");
            one(connection, &sql, params![id.to_string(), owner])
        };
        self.0.readers.read(find).await
    }

    async fn projection(&self, id: OperationId) -> StoreResult<Option<Projection>> {
        let find = move |connection: &Connection| {
            let sql = "SELECT projection FROM liveops_projections WHERE operation = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let text: Option<String> = statement.query_row([id.to_string()], |row| row.get(0)).optional()?;
            Ok(text.and_then(|text| projection(&id.to_string(), &text)))
        };
        self.0.readers.read(find).await
    }

    async fn list(&self, owner: &str, filter: &Filter, page: u32, per_page: u32) -> StoreResult<RecordPage> {
        let (owner, filter) = (owner.to_owned(), filter.clone());
        self.0.readers.read(move |connection| list::page(connection, &owner, &filter, page, per_page)).await
    }

    async fn kinds(&self, owner: &str) -> StoreResult<Vec<String>> {
        let owner = owner.to_owned();
        self.0.readers.read(move |connection| list::kinds(connection, &owner)).await
    }

    async fn version(&self) -> StoreResult<i64> {
        self.0.readers.version().await
    }

    async fn glance(
        &self,
        owners: &[String],
        without: &[String],
        per_page: u32,
        ids: &[OperationId],
    ) -> StoreResult<Glances> {
        let (owners, without, ids) = (owners.to_vec(), rows::names(without), ids.to_vec());
        let look =
            move |connection: &Connection| glance::glance(connection, &owners, &without, per_page, &ids);
        self.0.readers.read(look).await
    }

    async fn records(&self, ids: &[OperationId]) -> StoreResult<Vec<(Record, Option<Projection>)>> {
        let ids = ids.to_vec();
        let find = move |connection: &Connection| {
            let sql = format!(
                "SELECT {RECORD}, projection FROM liveops_operations
                 LEFT JOIN liveops_projections ON operation = id AND state IN ('running', 'cancelling')
                 WHERE id = ?1"
            );
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                let mut statement = connection.prepare_cached(&sql)?;
                collect_with_pages(&mut statement.query([id.to_string()])?, &mut found)?;
            }
            Ok(found)
        };
        self.0.readers.read(find).await
    }

    async fn before(&self, id: OperationId) -> StoreResult<u64> {
        let count = move |connection: &Connection| {
            let sql = "SELECT count(*) FROM liveops_operations AS me, liveops_operations AS other
                       WHERE me.id = ?1 AND me.state = 'waiting' AND other.state = 'waiting'
                       AND (other.queued, other.row) < (me.queued, me.row)";
            let mut statement = connection.prepare_cached(sql)?;
            unsigned(statement.query_row([id.to_string()], |row| row.get(0))?)
        };
        self.0.readers.read(count).await
    }

    async fn log(&self, id: OperationId, attempt: u32, from_seq: u64, limit: u32) -> StoreResult<Vec<Line>> {
        let read =
            move |connection: &Connection| log::read(connection, id, attempt, from_seq, limit as usize);
        self.0.readers.read(read).await
    }

    async fn log_end(&self, id: OperationId, attempt: u32) -> StoreResult<u64> {
        self.0.readers.read(move |connection| log::end(connection, id, attempt)).await
    }

    async fn claim(&self, wanted: &Wanted, now: Timestamp) -> StoreResult<Option<Record>> {
        // Mostly nothing may run, and looking needn't take the file from others that write.
        let asked = wanted.clone();
        if self.0.readers.read(move |connection| queue::next(connection, &asked)).await?.is_none() {
            return Ok(None);
        }
        let worker = Arc::clone(&self.0.worker);
        let wanted = wanted.clone();
        let repeatable = wanted.kinds.iter().filter(|kind| kind.repeatable).map(|kind| kind.name.clone());
        let repeatable = rows::names(&repeatable.collect::<Vec<_>>());
        let claim = move |connection: &Connection| {
            worker.show().map_err(|error| StoreError::Unwritable(error.into()))?;
            let Some(row) = queue::next(connection, &wanted)? else { return Ok(None) };
            let sql = format!(
                "UPDATE liveops_operations
                 SET state = 'running', claim = claim + 1, worker = ?2, started = ?3,
                     repeatable = kind IN (SELECT value FROM json_each(?4))
                 WHERE row = ?1 RETURNING {RECORD}"
            );
            one(connection, &sql, params![row, worker.id(), micros(now), repeatable])
        };
        self.0.writer.write(claim).await
    }

    async fn checkpoint(&self, lease: Lease, lines: &[Line], projection: Projection) -> StoreResult<()> {
        let chunks = log::chunks(lines);
        let page = to_json(&projection).map_err(Fault::of_write)?;
        let save = move |connection: &Connection| lease::checkpoint(connection, lease, &chunks, &page);
        self.0.writer.write(save).await
    }

    async fn finish(&self, lease: Lease, lines: &[Line], finish: Finish) -> StoreResult<()> {
        let next = finish.next.clone();
        let at = finish.at;
        let end = lease::End::new(lines, finish)?;
        let worker = Arc::clone(&self.0.worker);
        let end = move |connection: &Connection| {
            lease::finish(connection, lease, &end)?;
            next.map_or(Ok(()), |next| start::insert(connection, &worker, &next, at))
        };
        self.0.writer.write(end).await
    }

    async fn repeat(
        &self,
        lease: Lease,
        lines: &[Line],
        why: Interruption,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let chunks = log::chunks(lines);
        let repeat = move |connection: &Connection| lease::repeat(connection, lease, &chunks, why, now);
        self.0.writer.write(repeat).await
    }

    async fn cancel(&self, id: OperationId, now: Timestamp) -> StoreResult<CancelAnswer> {
        let ending = to_json(&Ending::plain(State::Cancelled)).map_err(Fault::of_write)?;
        let cancel = move |connection: &Connection| {
            let id = id.to_string();
            let sql = "UPDATE liveops_operations SET state = 'cancelled', ending = ?2, finished = ?3
                       WHERE id = ?1 AND state = 'waiting'";
            if connection.prepare_cached(sql)?.execute(params![id, ending, micros(now)])? > 0 {
                return Ok(CancelAnswer::Cancelled);
            }
            let sql = "UPDATE liveops_operations SET state = 'cancelling'
                       WHERE id = ?1 AND state IN ('running', 'cancelling')";
            let asked = connection.prepare_cached(sql)?.execute([id])? > 0;
            Ok(if asked { CancelAnswer::Requested } else { CancelAnswer::Nothing })
        };
        self.0.writer.write(cancel).await
    }

    async fn restart(&self, id: OperationId, most_waiting: Option<u32>, now: Timestamp) -> StoreResult<bool> {
        let restart = move |connection: &Connection| {
            let id = id.to_string();
            // One that is being removed is nobody's.
            let sql = "SELECT owner FROM liveops_operations
                       WHERE id = ?1 AND owner != '' AND state NOT IN ('waiting', 'running', 'cancelling')";
            let mut statement = connection.prepare_cached(sql)?;
            let owner: Option<String> = statement.query_row([&id], |row| row.get(0)).optional()?;
            let Some(owner) = owner else { return Ok(false) };
            queue::enter(connection, &owner, most_waiting)?;
            let sql = "UPDATE liveops_operations
                       SET state = 'waiting', attempt = attempt + 1, repeats = 0, stops = 0, queued = ?2,
                           started = NULL, finished = NULL, ending = NULL, detail = NULL
                       WHERE id = ?1";
            connection.prepare_cached(sql)?.execute(params![id, queue::end(connection, now)?])?;
            lease::forget_page(connection, &id)?;
            Ok(true)
        };
        self.0.writer.write(restart).await
    }

    fn identity(&self) -> u64 {
        self.0.identity
    }

    async fn remove_ended(&self, before: Timestamp, limit: u32) -> StoreResult<Removed> {
        self.0.writer.write(move |connection: &Connection| removal::step(connection, before, limit)).await
    }

    async fn uploads_of(&self, id: OperationId) -> StoreResult<Vec<String>> {
        let find = move |connection: &Connection| {
            let sql = "SELECT name FROM liveops_uploads WHERE operation = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map([id.to_string()], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        };
        self.0.readers.read(find).await
    }

    async fn follow_clock(&self, now: Timestamp, step: Duration) -> StoreResult<Timestamp> {
        self.0.writer.write(move |connection: &Connection| removal::follow_clock(connection, now, step)).await
    }

    async fn uploads_needed(&self, names: Vec<String>) -> StoreResult<Vec<String>> {
        let find = move |connection: &Connection| {
            let sql = "SELECT 1 FROM liveops_uploads WHERE name = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut needed = Vec::new();
            for name in names {
                if statement.exists([&name])? {
                    needed.push(name);
                }
            }
            Ok(needed)
        };
        self.0.readers.read(find).await
    }

    async fn probe(&self, now: Timestamp) -> StoreResult<()> {
        let worker = Arc::clone(&self.0.worker);
        let write = move |connection: &Connection| {
            // Who cannot show that he lives claims nothing.
            worker.show().map_err(|error| StoreError::Unwritable(error.into()))?;
            let sql = "INSERT OR REPLACE INTO liveops_meta (key, value) VALUES ('probed', ?1)";
            // Another value each time: SQLite writes nothing where nothing changes.
            connection.prepare_cached(sql)?.execute([now.as_microsecond()])?;
            Ok(())
        };
        self.0.writer.write(write).await
    }

    async fn census(&self) -> StoreResult<Census> {
        let count = |connection: &Connection| {
            let sql = "SELECT kind, state, count(*) FROM liveops_operations GROUP BY kind, state";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut operations = Vec::new();
            while let Some(row) = rows.next()? {
                let state = state_from(&row.get::<_, String>(1)?)?;
                operations.push((row.get(0)?, state, unsigned(row.get(2)?)?));
            }
            let sql = "SELECT min(queued) FROM liveops_operations WHERE state = 'waiting'";
            let mut statement = connection.prepare_cached(sql)?;
            let oldest: Option<i64> = statement.query_row([], |row| row.get(0))?;
            Ok(Census { operations, oldest_waiting: oldest.map(rows::time).transpose()? })
        };
        self.0.readers.read(count).await
    }

    async fn cancel_requests(&self) -> StoreResult<Vec<OperationId>> {
        self.0.worker.beat();
        let worker = self.0.worker.id().to_owned();
        let find = move |connection: &Connection| {
            let sql = "SELECT id FROM liveops_operations WHERE worker = ?1 AND state = 'cancelling'";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([worker])?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                ids.push(rows::id(&row.get::<_, String>("id")?)?);
            }
            Ok(ids)
        };
        self.0.readers.read(find).await
    }

    fn leave(&self) {
        self.0.worker.hide();
    }

    async fn orphans(&self) -> StoreResult<Vec<Orphan>> {
        let database = self.0.readers.path().to_owned();
        let own = self.0.worker.id().to_owned();
        let find = move |connection: &Connection| {
            let mut orphans = Vec::new();
            for worker in workers(connection)?.into_iter().filter(|worker| *worker != own) {
                let Some(death) = worker::death(&database, &worker) else { continue };
                let seen = death.seen.and_then(|seen| Timestamp::try_from(seen).ok());
                let runs = runs_of(connection, &worker)?.into_iter();
                orphans.extend(runs.map(|(record, projection)| Orphan { record, projection, seen }));
            }
            Ok(orphans)
        };
        self.0.readers.read(find).await
    }
}

/// The processes that operations name as running them.
fn workers(connection: &Connection) -> Result<Vec<String>, Fault> {
    let sql = "SELECT DISTINCT worker FROM liveops_operations WHERE worker IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let workers = statement.query_map([], |row| row.get(0))?;
    Ok(workers.collect::<Result<_, _>>()?)
}

fn runs_of(connection: &Connection, worker: &str) -> Result<Vec<(Record, Option<Projection>)>, Fault> {
    let sql = format!(
        "SELECT {RECORD}, projection FROM liveops_operations
         LEFT JOIN liveops_projections ON operation = id WHERE worker = ?1 ORDER BY row"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut runs = Vec::new();
    collect_with_pages(&mut statement.query([worker])?, &mut runs)?;
    Ok(runs)
}

fn collect_with_pages(
    rows: &mut rusqlite::Rows<'_>,
    found: &mut Vec<(Record, Option<Projection>)>,
) -> Result<(), Fault> {
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        let text: Option<String> = row.get("projection")?;
        let page = text.and_then(|text| projection(&record.id.to_string(), &text));
        found.push((record, page));
    }
    Ok(())
}

/// A stored page; none where another version of this program wrote it in another form: the record
/// still says how it ended, and an orphan can be marked.
fn projection(id: &str, text: &str) -> Option<Projection> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!(operation = id, %error, "the stored page cannot be read"))
        .ok()
}

fn one(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(record).transpose()
}

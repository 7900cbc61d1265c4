//! Which of those that wait is next.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::rows::micros;
use crate::store::{StoreError, Wanted};

/// What has a worker is what runs. Both limits are looked at once, not for each that waits. The plus keeps from the indexes
/// of owners, which have all operations there ever were.
const NEXT: &str = "
SELECT row FROM liveops_operations
WHERE state = 'waiting'
AND kind IN (
    SELECT value ->> 'name' FROM json_each(?1)
    WHERE value ->> 'at_once' IS NULL
    OR value ->> 'at_once' > (
        SELECT count(*) FROM liveops_operations AS run
        WHERE run.worker IS NOT NULL AND run.kind = value ->> 'name'))
AND (?2 IS NULL OR owner NOT IN (
    SELECT owner FROM liveops_operations WHERE worker IS NOT NULL GROUP BY +owner HAVING count(*) >= ?2))
ORDER BY queued, row LIMIT 1";

/// The row of the oldest waiting operation that may run now.
pub(super) fn next(connection: &Connection, wanted: &Wanted) -> Result<Option<i64>, Fault> {
    let kinds: Vec<_> = wanted
        .kinds
        .iter()
        .map(|kind| serde_json::json!({ "name": kind.name, "at_once": kind.at_once }))
        .collect();
    let kinds = serde_json::Value::from(kinds).to_string();
    let mut statement = connection.prepare_cached(NEXT)?;
    Ok(statement.query_row(params![kinds, wanted.per_user], |row| row.get(0)).optional()?)
}

/// The time under which one comes into the queue: behind all that wait, also where the clock was put back meanwhile.
pub(super) fn end(connection: &Connection, now: Timestamp) -> Result<i64, Fault> {
    let sql = "SELECT max(queued) FROM liveops_operations WHERE state = 'waiting'";
    let last: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(last.map_or(micros(now), |last| micros(now).max(last.saturating_add(1))))
}

/// How many of an owner wait, of so many at most.
const WAITING: &str = "
SELECT count(*) FROM (SELECT 1 FROM liveops_operations WHERE owner = ?1 AND state = 'waiting' LIMIT ?2)";

/// Lets one more of this owner wait, where at most so many may: an error that says so, where not.
pub(super) fn enter(connection: &Connection, owner: &str, most: Option<u32>) -> Result<(), Fault> {
    let Some(most) = most else { return Ok(()) };
    let waiting: u32 =
        connection.prepare_cached(WAITING)?.query_row(params![owner, most], |row| row.get(0))?;
    if waiting < most { Ok(()) } else { Err(StoreError::TooManyWaiting(most).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrations::migrate;

    /// The steps of a query, as far as they look at operations, by the index that they use.
    fn indexes(sql: &str) -> Vec<String> {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection).expect("the tables");
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("SQL");
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        let steps: Vec<_> = steps.collect::<Result<_, _>>().expect("a plan");
        let looks = steps.iter().filter(|step| step.contains("liveops_operations") || step.contains(" run "));
        looks.map(|step| step.split("INDEX ").nth(1).unwrap_or(step).to_owned()).collect()
    }

    #[test]
    fn who_waits_is_counted_by_an_index_of_owner_and_state() {
        let indexes = indexes(WAITING);
        assert_eq!(indexes, ["liveops_operations_state (owner=? AND state=?)"]);
    }

    #[test]
    fn only_what_runs_and_waits_is_looked_at() {
        let indexes = indexes(NEXT);
        assert_eq!(indexes.len(), 3, "{indexes:?}");
        for index in &indexes {
            let is_small = ["liveops_operations_waiting", "liveops_operations_worker"];
            assert!(is_small.iter().any(|name| index.starts_with(name)), "{indexes:?}");
        }
    }
}

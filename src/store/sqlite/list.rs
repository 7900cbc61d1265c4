//! A user's operations, page by page.

use rusqlite::{Connection, params};

use super::fault::Fault;
use super::rows::{self, LISTED, RECORD, record};
use crate::store::{Filter, RecordPage};

/// From one kind to the next in the index, however many operations there are of each.
const KINDS: &str = "
WITH RECURSIVE kinds (kind) AS (
    SELECT min(kind) FROM liveops_operations WHERE owner = ?1
    UNION ALL
    SELECT (SELECT min(kind) FROM liveops_operations WHERE owner = ?1 AND kind > kinds.kind)
    FROM kinds WHERE kind IS NOT NULL
)
SELECT kind FROM kinds WHERE kind IS NOT NULL";

pub(super) fn page(
    connection: &Connection,
    owner: &str,
    filter: &Filter,
    page: u32,
    per_page: u32,
) -> Result<RecordPage, Fault> {
    let offset = u64::from(page.max(1) - 1) * u64::from(per_page);
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    // One more than asked for tells whether there is more.
    let limit = i64::from(per_page) + 1;
    let state = filter.state.map(|state| state.as_str());
    let mut statement = connection.prepare_cached(&select(filter))?;
    let mut rows =
        statement.query(params![owner, rows::names(&filter.without), state, filter.kind, limit, offset])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    let more = records.len() > per_page as usize;
    records.truncate(per_page as usize);
    Ok(RecordPage { records, more })
}

fn select(filter: &Filter) -> String {
    // Only a plain comparison can be looked up in an index; without one the parameter is null.
    let state = if filter.state.is_some() { "state = ?3" } else { "?3 IS NULL" };
    let kind = match filter {
        Filter { kind: None, .. } => "?4 IS NULL",
        Filter { state: None, .. } => "kind = ?4",
        // The index of states has the kind too, the one of kinds has no state: the plus keeps from the latter.
        _ => "+kind = ?4",
    };
    format!(
        "SELECT {RECORD} FROM liveops_operations WHERE owner = ?1 AND {LISTED} AND {state} AND {kind}
         ORDER BY row DESC LIMIT ?5 OFFSET ?6"
    )
}

pub(super) fn kinds(connection: &Connection, owner: &str) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare_cached(KINDS)?;
    let kinds = statement.query_map([owner], |row| row.get(0))?;
    Ok(kinds.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::State;
    use crate::store::migrations::migrate;

    #[test]
    fn lists_are_read_from_an_index_in_its_order() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection).expect("the tables");
        let plan = |sql: &str| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("SQL");
            let rows = statement.raw_query().mapped(|row| row.get::<_, String>(3));
            rows.collect::<Result<Vec<_>, _>>().expect("a plan").join("; ")
        };
        let (state, kind) = (Some(State::Failed), Some("k".to_owned()));
        for (filter, index) in [
            (Filter::default(), "liveops_operations_listed (owner=?)"),
            (Filter { state, ..Filter::default() }, "liveops_operations_state (owner=? AND state=?)"),
            (
                Filter { kind: kind.clone(), ..Filter::default() },
                "liveops_operations_kind (owner=? AND kind=?)",
            ),
            (Filter { state, kind, ..Filter::default() }, "liveops_operations_state (owner=? AND state=?)"),
        ] {
            let plan = plan(&select(&filter));
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
        let plan = plan(KINDS);
        assert!(plan.contains("COVERING INDEX liveops_operations_kind (owner=? AND kind>?)"), "{plan}");
    }
}

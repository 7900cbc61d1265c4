//! A look at many lists at once: what changed is found without reading the records.

use std::collections::{HashMap, HashSet};

use rusqlite::types::Null;
use rusqlite::{Connection, Row, params};

use super::fault::Fault;
use super::rows::{self, LISTED};
use crate::operation::{OperationId, State};
use crate::store::{Glance, Glances, state_from};

/// What [`glance_of`] reads.
const GLANCE: &str = "id, owner, row, state, attempt";

/// Of all that wait, so many that come next are looked at.
const NEXT: u32 = 1000;

/// `without` are the kinds to leave out, as JSON.
pub(super) fn glance(
    connection: &Connection,
    owners: &[String],
    without: &str,
    per_page: u32,
    ids: &[OperationId],
) -> Result<Glances, Fault> {
    // One moment for all of it.
    let transaction = connection.unchecked_transaction()?;
    let newest = format!(
        "SELECT {GLANCE} FROM liveops_operations WHERE owner = ?1 AND {LISTED}
         ORDER BY row DESC LIMIT ?3"
    );
    let mut glances = Glances::default();
    for owner in owners {
        glances.newest.push(all(&transaction, &newest, params![owner, without, per_page])?);
    }
    let asked: HashSet<&str> = owners.iter().map(String::as_str).collect();
    if !asked.is_empty() {
        let running =
            format!("SELECT {GLANCE} FROM liveops_operations WHERE worker IS NOT NULL AND {LISTED}");
        let next = format!(
            "SELECT {GLANCE} FROM liveops_operations WHERE state = 'waiting' AND {LISTED}
             ORDER BY queued, row LIMIT ?1"
        );
        let running = all(&transaction, &running, params![Null, without])?;
        let active = running.into_iter().chain(all(&transaction, &next, params![NEXT, without])?);
        glances.others.extend(active.filter(|glance| asked.contains(glance.owner.as_str())));
    }
    let by_id = format!("SELECT {GLANCE} FROM liveops_operations WHERE id = ?1 AND {LISTED}");
    for id in ids {
        glances.others.extend(all(&transaction, &by_id, params![id.to_string(), without])?);
    }
    tell_places(&transaction, &mut glances)?;
    Ok(glances)
}

/// Says of those that wait how many are before them.
fn tell_places(connection: &Connection, glances: &mut Glances) -> Result<(), Fault> {
    let all = || glances.newest.iter().flatten().chain(&glances.others);
    let mut places: HashMap<i64, u64> =
        all().filter(|glance| glance.state == State::Waiting).map(|glance| (glance.row, 0)).collect();
    if places.is_empty() {
        return Ok(());
    }
    // The index has all of it.
    let sql = "SELECT row FROM liveops_operations WHERE state = 'waiting' ORDER BY queued, row";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let (mut before, mut left) = (0, places.len());
    while let Some(row) = rows.next()?.filter(|_| left > 0) {
        if let Some(place) = places.get_mut(&row.get(0)?) {
            *place = before;
            left -= 1;
        }
        before += 1;
    }
    drop(rows);
    for glance in glances.newest.iter_mut().flatten().chain(&mut glances.others) {
        glance.before = places.get(&glance.row).copied();
    }
    Ok(())
}

fn all(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Glance>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut glances = Vec::new();
    while let Some(row) = rows.next()? {
        glances.push(glance_of(row)?);
    }
    Ok(glances)
}

fn glance_of(row: &Row<'_>) -> Result<Glance, Fault> {
    Ok(Glance {
        id: rows::id(row.get_ref(0)?.as_str().map_err(Fault::stored)?)?,
        owner: row.get(1)?,
        row: row.get(2)?,
        state: state_from(row.get_ref(3)?.as_str().map_err(Fault::stored)?)?,
        attempt: row.get(4)?,
        before: None,
    })
}

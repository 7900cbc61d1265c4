//! A look at everything that is stored: whether it is whole, and can be read as it was written.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, Row};

use super::fault::Fault;
use super::{Sqlite, log, open, rows};
use crate::operation::{Ending, State};
use crate::projection::Projection;
use crate::store::{StoreResult, migrations};

/// So many findings are told; a damaged page may hold thousands.
const TOLD: usize = 20;
/// Tables with references to others.
const REFERRING: [&str; 5] =
    ["liveops_projections", "liveops_log", "liveops_uploads", "liveops_sessions", "liveops_login_links"];

/// What a look at a database found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many operations there are.
    pub operations: u64,
    /// How many lines their logs have.
    pub lines: u64,
    /// The version of its tables where it is older than what this program knows. Then only the file was looked at, not what is in it.
    pub older: Option<i64>,
    /// What is damaged, one line for each, but no more than some.
    pub damage: Vec<String>,
    /// How much of it there is.
    pub damaged: usize,
}

/// The uploads of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// By what they are told from those of others: [`Store::identity`](crate::store::Store::identity).
    pub identity: u64,
    /// The names of those that operations need, each with one of these operations.
    pub needed: BTreeMap<String, String>,
}

/// A part of the look.
type Part = fn(&Connection, &mut Checked) -> Result<(), Fault>;

impl Sqlite {
    /// Looks at everything in the file, as it is at one moment, and changes nothing; others go on to read and write it. It blocks.
    ///
    /// # Errors
    /// [`StoreError::NoTables`](crate::store::StoreError::NoTables) and [`StoreError::Newer`](crate::store::StoreError::Newer) where it has other
    /// tables, otherwise what SQLite says of a file that cannot be read at all.
    pub fn check(path: impl AsRef<Path>) -> StoreResult<Checked> {
        let connection = open::look(path.as_ref(), 1).map_err(Fault::of_read)?;
        let version = migrations::version(&connection).map_err(|error| Fault::from(error).of_read())?;
        let older = Some(version).filter(|version| *version < migrations::KNOWN);
        let mut checked = Checked { older, ..Checked::default() };
        const OF_FILE: [Part; 2] = [begin, file];
        // They know the tables as they are now.
        const OF_TABLES: [Part; 4] = [references, operations, pages, logs];
        for part in OF_FILE.into_iter().chain(OF_TABLES.into_iter().filter(|_| older.is_none())) {
            // What is damaged in one place may be whole in another.
            if let Err(fault) = part(&connection, &mut checked) {
                checked.found(fault.of_read().to_string());
            }
        }
        Ok(checked)
    }

    /// The uploads that the operations in the file need now. Changes nothing.
    ///
    /// # Errors
    /// As for [`check`](Self::check), and [`StoreError::Older`](crate::store::StoreError::Older).
    pub fn uploaded(path: impl AsRef<Path>) -> StoreResult<Uploaded> {
        let connection = open::look(path.as_ref(), migrations::KNOWN).map_err(Fault::of_read)?;
        uploaded(&connection).map_err(Fault::of_read)
    }
}

fn uploaded(connection: &Connection) -> Result<Uploaded, Fault> {
    let identity = open::identity(connection)?;
    Ok(Uploaded { identity, needed: needed(connection)? })
}

/// The names of the uploads that operations need, each with one of these operations.
pub(super) fn needed(connection: &Connection) -> Result<BTreeMap<String, String>, Fault> {
    let mut names = connection.prepare("SELECT name, min(operation) FROM liveops_uploads GROUP BY name")?;
    let needed = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(needed.collect::<Result<_, _>>()?)
}

impl Checked {
    fn found(&mut self, what: impl Into<String>) {
        self.damaged += 1;
        if self.damage.len() < TOLD {
            self.damage.push(what.into().replace('\n', " "));
        }
    }

    /// Tells of one that is told apart by its name, where it cannot be read.
    fn unreadable(&mut self, name: &str, fault: Fault) {
        self.found(format!("{name}: {}", fault.of_read()));
    }
}

fn begin(connection: &Connection, _: &mut Checked) -> Result<(), Fault> {
    Ok(connection.execute_batch("BEGIN")?)
}

fn file(connection: &Connection, checked: &mut Checked) -> Result<(), Fault> {
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    for answer in check.query_map([], |row| row.get::<_, String>(0))? {
        match answer? {
            answer if answer == "ok" => {}
            answer => checked.found(answer),
        }
    }
    Ok(())
}

fn references(connection: &Connection, checked: &mut Checked) -> Result<(), Fault> {
    for table in REFERRING {
        let sql = format!("SELECT count(*) FROM pragma_foreign_key_check('{table}')");
        let loose: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if loose > 0 {
            checked.found(format!("{table}: {loose} rows belong to nothing"));
        }
    }
    Ok(())
}

fn operations(connection: &Connection, checked: &mut Checked) -> Result<(), Fault> {
    let sql = format!("SELECT {}, worker FROM liveops_operations", rows::RECORD);
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        checked.operations += 1;
        if let Err(fault) = operation(row) {
            let id: String = row.get("id").unwrap_or_default();
            checked.unreadable(&format!("operation {id}"), fault);
        }
    }
    Ok(())
}

fn operation(row: &Row<'_>) -> Result<(), Fault> {
    // Reading the record would make do without what cannot be read.
    rows::json::<serde_json::Value>(&row.get::<_, String>("input")?)?;
    if let Some(ending) = row.get::<_, Option<String>>("ending")? {
        rows::json::<Ending>(&ending)?;
    }
    let record = rows::record(row)?;
    let is_final = record.state.is_final();
    let is_over = record.finished.is_some() && record.ending.is_some();
    let runs = row.get::<_, Option<String>>("worker")?.is_some();
    let state = record.state;
    match state {
        State::Running | State::Cancelling if !runs => {
            Err(Fault::stored(format!("{}, but by no process", state.as_str())))
        }
        _ if is_final != is_over => {
            Err(Fault::stored(format!("{}, but not like one that is", state.as_str())))
        }
        _ => Ok(()),
    }
}

fn pages(connection: &Connection, checked: &mut Checked) -> Result<(), Fault> {
    let mut statement = connection.prepare(
        "SELECT operation, projection FROM liveops_projections JOIN liveops_operations ON id = operation
         WHERE owner != ''",
    )?;
    let mut last = connection.prepare(
        "SELECT coalesce(max(last_seq), 0) FROM liveops_log WHERE operation = ?1 AND attempt = ?2",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let id: String = row.get("operation")?;
        let read = || -> Result<(), Fault> {
            let page: Projection = rows::json(&row.get::<_, String>("projection")?)?;
            let lines = last.query_row((&id, page.attempt()), |row| row.get(0));
            let (said, lines) = (page.log().total(), rows::unsigned(lines?)?);
            if said == lines {
                return Ok(());
            }
            Err(Fault::stored(format!("it says that there are {said} lines, its log has {lines}")))
        };
        if let Err(fault) = { read }() {
            checked.unreadable(&format!("page of operation {id}"), fault);
        }
    }
    Ok(())
}

fn logs(connection: &Connection, checked: &mut Checked) -> Result<(), Fault> {
    // What is being removed has lost a part of its log, and its owner.
    let mut statement = connection.prepare(
        "SELECT operation, attempt, first_seq, last_seq, chunk FROM liveops_log
         WHERE operation NOT IN (SELECT id FROM liveops_operations WHERE owner = '')
         ORDER BY operation, attempt, first_seq",
    )?;
    let mut found = statement.query([])?;
    let (mut log, mut next) = (String::new(), 1);
    while let Some(row) = found.next()? {
        let name =
            format!("log of operation {}, attempt {}", row.get::<_, String>(0)?, row.get::<_, i64>(1)?);
        if name != log {
            (log, next) = (name, 1);
        }
        let (first, last) = (rows::unsigned(row.get(2)?)?, rows::unsigned(row.get(3)?)?);
        if first != next {
            checked.found(format!("{log}: line {next} should follow, and {first} does"));
        }
        next = last.saturating_add(1);
        match row.get_ref(4)?.as_str().map_err(Fault::stored).and_then(|chunk| log::count(first, chunk)) {
            Ok(lines) if first.checked_add(lines) == Some(next) => checked.lines += lines,
            Ok(lines) => checked.found(format!("{log}: {lines} lines are called {first} to {last}")),
            Err(fault) => checked.unreadable(&log, fault),
        }
    }
    Ok(())
}

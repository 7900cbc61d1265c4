//! The schema of the SQLite store and how a file comes to it.
//!
//! A step, once released, never changes: later versions add steps. The file may be the host's, so
//! every table and index is called `liveops_*`, and the version stands in `liveops_meta`, not in
//! the file's own `user_version`.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

/// Each step leads from the version that is its index to the next one.
const STEPS: &[&str] = &[FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH];

/// The version that this program knows.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// Times are microseconds since the Unix epoch; ids are UUIDs as text.
const FIRST: &str = "
CREATE TABLE liveops_operations (
    row      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    kind     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    title    TEXT NOT NULL,
    input    TEXT NOT NULL,            -- JSON
    previous TEXT,
    state    TEXT NOT NULL,
    attempt  INTEGER NOT NULL,
    claim    INTEGER NOT NULL,
    worker   TEXT,                     -- whose it is while it runs, else NULL
    created  INTEGER NOT NULL,
    queued   INTEGER NOT NULL,         -- when the latest attempt came into the queue
    started  INTEGER,
    finished INTEGER,
    ending   TEXT,                     -- JSON
    detail   TEXT
);
CREATE INDEX liveops_operations_list ON liveops_operations (owner, created DESC, row DESC);
CREATE INDEX liveops_operations_queue ON liveops_operations (queued, row) WHERE state = 'waiting';
CREATE INDEX liveops_operations_worker ON liveops_operations (worker) WHERE worker IS NOT NULL;

-- The page of the latest attempt, apart from the record so that lists need not read past it.
CREATE TABLE liveops_projections (
    operation  TEXT PRIMARY KEY REFERENCES liveops_operations (id) ON DELETE CASCADE,
    projection TEXT NOT NULL           -- JSON
) WITHOUT ROWID;

-- A chunk holds the lines first_seq to last_seq, each as '<microseconds> <level> <text>\\n'.
CREATE TABLE liveops_log (
    operation TEXT NOT NULL REFERENCES liveops_operations (id) ON DELETE CASCADE,
    attempt   INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    chunk     TEXT NOT NULL,
    PRIMARY KEY (operation, attempt, first_seq)
) WITHOUT ROWID;

CREATE TABLE liveops_users (
    id            TEXT NOT NULL PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    groups        TEXT NOT NULL,       -- JSON
    superuser     INTEGER NOT NULL,
    password_hash TEXT,
    created       INTEGER NOT NULL
);

-- Keyed by the SHA-256 of the secret.
CREATE TABLE liveops_sessions (
    digest  BLOB PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES liveops_users (id) ON DELETE CASCADE,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX liveops_sessions_user ON liveops_sessions (user_id);
CREATE INDEX liveops_sessions_expires ON liveops_sessions (expires);

CREATE TABLE liveops_login_links (
    digest  BLOB PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES liveops_users (id) ON DELETE CASCADE,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX liveops_login_links_user ON liveops_login_links (user_id);
CREATE INDEX liveops_login_links_expires ON liveops_login_links (expires);
";

/// Submissions, and whose an uploaded file is. Names of files were the last 43 characters of the
/// paths in inputs.
const SECOND: &str = "
ALTER TABLE liveops_operations ADD COLUMN submission BLOB;
CREATE UNIQUE INDEX liveops_operations_submission ON liveops_operations (owner, kind, submission)
    WHERE submission IS NOT NULL;
CREATE INDEX liveops_operations_finished ON liveops_operations (finished) WHERE finished IS NOT NULL;

CREATE TABLE liveops_uploads (
    name      TEXT NOT NULL,
    operation TEXT NOT NULL REFERENCES liveops_operations (id) ON DELETE CASCADE,
    PRIMARY KEY (name, operation)
) WITHOUT ROWID;
CREATE INDEX liveops_uploads_operation ON liveops_uploads (operation);
INSERT OR IGNORE INTO liveops_uploads (name, operation)
    SELECT substr(part.value, -43), started.id
    FROM liveops_operations AS started, json_tree(started.input) AS part
    WHERE part.key = 'path' AND part.type = 'text' AND length(part.value) > 43;
";

/// A number by which this database's uploads are told from those of others in the same folder.
const THIRD: &str = "
INSERT INTO liveops_meta (key, value) VALUES ('identity', random());
";

/// The queue is searched past those that may not run yet: their kinds and owners stand in its index.
const FOURTH: &str = "
DROP INDEX liveops_operations_queue;
CREATE INDEX liveops_operations_waiting ON liveops_operations (queued, row, kind, owner)
    WHERE state = 'waiting';
";

/// Lists are filtered by their indexes, and what is of a kind that they leave out is not read.
const FIFTH: &str = "
DROP INDEX liveops_operations_list;
CREATE INDEX liveops_operations_listed ON liveops_operations (owner, created DESC, row DESC, kind);
CREATE INDEX liveops_operations_state ON liveops_operations (owner, state, created DESC, row DESC, kind);
CREATE INDEX liveops_operations_kind ON liveops_operations (owner, kind, created DESC, row DESC);
";

/// Whether the run under way may be repeated, and how often that was done since somebody started the operation. When a
/// session was opened, all of which lasted 14 days, and last used: of those that are open now, that is taken to be now. And lists in the order in which operations came,
/// since a clock may be put back.
const SIXTH: &str = "
ALTER TABLE liveops_operations ADD COLUMN repeatable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE liveops_operations ADD COLUMN repeats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE liveops_sessions ADD COLUMN opened INTEGER NOT NULL DEFAULT 0;
ALTER TABLE liveops_sessions ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
UPDATE liveops_sessions
SET opened = expires - 14 * 86400 * 1000000, used = CAST(strftime('%s', 'now') AS INTEGER) * 1000000;
DROP INDEX liveops_operations_listed;
DROP INDEX liveops_operations_state;
DROP INDEX liveops_operations_kind;
CREATE INDEX liveops_operations_listed ON liveops_operations (owner, row DESC, kind);
CREATE INDEX liveops_operations_state ON liveops_operations (owner, state, row DESC, kind);
CREATE INDEX liveops_operations_kind ON liveops_operations (owner, kind, row DESC);
";

/// How often a run was put back because its process was stopped in order: `repeats` counts deaths only.
const SEVENTH: &str = "
ALTER TABLE liveops_operations ADD COLUMN stops INTEGER NOT NULL DEFAULT 0;
";

/// In place of a version that no program of ours ever wrote.
const ODD: i64 = -1;

/// The version of the tables in the file; 0 where there are none, below 0 where what stands there is none.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'liveops_meta'";
    if connection.query_row(sql, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let sql = "SELECT value FROM liveops_meta WHERE key = 'version'";
    Ok(match connection.query_row(sql, [], |row| row.get(0)).optional()? {
        Some(Value::Integer(version @ 1..)) => version,
        _ => ODD,
    })
}

/// Takes the steps that the file lacks, in one transaction. Returns the version that it has now:
/// another one than [`KNOWN`] when a newer program was faster, and then nothing was changed.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<i64> {
    if version(connection)? == KNOWN {
        return Ok(KNOWN);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let Some(steps) = usize::try_from(found).ok().and_then(|found| STEPS.get(found..)) else {
        return Ok(found);
    };
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS liveops_meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    )?;
    for step in steps {
        transaction.execute_batch(step)?;
    }
    transaction
        .execute("INSERT OR REPLACE INTO liveops_meta (key, value) VALUES ('version', ?1)", [KNOWN])?;
    transaction.commit()?;
    Ok(KNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_of_the_first_version_are_known_afterwards() {
        let mut connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch(FIRST).expect("the first step");
        let meta = "CREATE TABLE liveops_meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
                    INSERT INTO liveops_meta VALUES ('version', 1);";
        connection.execute_batch(meta).expect("the version");
        let name = "x".repeat(43);
        let insert = "INSERT INTO liveops_operations
                          (id, kind, owner, title, input, state, attempt, claim, created, queued)
                      VALUES (?1, 'k', 'o', 't', ?2, 'waiting', 1, 0, 0, 0)";
        let input =
            format!(r#"{{"file":{{"path":"/srv/liveops.db-uploads/{name}","name":"a.csv","size":3}}}}"#);
        connection.execute(insert, ["a", &input]).expect("an upload");
        connection.execute(insert, ["b", r#"{"path":"/operations","steps":3}"#]).expect("none");
        assert_eq!(migrate(&mut connection), Ok(KNOWN));
        let read = "SELECT name, operation FROM liveops_uploads";
        let mut statement = connection.prepare(read).expect("the table");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>().expect("rows");
        assert_eq!(rows, [(name, "a".to_owned())]);
        drop(statement);
        assert_eq!(migrate(&mut connection), Ok(KNOWN), "once is enough");
    }

    #[test]
    fn sessions_of_the_fifth_version_count_as_used_now() {
        let mut connection = Connection::open_in_memory().expect("memory");
        connection
            .execute_batch(
                "CREATE TABLE liveops_meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
            )
            .expect("the version's table");
        for step in &STEPS[..5] {
            connection.execute_batch(step).expect("a step");
        }
        let insert = "INSERT INTO liveops_meta VALUES ('version', 5);
                      INSERT INTO liveops_users VALUES ('u', 'u', '[]', 0, NULL, 0);
                      INSERT INTO liveops_sessions (digest, user_id, expires) VALUES (x'00', 'u', 7)";
        connection.execute_batch(insert).expect("a session");
        let now = || jiff::Timestamp::now().as_microsecond();
        let before = now();
        assert_eq!(migrate(&mut connection), Ok(KNOWN));
        let read = "SELECT expires, used FROM liveops_sessions";
        let (expires, used): (i64, i64) =
            connection.query_row(read, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("it is there");
        // To the second.
        assert!(expires == 7 && (before - 1_000_000..=now()).contains(&used), "{used}");
    }
}

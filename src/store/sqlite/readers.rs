//! A pool of connections that read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::fault::Fault;
use super::open::open_reader;
use super::place::Place;
use crate::store::{StoreError, StoreResult};

/// Most queries that read at once.
const MOST: usize = 4;

/// Connections, opened when they are needed and kept.
pub(super) struct Readers {
    places: Arc<Semaphore>,
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    place: Arc<Place>,
    /// Guards the connections that nobody uses.
    idle: Mutex<Vec<Connection>>,
    /// Guards the connection that tells whether something changed; the number is its own.
    watching: Mutex<Option<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, place: Arc<Place>) -> Self {
        let pool = Pool { path, place, idle: Mutex::default(), watching: Mutex::default() };
        Self { places: Arc::new(Semaphore::new(MOST)), pool: Arc::new(pool) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.pool.path
    }

    /// A number that changes with each commit of any other connection to the file.
    pub(super) async fn version(&self) -> StoreResult<i64> {
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            pool.place.check()?;
            let mut watching = pool.watching.lock();
            let connection = watching.take().map_or_else(|| open_reader(&pool.path), Ok)?;
            let version = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            *watching = Some(connection);
            Ok::<_, Fault>(version)
        });
        match reading.await {
            Ok(result) => result.map_err(Fault::of_read),
            Err(error) => Err(StoreError::Failed(error.into())),
        }
    }

    /// Does `query` on a thread that may block.
    pub(super) async fn read<T, F>(&self, query: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|error| StoreError::Failed(error.into()))?;
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            // The place goes with the query, which runs on when its caller has given up.
            let _place = place;
            pool.place.check()?;
            let idle = pool.idle.lock().pop();
            let connection = idle.map_or_else(|| open_reader(&pool.path), Ok)?;
            let result = query(&connection);
            // One that failed may be of a file that is no longer there.
            if result.is_ok() {
                pool.idle.lock().push(connection);
            }
            result
        });
        match reading.await {
            Ok(result) => result.map_err(Fault::of_read),
            Err(error) => Err(StoreError::Failed(error.into())),
        }
    }
}

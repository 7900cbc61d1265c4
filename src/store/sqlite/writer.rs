//! The one thread that writes: it takes all that has gathered, does each job inside a savepoint,
//! commits once, and only then answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::{Fault, again};
use super::place::Place;
use crate::store::{StoreError, StoreResult};

/// Most jobs of one commit.
const TOGETHER: usize = 256;

/// Owner of the thread; dropped, it waits until the queued jobs are done.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Work>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, place: Arc<Place>) -> StoreResult<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("liveops-store".to_owned());
        let thread = thread
            .spawn(move || write(&connection, &place, &queue))
            .map_err(|error| StoreError::Failed(format!("no thread could be started: {error}").into()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does `work` in a transaction. What it returns arrives once that is committed; where it
    /// returns an error, nothing of it stays.
    pub(super) async fn write<T, F>(&self, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job { work: Some(work), result: None, reply });
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        let gone = || StoreError::Failed("the thread that writes has ended".into());
        if sent { answer.await.unwrap_or_else(|_| Err(gone())) } else { Err(gone()) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            // It catches the panics of its jobs, so there is none to pass on.
            let _ = thread.join();
        }
    }
}

/// A job of any type.
trait Work: Send {
    /// Does it and keeps what came out; false when that is an error.
    fn run(&mut self, connection: &Connection) -> bool;

    /// Tells what came out, or that its commit failed.
    fn answer(self: Box<Self>, failure: Option<&Fault>);
}

struct Job<T, F> {
    work: Option<F>,
    result: Option<Result<T, Fault>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T, F> Work for Job<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = catch_unwind(AssertUnwindSafe(|| work(connection)))
            .unwrap_or_else(|_| Err(Fault::stored("a write panicked")));
        self.result.insert(result).is_ok()
    }

    fn answer(self: Box<Self>, failure: Option<&Fault>) {
        // Even an error of the job's own may come from what the others of its commit did.
        let result = match failure {
            Some(fault) => Err(again(fault)),
            None => self.result.unwrap_or_else(|| Err(Fault::stored("a write was not done"))),
        };
        // Whoever asked may have given up.
        let _ = self.reply.send(result.map_err(Fault::of_write));
    }
}

fn write(connection: &Connection, place: &Place, queue: &mpsc::Receiver<Box<dyn Work>>) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(TOGETHER - 1));
        let begin = Instant::now();
        let failure = commit(connection, place, &mut batch).err();
        metrics::histogram!("liveops_commit_seconds").record(begin.elapsed());
        metrics::counter!("liveops_commits_total").increment(1);
        metrics::counter!("liveops_writes_total").increment(batch.len() as u64);
        if let Some(error) = &failure {
            tracing::error!(%error, jobs = batch.len(), "a commit failed");
            if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
                tracing::error!("the failed commit could not be rolled back");
            }
        }
        for job in batch {
            job.answer(failure.as_ref());
        }
    }
}

/// Does the jobs in one transaction. On an error nothing of any of them stays.
fn commit(connection: &Connection, place: &Place, batch: &mut [Box<dyn Work>]) -> Result<(), Fault> {
    let execute = |sql| -> rusqlite::Result<usize> { connection.prepare_cached(sql)?.execute([]) };
    execute("BEGIN IMMEDIATE")?;
    for job in batch {
        execute("SAVEPOINT liveops_job")?;
        if !job.run(connection) {
            // A full disk may have rolled back the whole transaction. This then says so, and what
            // follows is not written one by one.
            execute("ROLLBACK TO liveops_job")
                .map_err(|error| if connection.is_autocommit() { lost_transaction() } else { error })?;
        }
        execute("RELEASE liveops_job")?;
    }
    // Only now: what is answered is to be found by the next process, under the file's name.
    place.check()?;
    execute("COMMIT")?;
    Ok(())
}

fn lost_transaction() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    let text = "the disk is full or failing, and the whole transaction was rolled back";
    rusqlite::Error::SqliteFailure(code, Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().expect("an in-memory database");
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").expect("a table");
        Writer::start(connection, Arc::default()).expect("a thread")
    }

    async fn insert(writer: &Writer, n: i64) -> StoreResult<()> {
        writer.write(move |c| Ok(c.execute("INSERT INTO t VALUES (?1)", [n]).map(drop)?)).await
    }

    async fn count(writer: &Writer) -> i64 {
        let count = writer.write(|c| Ok(c.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?));
        count.await.expect("a count")
    }

    #[tokio::test]
    async fn a_panicking_job_leaves_nothing_and_harms_nobody() {
        let writer = writer();
        let panicking = writer.write(|connection| -> Result<(), Fault> {
            connection.execute("INSERT INTO t VALUES (1)", [])?;
            panic!("on purpose");
        });
        let (panicked, fine) = tokio::join!(panicking, insert(&writer, 2));
        assert!(matches!(panicked, Err(StoreError::Failed(_))), "{panicked:?}");
        fine.expect("the other job");
        assert_eq!(count(&writer).await, 1);
    }

    /// The jobs arrive while the thread is held up, so that they are in one commit.
    #[tokio::test]
    async fn a_lost_transaction_fails_every_job_of_it_and_the_thread_goes_on() {
        let writer = writer();
        let (begin, mut begun) = oneshot::channel();
        let (hold, held) = mpsc::channel::<()>();
        let mut blocker = std::pin::pin!(writer.write(move |_| {
            let _ = begin.send(());
            let _ = held.recv();
            Ok(())
        }));
        tokio::select! {
            biased;
            _ = &mut blocker => panic!("it is held up"),
            _ = &mut begun => {}
        }
        let rollback = writer.write(|connection| -> Result<(), Fault> {
            connection.execute_batch("ROLLBACK")?;
            Err(Fault::Sql(lost_transaction()))
        });
        let release = async move { drop(hold) };
        let (blocked, before, lost, after, ()) =
            tokio::join!(blocker, insert(&writer, 1), rollback, insert(&writer, 2), release);
        blocked.expect("the first commit");
        for result in [before, lost, after] {
            assert!(matches!(result, Err(StoreError::Unwritable(_))), "{result:?}");
        }
        assert_eq!(count(&writer).await, 0);
        insert(&writer, 3).await.expect("the thread goes on");
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn dropping_it_does_what_is_queued() {
        let writer = writer();
        let (done, finished) = mpsc::channel();
        {
            let job = writer.write(move |_| Ok(done.send(()).is_ok()));
            tokio::select! {
                biased;
                _ = job => {}
                () = std::future::ready(()) => {}
            }
        }
        drop(writer);
        finished.try_recv().expect("the job was done");
    }
}

//! The terminal or pipe on which a followed operation is shown. A thread of its own writes to it: a pipe
//! that nobody reads, or a terminal that was stopped, holds that thread and nothing else.

use std::io::{IsTerminal as _, Write, stderr, stdout};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::screen::{Form, Look, Screen};

/// What is left to be written may take so long when the process ends early: it may never be read.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where an operation is shown: bars in a terminal, lines or JSON elsewhere.
///
/// Whoever hands over something waits until it is written before handing over more, so that what waits
/// stays small.
#[derive(Clone)]
pub(super) struct Terminal {
    /// The way to the thread, which begins with the first job.
    jobs: Arc<OnceLock<mpsc::Sender<Handed>>>,
    form: Form,
}

/// A job, and whom to tell that it is done.
type Handed = (Job, oneshot::Sender<()>);

/// What is to be written.
enum Job {
    Look(Box<Look>),
    /// Bytes for stderr.
    Beside(Vec<u8>),
    /// The end: nothing may be left half drawn.
    Clear,
}

impl Terminal {
    /// Bars in a terminal, lines elsewhere.
    pub(super) fn new() -> Self {
        let has_bars = stdout().is_terminal() && !console::is_dumb();
        Self { jobs: Arc::default(), form: if has_bars { Form::Bars } else { Form::Lines } }
    }

    /// JSON objects, wherever that goes.
    pub(super) fn of_objects() -> Self {
        Self { jobs: Arc::default(), form: Form::Objects }
    }

    /// Shows an operation; returns once that is written.
    pub(super) async fn show(&self, look: Look) {
        // Without a thread there is nothing to wait for.
        let _ = self.hand_over(Job::Look(Box::new(look))).await;
    }

    /// Says something to the person on stderr. What is returned need not be waited for.
    pub(super) fn note(&self, text: &str) -> impl Future<Output = ()> + use<> {
        let text = format!("{text}\n").into_bytes();
        let written = if self.shares_stderr() {
            self.hand_over(Job::Beside(text))
        } else {
            // Not behind what stdout holds up.
            let (done, written) = oneshot::channel();
            std::thread::spawn(move || {
                let _ = stderr().write_all(&text);
                let _ = done.send(());
            });
            written
        };
        async {
            let _ = tokio::time::timeout(LAST_WORDS, written).await;
        }
    }

    /// Leaves the terminal tidy, where it can still be written.
    pub(super) async fn finish(&self) {
        let _ = tokio::time::timeout(LAST_WORDS, self.hand_over(Job::Clear)).await;
    }

    /// The way for log lines to stderr, where they would tear bars.
    pub(super) fn log(&self) -> Option<Box<dyn Write + Send>> {
        self.shares_stderr().then(|| Box::new(Above(self.clone())) as _)
    }

    /// Whether stderr is a terminal in which bars are drawn.
    fn shares_stderr(&self) -> bool {
        self.form == Form::Bars && stderr().is_terminal()
    }

    fn hand_over(&self, job: Job) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let jobs = self.jobs.get_or_init(|| {
            let (jobs, queue) = mpsc::channel();
            let form = self.form;
            let thread = std::thread::Builder::new().name("liveops-terminal".to_owned());
            if let Err(error) = thread.spawn(move || write(&queue, Screen::new(form))) {
                tracing::error!(%error, "nothing can be shown: no thread could be started");
            }
            jobs
        });
        let _ = jobs.send((job, done));
        written
    }
}

fn write(queue: &mpsc::Receiver<Handed>, mut screen: Screen) {
    loop {
        match queue.recv_timeout(screen.rest()) {
            Ok((job, done)) => {
                match job {
                    Job::Look(look) => screen.show(&look),
                    Job::Beside(bytes) => screen.beside(&bytes),
                    Job::Clear => screen.clear(),
                }
                // Whoever asked may have given up.
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => screen.tick(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Log lines on their way to stderr, above the bars.
struct Above(Terminal);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.hand_over(Job::Beside(bytes.to_vec())).blocking_recv().is_err() {
            stderr().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! A command in a terminal that one can look at, type into and make narrower.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use pty_process::Size;
use pty_process::blocking::{Command, Pty};

use super::until;

/// A terminal with a command of the binary in it, which is killed when this is dropped.
pub(crate) struct Tty {
    pub(crate) child: Child,
    pty: Arc<Pty>,
    /// What stands in it; lines that grow too long are wrapped anew when the width changes.
    terminal: Arc<Mutex<avt::Terminal>>,
    /// What came, as it came.
    raw: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Tty {
    /// Starts a command in a terminal of so many columns, after `keys` were typed.
    pub(crate) fn start(folder: &Path, words: &[&str], columns: u16, keys: &str) -> Self {
        const ROWS: u16 = 20;
        let (pty, pts) = pty_process::blocking::open().expect("a terminal");
        pty.resize(Size::new(ROWS, columns)).expect("its size is set");
        (&pty).write_all(keys.as_bytes()).expect("it takes keys");
        let mut command = Command::new(env!("CARGO_BIN_EXE_liveops")).args(words).current_dir(folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LIVEOPS_") {
                command = command.env_remove(name);
            }
        }
        let database = folder.join("liveops.db");
        let command = command.env("LIVEOPS_DATABASE", database).env("TERM", "xterm-256color");
        let child = command.spawn(pts).expect("the binary starts");
        let terminal = avt::Terminal::with_scrollback(columns.into(), ROWS.into(), None).expect("a size");
        let (pty, terminal, raw) = (Arc::new(pty), Arc::new(Mutex::new(terminal)), Arc::default());
        let reader = std::thread::spawn({
            let (pty, terminal, raw) = (Arc::clone(&pty), Arc::clone(&terminal), Arc::clone(&raw));
            move || read(&pty, &terminal, &raw)
        });
        Self { child, pty, terminal, raw, reader }
    }

    /// Types.
    pub(crate) fn keys(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("it takes keys");
    }

    /// Makes it wider or narrower.
    pub(crate) fn resize(&self, columns: u16) {
        let mut terminal = self.terminal.lock().expect("no panic");
        let (_, rows) = terminal.size();
        terminal.resize(columns.into(), rows);
        let rows = u16::try_from(rows).expect("few rows");
        self.pty.resize(Size::new(rows, columns)).expect("its size is set");
    }

    /// Whether what is typed is shown.
    pub(crate) fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&*self.pty).expect("its modes");
        modes.local_modes.contains(rustix::termios::LocalModes::ECHO)
    }

    /// Everything in it that is not empty, wrapped lines in one.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.terminal.lock().expect("no panic").screen().text();
        lines.retain(|line| !line.is_empty());
        lines
    }

    /// What came so far, with the sequences that control the terminal.
    pub(crate) fn raw(&self) -> String {
        self.raw.lock().expect("no panic").clone()
    }

    /// Waits until there are such lines in it.
    pub(crate) async fn shows(&self, what: &str, is_there: impl Fn(&[String]) -> bool) -> Vec<String> {
        until(what, async || Some(self.lines()).filter(|lines| is_there(lines))).await
    }

    /// Waits for the command's end and for all that it wrote; its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let status = until("its exit", async || self.child.try_wait().expect("it is ours")).await;
        until("its last words", async || self.reader.is_finished().then_some(())).await;
        status.code()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the terminal shows\n{}", self.lines().join("\n"));
        }
    }
}

/// Reads until the command is gone.
fn read(mut pty: &Pty, terminal: &Mutex<avt::Terminal>, raw: &Mutex<String>) {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = pty.read(&mut piece) {
        bytes.extend_from_slice(&piece[..length]);
        // A character may come in two pieces.
        let whole = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text: Vec<u8> = bytes.drain(..whole).collect();
        let text = String::from_utf8(text).expect("checked above");
        raw.lock().expect("no panic").push_str(&text);
        terminal.lock().expect("no panic").feed(text.as_str());
    }
}

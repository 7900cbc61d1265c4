//! The real binary in a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use super::{Client, PATIENCE, soon};

/// A running server. It is killed when this is dropped; after a failure its stderr is shown.
pub(crate) struct Server {
    child: Child,
    /// Shared with the servers before and after a restart.
    folder: Arc<TempDir>,
    settings: Vec<(String, String)>,
    command: &'static str,
    /// Keeps the port for the next server on it.
    port: Arc<TcpSocket>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The path of the login link that it printed; empty where it prints none.
    pub(crate) login_link: String,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

/// A command of the binary for the database in `folder`, without settings from outside.
pub(crate) fn liveops(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liveops"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LIVEOPS_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("LIVEOPS_DATABASE", folder.join("liveops.db"));
    command
}

/// A port that stays this test's when nobody listens there: bound but not listening itself, with SO_REUSEADDR as servers have it,
/// it lets a server listen and gives the port to nobody else.
fn keep_port() -> Arc<TcpSocket> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a setting");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    Arc::new(socket)
}

/// Runs a command to its end with `input` as its stdin. One that goes on, as where it should have been refused, is killed.
pub(crate) fn finish(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (id, input) = (child.id().to_string(), input.to_owned());
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // One that does not read its input closes the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let _ = sender.send(child.wait_with_output());
    });
    let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let killed = Command::new("kill").args(["-KILL", &id]).status();
        panic!(
            "waited {PATIENCE:?} in vain for the end of {command:?}; killed: {killed:?}; {:?}",
            ended.recv()
        )
    });
    output.expect("it ends")
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Stops a process (SIGSTOP) that has the database in `folder`, where it holds up nobody: in the middle of a commit it
/// has the database.
pub(crate) async fn stand_still(child: &Child, folder: &Path) {
    let database = rusqlite::Connection::open(folder.join("liveops.db")).expect("the database");
    database.busy_timeout(Duration::ZERO).expect("a setting");
    super::until("a moment between two commits", async || {
        signal(child, "-STOP");
        super::until("all of its threads to stop", async || is_still(child).then_some(())).await;
        let is_free = database.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok();
        if !is_free {
            signal(child, "-CONT");
        }
        is_free.then_some(())
    })
    .await;
}

/// Whether SIGSTOP has reached each of its threads, proc_pid_stat(5).
fn is_still(child: &Child) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("it runs, on Linux");
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    })
}

impl Server {
    /// A demo server with the defaults.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A demo server with settings, named as in the contract.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let folder = Arc::new(TempDir::with_prefix("liveops-test-").expect("a folder"));
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::launch("demo", folder, settings.collect(), keep_port(), false).await
    }

    /// `liveops serve` with settings; the secret key is among them.
    pub(crate) async fn serve(settings: &[(&str, &str)]) -> Self {
        let folder = Arc::new(TempDir::with_prefix("liveops-test-").expect("a folder"));
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::launch("serve", folder, settings.collect(), keep_port(), false).await
    }

    /// A demo server that logs as much as it can.
    pub(crate) async fn verbose(settings: &[(&str, &str)]) -> Self {
        let folder = Arc::new(TempDir::with_prefix("liveops-test-").expect("a folder"));
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::launch("demo", folder, settings.collect(), keep_port(), true).await
    }

    async fn launch(
        command: &'static str,
        folder: Arc<TempDir>,
        settings: Vec<(String, String)>,
        port: Arc<TcpSocket>,
        verbose: bool,
    ) -> Self {
        let listen = port.local_addr().expect("it is bound");
        let mut process = liveops(folder.path());
        for (name, value) in &settings {
            process.env(format!("LIVEOPS_{}", name.to_uppercase()), value);
        }
        if verbose {
            process.arg("-vv");
        }
        let mut child = process
            .env_remove("LIVEOPS_DATABASE")
            .args([command, "--listen", &listen.to_string(), "--database"])
            .arg(folder.path().join("liveops.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let mut lines = collect(child.stdout.take().expect("a pipe"), &stdout);
        collect(child.stderr.take().expect("a pipe"), &stderr);
        let mut server = Self {
            child,
            folder,
            settings,
            command,
            port,
            address: ([0, 0, 0, 0], 0).into(),
            login_link: String::new(),
            stdout,
            stderr,
        };
        let has_link = command == "demo";
        soon("the server's address and login link on stdout", async {
            while server.address.port() == 0 || (has_link && server.login_link.is_empty()) {
                let line =
                    lines.recv().await.unwrap_or_else(|| panic!("the server ended: {}", server.said()));
                if let Some(address) = line.strip_prefix("listening on http://") {
                    server.address = address.trim_end_matches('/').parse().expect("an address");
                }
                if let Some(at) = line.find("/login/link/") {
                    let link = line[at..].split_whitespace().next().expect("a link");
                    server.login_link = link.to_owned();
                }
            }
        })
        .await;
        server
    }

    /// Another demo server on the same database, with the same settings.
    pub(crate) async fn second(&self) -> Self {
        Self::launch("demo", Arc::clone(&self.folder), self.settings.clone(), keep_port(), false).await
    }

    /// A server on a copy of this one's database with its uploads, in a folder of its own; this one has ended.
    pub(crate) async fn copied(&self) -> Self {
        let folder = Arc::new(TempDir::with_prefix("liveops-test-").expect("a folder"));
        for part in ["", "liveops.db-uploads"] {
            let to = folder.path().join(part);
            fs::create_dir_all(&to).expect("a folder");
            for entry in fs::read_dir(self.folder().join(part)).expect("a folder").flatten() {
                let name = entry.file_name();
                if entry.path().is_file() && !name.to_string_lossy().starts_with("csv-import-") {
                    fs::copy(entry.path(), to.join(name)).expect("it is copied");
                }
            }
        }
        Self::launch(self.command, folder, self.settings.clone(), keep_port(), false).await
    }

    /// A server on the same database that has no kinds, so that it runs nothing; both have to have the
    /// same secret key among their settings.
    pub(crate) async fn watching(&self) -> Self {
        Self::launch("serve", Arc::clone(&self.folder), self.settings.clone(), keep_port(), false).await
    }

    /// The folder of the database.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The demo user, signed in by the printed link.
    pub(crate) async fn demo_user(&self) -> Client {
        let client = Client::new(self.address);
        client.use_link(&self.login_link).await;
        client
    }

    /// A new user with the password `<name> password`, signed in by the login page.
    pub(crate) async fn user(&self, name: &str) -> Client {
        self.user_with(name, &[]).await
    }

    /// The same, added with these flags.
    pub(crate) async fn user_with(&self, name: &str, flags: &[&str]) -> Client {
        let password = format!("{name} password");
        let mut command = liveops(self.folder());
        command.args(["user", "add", name, "--password-stdin"]).args(flags);
        let output = finish(command, &format!("{password}\n"));
        assert!(output.status.success(), "user add: {output:?}");
        let client = Client::new(self.address);
        let answer = client.log_in(name, &password).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        client
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A figure of the process's memory that the kernel keeps, such as `VmHWM`, in MiB.
    pub(crate) fn memory(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs, on Linux");
        let value = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        let value = value.unwrap_or_else(|| panic!("no {figure} in {status}"));
        let kib: u64 = value.trim().trim_end_matches(" kB").parse().expect("a number");
        kib / 1024
    }

    /// How many files the process has open.
    pub(crate) fn open_files(&self) -> u64 {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs, on Linux");
        files.count() as u64
    }

    /// Lets the process have so many files open from now on.
    pub(crate) fn limit_files(&self, most: u64) {
        let limit = format!("--nofile={most}:{most}");
        let set = Command::new("prlimit").args(["--pid", &self.child.id().to_string(), &limit]).status();
        assert!(set.expect("prlimit runs").success());
    }

    /// Everything that it wrote so far to stdout and stderr.
    pub(crate) fn said(&self) -> String {
        let stdout = self.stdout.lock().expect("no panic");
        let stderr = self.stderr.lock().expect("no panic");
        format!("stdout:\n{stdout}\nstderr:\n{stderr}")
    }

    /// kill -9, and a new server on the same database and port.
    pub(crate) async fn kill_and_restart(mut self) -> Self {
        self.kill();
        self.again().await
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// A new server on the same database and port; this one has ended.
    pub(crate) async fn again(self) -> Self {
        let port = Arc::clone(&self.port);
        Self::launch(self.command, Arc::clone(&self.folder), self.settings.clone(), port, false).await
    }

    /// A new server on the same database and port with other settings; this one has ended.
    pub(crate) async fn with_settings(mut self, settings: &[(&str, &str)]) -> Self {
        self.settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.again().await
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Stops it (SIGSTOP) where it holds up nobody.
    pub(crate) async fn stand_still(&self) {
        stand_still(&self.child, self.folder()).await;
    }

    /// SIGTERM; the exit status and how long it took.
    pub(crate) async fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.signal("-TERM");
        self.exit().await
    }

    /// The exit status, and how long it was waited for.
    pub(crate) async fn exit(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        let status = super::until("the server's exit", async || self.exited()).await;
        (status, begin.elapsed())
    }

    /// The exit status, where it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server wrote to {}", self.said());
        }
    }
}

/// Gathers a pipe's text, and gives its lines as they come.
pub(crate) fn collect(
    pipe: impl Read + Send + 'static,
    text: &Arc<Mutex<String>>,
) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let text = Arc::clone(text);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            text.lock().expect("no panic").push_str(&format!("{line}\n"));
            let _ = sender.send(line);
        }
    });
    receiver
}

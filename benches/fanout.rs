//! Watchers of one operation, against the real binary:
//! `cargo bench --bench fanout -- [WATCHERS [UPDATES_PER_SECOND [SECONDS]]]`, by default 1000 10 8.
//!
//! It starts a demo server on a fresh database, opens that many streams of one simulation, whose
//! status carries the time at which it was set, and reads them all in this process: the two share
//! the machine, so the latency counts both. A delivery is one flush that reached one watcher. CPU
//! is the server's alone, and so is memory: how much more of it (Pss) there is with the streams
//! open. It reads /proc, so it needs Linux.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The kernel's unit of CPU time in /proc, the same on all Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The server; killed when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default).max(1);
    let (watchers, rate, seconds) = (number(0, 1000), number(1, 10), number(2, 8));
    check_limit(watchers + 100)?;

    let folder = tempfile::tempdir()?;
    let (server, address, link) = start(folder.path(), rate)?;
    let session = Session::sign_in(address, &link).await?;
    // Long enough for opening the streams too; it dies with the server.
    let id = session.simulate(rate, 1000 / rate).await?;
    let page = session.get(&format!("/operations/{id}")).await?;
    let token = between(&page, "data-liveop-token=\"", "\"").ok_or("the operation is not running")?;
    let head = format!(
        "GET /stream?token={token} HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\n\r\n",
        session.cookies
    );

    let before = pss(&server)?;
    let counting = Arc::new(AtomicBool::new(false));
    let over = tokio_util::sync::CancellationToken::new();
    let mut readers = Vec::new();
    for _ in 0..watchers {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        readers.push(tokio::spawn(read(stream, Arc::clone(&counting), over.clone())));
    }
    // Every stream has its first state by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = pss(&server)?.saturating_sub(before);
    let cpu = cpu_seconds(&server)?;
    counting.store(true, Ordering::Release);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    counting.store(false, Ordering::Release);
    let cpu = cpu_seconds(&server)? - cpu;
    over.cancel();

    let mut latencies = Vec::new();
    for reader in readers {
        latencies.append(&mut reader.await??);
    }
    latencies.sort_unstable();
    let deliveries = latencies.len();
    if deliveries == 0 {
        return Err("nothing arrived".into());
    }
    let at = |percent: usize| latencies[(deliveries * percent / 100).min(deliveries - 1)] as f64 / 1000.0;
    println!("{watchers} watchers, {rate} updates a second, {seconds} s");
    println!("deliveries      {deliveries} of {}", watchers * rate * seconds);
    println!("latency         p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", at(50), at(99), at(100));
    println!("server CPU      {:.1} s for a million deliveries", cpu / deliveries as f64 * 1e6);
    println!("                {:.0} % of one core", cpu / seconds as f64 * 100.0);
    println!("server memory   {} bytes for each watcher", memory / watchers);
    Ok(())
}

/// Reads a stream until all is over, and gives the age of each status that arrived while counting.
async fn read(
    mut stream: TcpStream,
    counting: Arc<AtomicBool>,
    over: tokio_util::sync::CancellationToken,
) -> Result<Vec<u64>, Failure> {
    const MARK: &[u8] = b" ts=";
    const DIGITS: usize = 16;
    let (mut buffer, mut latencies) = (Vec::with_capacity(16 * 1024), Vec::new());
    loop {
        tokio::select! {
            () = over.cancelled() => return Ok(latencies),
            read = stream.read_buf(&mut buffer) => if read? == 0 {
                return Err(format!("a stream ended: {}", String::from_utf8_lossy(&buffer)).into());
            },
        }
        let now = micros();
        let mut rest = 0;
        while let Some(at) = buffer[rest..].windows(MARK.len()).position(|window| window == MARK) {
            let from = rest + at + MARK.len();
            let Some(digits) = buffer.get(from..from + DIGITS) else { break };
            rest = from + DIGITS;
            let stamp: u64 = std::str::from_utf8(digits)?.parse()?;
            if counting.load(Ordering::Acquire) {
                latencies.push(now.saturating_sub(stamp));
            }
        }
        // A stamp may be cut in two.
        let keep = (buffer.len() - rest).min(MARK.len() + DIGITS - 1);
        buffer.drain(..buffer.len() - keep);
    }
}

/// A demo server on a free port, and its login link.
fn start(folder: &std::path::Path, rate: u64) -> Result<(Server, SocketAddr, String), Failure> {
    let child = Command::new(env!("CARGO_BIN_EXE_liveops"))
        .args(["demo", "--listen", "127.0.0.1:0", "--throttle-hz", &rate.to_string(), "--database"])
        .arg(folder.join("liveops.db"))
        .env("LIVEOPS_STREAMS_PER_USER", "1000000")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut server = Server(child);
    let stdout = server.0.stdout.take().ok_or("no pipe")?;
    let mut address = None;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if let Some(text) = line.strip_prefix("listening on http://") {
            address = Some(text.parse()?);
        }
        if let (Some(at), Some(address)) = (line.find("/login/link/"), address) {
            return Ok((server, address, line[at..].to_owned()));
        }
    }
    Err("the server did not start".into())
}

/// Somebody who is signed in.
struct Session {
    http: reqwest::Client,
    site: String,
    cookies: String,
}

impl Session {
    async fn sign_in(address: SocketAddr, link: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.cookie_store(true).no_proxy().build()?;
        let mut session = Self { http, site: format!("http://{address}"), cookies: String::new() };
        let answer = session.post(link, link, &[]).await?;
        let cookies = answer.headers().get_all("set-cookie").iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        session.cookies = cookies.collect::<Vec<_>>().join("; ");
        Ok(session)
    }

    /// Starts a simulation of an hour and gives its id.
    async fn simulate(&self, rate: u64, delay_ms: u64) -> Result<String, Failure> {
        let (steps, delay) = ((rate * 3600).min(1_000_000).to_string(), delay_ms.to_string());
        let fields = [
            ("steps", steps.as_str()),
            ("delay_ms", &delay),
            ("log_every", "0"),
            ("message", "bench"),
            ("outcome", "ok"),
            ("stages", "0"),
            ("chain", "0"),
            ("stamp", "on"),
        ];
        let form = "/operations/new/simulate";
        let answer = self.post(form, form, &fields).await?;
        let location = answer.headers().get("location").ok_or("the simulation was not started")?;
        Ok(location.to_str()?.trim_start_matches("/operations/").to_owned())
    }

    async fn get(&self, path: &str) -> Result<String, Failure> {
        Ok(self.http.get(format!("{}{path}", self.site)).send().await?.text().await?)
    }

    /// Posts a form with the token of the page that shows it.
    async fn post(
        &self,
        page: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<reqwest::Response, Failure> {
        let html = self.get(page).await?;
        let form = html.find(&format!("action=\"{path}\"")).map_or(&*html, |at| &html[at..]);
        let csrf = between(form, "name=\"csrf_token\" value=\"", "\"").ok_or("no form")?;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("csrf_token", csrf).extend_pairs(fields);
        let request = self.http.post(format!("{}{path}", self.site));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Ok(request.body(body.finish()).send().await?)
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(value, _)| value)
}

fn micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// CPU that the server has used so far, its own and the kernel's for it.
fn cpu_seconds(server: &Server) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.0.id()))?;
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th after it.
    let numbers: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| numbers.get(index).and_then(|number| number.parse::<f64>().ok());
    Ok((ticks(11).ok_or("no CPU time")? + ticks(12).ok_or("no CPU time")?) / TICKS_PER_SECOND)
}

/// The server's memory in bytes; what it shares with others counts by its part.
fn pss(server: &Server) -> Result<u64, Failure> {
    let path = format!("/proc/{}/smaps_rollup", server.0.id());
    let figures = std::fs::read_to_string(path)?;
    let kib = between(&figures, "\nPss:", "kB").ok_or("no Pss")?.trim().parse::<u64>()?;
    Ok(kib * 1024)
}

/// Each watcher takes an open file here and one in the server.
fn check_limit(needed: u64) -> Result<(), Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let soft = between(&limits, "Max open files", "files").and_then(|text| text.split_whitespace().next());
    match soft.and_then(|soft| soft.parse::<u64>().ok()) {
        Some(soft) if soft < needed => {
            Err(format!("only {soft} files may be open: say `ulimit -n {needed}` first").into())
        }
        _ => Ok(()),
    }
}

//! What `run` and `watch` look like in a real terminal.

use crate::harness::{Server, Tty, signal, until};

/// Starts a run that lasts, without the words that tests are about.
fn long_run(server: &Server, message: &str, columns: u16, keys: &str) -> Tty {
    let message = format!("message={message}");
    let words = [
        "run",
        "simulate",
        "--field",
        "steps=1000",
        "--field",
        "delay_ms=50",
        "--field",
        "log_every=0",
        "--field",
        &message,
    ];
    Tty::start(server.folder(), &words, columns, keys)
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn the_figures_that_matter_stay_in_a_narrow_terminal() {
    let server = Server::start().await;
    let mut tty = long_run(&server, "Reading", 40, "");
    tty.shows("percent and count", |lines| count(lines, " % (") == 1 && count(lines, " of 1000 steps)") == 1)
        .await;
    tty.keys("\x03");
    assert_eq!(tty.ended().await, Some(130));
}

#[tokio::test]
async fn the_stage_has_a_bar_of_its_own_below_the_whole() {
    let server = Server::start().await;
    let mut words = vec!["run", "simulate"];
    for field in ["steps=1000", "delay_ms=50", "log_every=0", "stages=2"] {
        words.extend(["--field", field]);
    }
    let mut tty = Tty::start(server.folder(), &words, 80, "");
    let is_bar = |line: &str, figures: &str| line.starts_with('━') && line.contains(figures);
    tty.shows("both bars", |lines| match lines {
        [.., what, whole, stage] => {
            what.contains("Running · Working")
                && is_bar(whole, " %, ")
                && whole.contains(" so far")
                && is_bar(stage, " Stage 1 (1 of 2): ")
                && stage.contains(" of 500 steps)")
        }
        _ => false,
    })
    .await;
    tty.resize(20);
    tty.shows(
        "the percentages, as they fit",
        |lines| matches!(lines, [.., whole, stage] if is_bar(whole, " %") && stage.starts_with("Stage 1: ")),
    )
    .await;
    tty.keys("\x03");
    assert_eq!(tty.ended().await, Some(130));
    assert_eq!(count(&tty.lines(), "Stage 1"), 0, "{:#?}", tty.lines());
}

#[tokio::test]
async fn what_failed_is_counted_in_a_narrow_terminal_too() {
    let server = Server::start().await;
    let file = server.folder().join("a.csv");
    // More than are read before the keys come.
    let rows = "1,2\n".repeat(2_000_000);
    std::fs::write(&file, format!("a,b\n3\n{rows}")).expect("it is written");
    let field = format!("file={}", file.display());
    let mut tty = Tty::start(server.folder(), &["run", "csv_import", "--field", &field], 20, "");
    tty.shows("the count", |lines| lines.iter().any(|line| line.ends_with(" %, 1 failed"))).await;
    tty.keys("\x03");
    assert_eq!(tty.ended().await, Some(130));
    let lines = tty.lines();
    assert_eq!(count(&lines, "failed row: line 2: "), 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("\u{2715} cancelled") && line.ends_with(" 1 failed)")));
}

#[tokio::test]
async fn log_lines_come_above_the_bars() {
    let server = Server::start().await;
    let words = ["-v", "run", "simulate", "--field", "steps=40", "--field", "delay_ms=50"];
    // Wide enough that no line is wrapped.
    let mut tty = Tty::start(server.folder(), &words, 400, "");
    assert_eq!(tty.ended().await, Some(0));
    let lines = tty.lines();
    assert!(count(&lines, " INFO ") >= 3, "{lines:#?}");
    for line in &lines {
        let is_log = line.starts_with("20") && line.contains("Z  INFO ");
        let others = ["operation ", "Working #", "\u{2713} succeeded", "message: ", "steps: "];
        assert!(is_log || others.iter().any(|begin| line.starts_with(begin)), "{line:?} in {lines:#?}");
    }
}

#[tokio::test]
async fn nothing_is_left_behind_in_a_narrower_terminal_or_by_an_interrupt() {
    let server = Server::start().await;
    let mut tty = long_run(&server, "Reading the rows of a file whose name is far too long", 100, "");
    tty.shows("the bars", |lines| count(lines, " % (") == 1).await;
    for columns in [60, 35, 90, 30] {
        tty.resize(columns);
        tty.shows("the bars, once and as they fit", |lines| {
            let is_once = |text| count(lines, text) == 1;
            let fits =
                |text| lines.iter().any(|line| line.contains(text) && line.chars().count() < columns.into());
            is_once("operation ") && ["Running", " % ("].into_iter().all(|text| is_once(text) && fits(text))
        })
        .await;
    }
    tty.keys("\x03");
    assert_eq!(tty.ended().await, Some(130));
    let lines = tty.lines();
    for left in ["Running", " % (", "^C"] {
        assert_eq!(count(&lines, left), 0, "{lines:#?}");
    }
    assert_eq!((count(&lines, "Once more"), count(&lines, "\u{2715} cancelled")), (1, 1), "{lines:#?}");
}

#[tokio::test]
async fn a_stopped_terminal_holds_no_interrupt() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut tty = long_run(&server, "Reading", 80, "\x13");
    let id = client.first_operation().await;
    client.reaches(&id, "running").await;
    signal(&tty.child, "-INT");
    assert_eq!(tty.ended().await, Some(130));
    assert_eq!(client.page(&id).await.state, "cancelled");
    assert!(tty.lines().is_empty(), "it was stopped all the while: {:?}", tty.lines());
}

#[tokio::test]
async fn a_terminal_that_is_closed_cancels_what_runs_in_it() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let (terminal, inside) = pty_process::blocking::open().expect("a terminal");
    let words = ["run", "simulate", "--field", "steps=1", "--field", "delay_ms=60000"];
    let command = pty_process::blocking::Command::new(env!("CARGO_BIN_EXE_liveops"));
    let command = command.args(words).current_dir(server.folder());
    let mut run = command.spawn(inside).expect("the binary starts");
    let id = client.first_operation().await;
    client.reaches(&id, "running").await;
    drop(terminal);
    let status = until("its exit", async || run.try_wait().expect("it is ours")).await;
    assert_eq!(status.code(), Some(130), "{status:?}");
    assert_eq!(client.page(&id).await.state, "cancelled");
}

/// As nohup(1) starts it.
#[tokio::test]
async fn what_is_to_outlive_its_terminal_does() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let mut command = std::process::Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_liveops")).current_dir(server.folder());
    command.args(["run", "simulate", "--field", "steps=100000", "--field", "delay_ms=20"]);
    let (stdin, none) = (std::process::Stdio::null(), std::process::Stdio::null);
    let mut run = command.stdin(stdin).stdout(none()).stderr(none()).spawn().expect("nohup is there");
    let id = client.first_operation().await;
    client.reaches(&id, "running").await;
    signal(&run, "-HUP");
    // It goes on until somebody else ends it; what a signal ends has another exit code.
    assert_eq!(client.command(&id, "cancel").await.status, 303);
    let status = until("its exit", async || run.try_wait().expect("it is ours")).await;
    assert_eq!(status.code(), Some(1), "{status:?}");
    assert_eq!(client.page(&id).await.state, "cancelled");
}

#[tokio::test]
async fn watching_shows_bars_too_and_can_be_left() {
    let server = Server::start().await;
    let client = server.demo_user().await;
    let id = client.simulate(&[("steps", "100000"), ("delay_ms", "50")]).await;
    let mut tty = Tty::start(server.folder(), &["watch", &id], 80, "");
    tty.shows("the bars", |lines| count(lines, " % (") == 1).await;
    tty.keys("\x03");
    assert_eq!(tty.ended().await, Some(1));
    let lines = tty.lines();
    assert_eq!((count(&lines, " % ("), count(&lines, "goes on")), (0, 1), "{lines:#?}");
    assert_eq!(client.page(&id).await.state, "running");
}

/// The echo is off while a password is asked for, and on again whatever ends that.
#[tokio::test]
async fn an_interrupt_at_the_password_prompt_leaves_the_echo_on() {
    let server = Server::start().await;
    for word in ["-INT", "-TERM"] {
        let mut tty = Tty::start(server.folder(), &["user", "add", "ada"], 80, "");
        tty.shows("the prompt", |lines| count(lines, "Password:") == 1).await;
        until("no echo", async || (!tty.echoes()).then_some(())).await;
        signal(&tty.child, word);
        assert_eq!(tty.ended().await, Some(130), "{word}");
        assert!(tty.echoes(), "{word}");
    }
}

//! What a followed operation looks like in a terminal, and in a pipe.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use liveops::State;
use liveops::live::Snapshot;
use liveops::operation::Ending;
use liveops::progress::Text;
use liveops::projection::{Line, Projection, StageState};
use liveops::render::duration;
use serde_json::Value;

/// A pipe hears of progress at most this often, or at each tenth.
const PLAIN: Duration = Duration::from_secs(1);
/// Steps of the bar.
const FULL: u64 = 1000;

/// Where it is shown. Whoever reads it may go away; the operation goes on.
pub(super) struct Screen {
    bars: Option<Bars>,
    told: Told,
}

/// What a pipe was told last, so that it hears of changes only.
#[derive(Default)]
struct Told {
    operation: Option<String>,
    state: String,
    stage: String,
    status: String,
    progress: String,
    tenth: Option<u64>,
    at: Option<Instant>,
}

struct Bars {
    all: MultiProgress,
    /// State, stage and status.
    what: ProgressBar,
    /// How far.
    bar: ProgressBar,
}

impl Screen {
    /// Bars in a terminal, lines elsewhere.
    pub(super) fn new() -> Self {
        Self { bars: stdout().is_terminal().then(Bars::new), told: Told::default() }
    }

    /// Lines of the log, each in full.
    pub(super) fn lines(&self, lines: &[Line]) {
        let text: String = lines.iter().map(|line| format!("{}\n", line.text.as_str())).collect();
        self.print(&text);
    }

    /// The operation as it is now.
    pub(super) fn show(&mut self, seen: &Snapshot) {
        let id = seen.record.id.to_string();
        if self.told.operation.as_ref() != Some(&id) {
            self.told = Told { operation: Some(id.clone()), ..Told::default() };
            let title = Text::new(&seen.record.title);
            self.print(&format!("operation {id} {}: {}\n", seen.record.kind, title.as_str()));
        }
        match &self.bars {
            Some(bars) => bars.show(&seen.projection),
            None => self.tell(&seen.projection),
        }
    }

    /// How it ended.
    pub(super) fn end(&mut self, seen: &Snapshot, ending: &Ending) {
        if let Some(bars) = &self.bars {
            bars.clear();
        }
        let sign = match ending.state {
            _ if self.bars.is_none() => "",
            State::Succeeded => "✓ ",
            _ => "✕ ",
        };
        let took = seen.projection.elapsed_seconds().map(|took| (took >= 1.0, duration(took)));
        let after = match took {
            Some((true, took)) if ending.state == State::Succeeded => format!(" in {took}"),
            Some((true, took)) => format!(" after {took}"),
            _ => String::new(),
        };
        let message = ending.message.as_ref().map(|text| format!(": {}", text.as_str())).unwrap_or_default();
        self.print(&format!("{sign}{}{after}{message}\n", ending.state.as_str()));
        if let Some(result) = &ending.result {
            self.print(&result_lines(result, self.bars.is_some()));
        }
        if let Some(path) = &ending.redirect {
            self.print(&format!("leads on to {}\n", Text::new(path).as_str()));
        }
        if let Some(bars) = &mut self.bars {
            *bars = Bars::new();
        }
    }

    /// One line for each thing that changed.
    fn tell(&mut self, page: &Projection) {
        let state = match page.before() {
            Some(before) if page.state() == State::Waiting => format!("waiting: {before} before it"),
            _ => page.state().as_str().to_owned(),
        };
        // The ending has a line of its own.
        let state = if page.state().is_final() { self.told.state.clone() } else { state };
        let stage = current_stage(page).map(|(_, name)| name).unwrap_or_default();
        let status = page.status().text.as_str().to_owned();
        let mut text = String::new();
        for (told, now, name) in [
            (&mut self.told.state, state, ""),
            (&mut self.told.stage, stage, "stage: "),
            (&mut self.told.status, status, "status: "),
        ] {
            if *told != now && !now.is_empty() {
                text.push_str(&format!("{name}{now}\n"));
                *told = now;
            }
        }
        self.print(&text);
        self.tell_progress(page);
    }

    fn tell_progress(&mut self, page: &Projection) {
        let progress = progress(page);
        let tenth = page.overall_percent().map(|percent| percent as u64 / 10);
        let is_due = self.told.at.is_none_or(|at| at.elapsed() >= PLAIN) || tenth != self.told.tenth;
        if progress.is_empty() || progress == self.told.progress || !is_due {
            return;
        }
        self.print(&format!("progress: {progress}\n"));
        self.told.progress = progress;
        self.told.tenth = tenth;
        self.told.at = Some(Instant::now());
    }

    fn print(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.print(text),
            None => {
                let _ = stdout().lock().write_all(text.as_bytes());
            }
        }
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let what = all.add(ProgressBar::new_spinner());
        what.set_style(style("{spinner} {wide_msg}"));
        what.enable_steady_tick(Duration::from_millis(100));
        let bar = all.add(ProgressBar::new(FULL));
        bar.set_style(style("{wide_msg}"));
        Self { all, what, bar }
    }

    fn show(&self, page: &Projection) {
        let mut words = vec![page.state().word().to_owned()];
        if let Some(before) = page.before().filter(|_| page.state() == State::Waiting) {
            words.push(format!("{before} before it"));
        }
        if let Some((number, name)) = current_stage(page) {
            words.push(format!("{name} ({number} of {})", page.stages().iter().count()));
        }
        words.push(page.status().text.as_str().to_owned());
        words.retain(|word| !word.is_empty());
        self.what.set_message(words.join(" · "));
        match page.overall_percent() {
            Some(percent) => {
                self.bar.set_style(style("{bar:24.} {wide_msg}").progress_chars("━╸ "));
                self.bar.set_position((percent * 10.0) as u64);
            }
            None => self.bar.set_style(style("{wide_msg}")),
        }
        self.bar.set_message(progress(page));
    }

    fn print(&self, text: &str) {
        self.all.suspend(|| {
            let _ = stdout().lock().write_all(text.as_bytes());
        });
    }

    fn clear(&self) {
        self.what.finish_and_clear();
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The present stage's number from 1 and its name.
fn current_stage(page: &Projection) -> Option<(usize, String)> {
    let stages = page.stages().iter().enumerate();
    let mut current = stages.filter(|(_, stage)| stage.state == StageState::Current);
    current.next().map(|(index, stage)| (index + 1, stage.name.as_str().to_owned()))
}

/// "40 % (40 of 100 rows), 20/s, about 3 s left", as far as that is known.
fn progress(page: &Projection) -> String {
    let bar = page.bar();
    let seconds = page.count_seconds();
    let mut parts = Vec::new();
    let percent = page.overall_percent().map(|percent| format!("{} %", percent as u64));
    let unit = bar.unit().map(|unit| format!(" {}", unit.as_str())).unwrap_or_default();
    let count = bar.done().map(|done| match bar.total() {
        Some(total) => format!("{done} of {total}{unit}"),
        None => format!("{done}{unit}"),
    });
    match (percent, count) {
        (Some(percent), Some(count)) => parts.push(format!("{percent} ({count})")),
        (Some(text), None) | (None, Some(text)) => parts.push(text),
        (None, None) => {}
    }
    if page.state().is_final() {
        return parts.concat();
    }
    parts.extend(bar.rate(seconds).map(|rate| format!("{rate:.0}/s")).filter(|rate| rate != "0/s"));
    parts.extend(page.seconds_left().map(|left| format!("about {} left", duration(left.ceil()))));
    parts.join(", ")
}

/// Each key of a result on a line of its own, the values below each other in a terminal.
fn result_lines(result: &Value, aligned: bool) -> String {
    let Value::Object(pairs) = result else { return format!("result: {}\n", plain(result)) };
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (Text::new(key).to_string(), plain(value))).collect();
    let width = pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let width = if aligned { width.min(30) + 1 } else { 0 };
    pairs.iter().map(|(key, value)| format!("{:<width$} {value}\n", format!("{key}:"))).collect()
}

/// A value on one line, without what a terminal would obey.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => Text::new(text).to_string(),
        other => Text::new(&other.to_string()).to_string(),
    }
}

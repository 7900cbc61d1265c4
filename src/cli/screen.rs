//! What a followed operation looks like in a terminal, and in a pipe.

mod bars;
mod figures;
mod objects;

use std::collections::HashMap;
use std::io::{Write as _, stderr, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use liveops::live::{Chain, Snapshot};
use liveops::operation::Ending;
use liveops::progress::{Level, Text};
use liveops::projection::{Line, Projection};
use liveops::render::duration;
use liveops::{OperationId, State};
use serde_json::Value;

use bars::Bars;
use figures::Figures;
use objects::Objects;

/// A pipe hears of progress at most this often, or at each tenth.
const PLAIN: Duration = Duration::from_secs(1);
/// How long a screen on which nothing moves may be left alone.
const STILL: Duration = Duration::from_secs(3600);

/// A look at an operation, and what is to be said of it.
pub(super) struct Look {
    pub(super) seen: Snapshot,
    /// What it is in a chain with.
    pub(super) chain: Arc<Chain>,
    /// The lines of its log that are news.
    pub(super) lines: Vec<Arc<Line>>,
    /// Whether no line is missing that was said before this look.
    pub(super) is_whole: bool,
    /// How it ended, where it has and everything else was said.
    pub(super) ending: Option<Ending>,
    /// The result as text, where its kind has a template for that.
    pub(super) result: Option<String>,
}

/// What is written of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Rows that move, for a terminal.
    Bars,
    /// Lines to read.
    Lines,
    /// JSON objects, one a line.
    Objects,
}

/// Where it is shown. Whoever reads it may go away; the operation goes on.
pub(super) struct Screen {
    bars: Option<Bars>,
    objects: Option<Objects>,
    told: Told,
}

/// What was told last: a pipe hears of changes only.
#[derive(Default)]
struct Told {
    attempt: Option<(OperationId, u32)>,
    state: String,
    /// When each stage began that was told, by its place.
    stages: HashMap<usize, Timestamp>,
    status: String,
    progress: String,
    tenth: Option<u64>,
    at: Option<Instant>,
}

impl Screen {
    pub(super) fn new(form: Form) -> Self {
        Self {
            bars: (form == Form::Bars).then(Bars::new),
            objects: (form == Form::Objects).then(Objects::default),
            told: Told::default(),
        }
    }

    /// How long it may be left alone.
    pub(super) fn rest(&self) -> Duration {
        self.bars.as_ref().map_or(STILL, Bars::rest)
    }

    /// Moves what moves by itself.
    pub(super) fn tick(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.draw("");
        }
    }

    /// An operation as it is now: first what it is, then what happened, in that order.
    pub(super) fn show(&mut self, look: &Look) {
        if let Some(objects) = &mut self.objects {
            let text = objects.of(look);
            return self.write(None, &text);
        }
        let (seen, page) = (&look.seen, &look.seen.projection);
        let mut text = self.introduce(seen, &look.chain);
        if self.bars.is_none() {
            text += &self.state(page);
        }
        for line in &look.lines {
            text += &self.stages(page, Some(line.at));
            let line = match line.failure() {
                Some(_) => format!("failed row: {}", line.text),
                None => levelled(line.level, &line.text),
            };
            text += &format!("{line}\n");
        }
        if look.is_whole {
            text += &self.stages(page, None);
            text += &self.status(page);
        }
        if let Some(ending) = &look.ending {
            text += &self.ending(look, ending);
            // The rows of the next operation come below.
            self.write(None, &text);
        } else {
            self.write(Some(seen), &text);
        }
    }

    /// Something for stderr, which is the same terminal.
    pub(super) fn beside(&mut self, bytes: &[u8]) {
        if let Some(bars) = &mut self.bars {
            bars.erase();
        }
        let _ = stderr().write_all(bytes);
        self.tick();
    }

    /// Takes the rows away that are drawn again and again.
    pub(super) fn clear(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
    }

    fn write(&mut self, seen: Option<&Snapshot>, text: &str) {
        match &mut self.bars {
            Some(bars) => bars.show(seen, text),
            // A reader who went away has read enough.
            None => {
                let mut stdout = stdout().lock();
                let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            }
        }
    }

    fn introduce(&mut self, seen: &Snapshot, chain: &Chain) -> String {
        let (id, attempt) = (seen.record.id, seen.projection.attempt());
        let before = self.told.attempt.replace((id, attempt));
        if before != Some((id, attempt)) {
            self.told = Told { attempt: self.told.attempt, ..Told::default() };
        }
        let again = match seen.projection.repeats() {
            1.. if before != Some((id, attempt)) => {
                format!("attempt {attempt}, run again by itself after its server stopped\n")
            }
            _ => String::new(),
        };
        if before.is_some_and(|(before, _)| before == id) {
            return again;
        }
        let between = if before.is_some() { "\n" } else { "" };
        let title = Text::new(&seen.record.title);
        format!("{between}operation {id} {}: {title}\n{}{again}", seen.record.kind, breadcrumb(chain, &title))
    }

    fn state(&mut self, page: &Projection) -> String {
        let state = match page.before() {
            Some(before) if page.state() == State::Waiting => format!("waiting: {before} before it"),
            _ => page.state().as_str().to_owned(),
        };
        // The ending has a line of its own.
        if page.state().is_final() { String::new() } else { news(&mut self.told.state, state, "") }
    }

    /// The stages that began, up to a moment: each is told, however short it was.
    fn stages(&mut self, page: &Projection, until: Option<Timestamp>) -> String {
        if self.bars.is_some() {
            return String::new();
        }
        let mut begun = Vec::new();
        for (place, stage) in page.stages().iter().enumerate() {
            let Some(started) = stage.started.filter(|started| until.is_none_or(|until| *started <= until))
            else {
                continue;
            };
            if self.told.stages.insert(place, started) != Some(started) {
                begun.push((started, place, format!("stage: {}\n", stage.name.as_str())));
            }
        }
        begun.sort();
        begun.into_iter().map(|(_, _, line)| line).collect()
    }

    fn status(&mut self, page: &Projection) -> String {
        if self.bars.is_some() {
            return String::new();
        }
        let status = levelled(page.status().level, &page.status().text);
        let status = news(&mut self.told.status, status, "status: ");
        let figures =
            [Some(Figures::of(page, Timestamp::now())), Figures::of_stage(page)].into_iter().flatten();
        let figures = figures.map(|figures| figures.whole()).filter(|figures| !figures.is_empty());
        let progress = figures.collect::<Vec<_>>().join(" · ");
        let tenth = page.overall_percent().map(|percent| percent as u64 / 10);
        let is_due = self.told.at.is_none_or(|at| at.elapsed() >= PLAIN) || tenth != self.told.tenth;
        if !is_due || progress.is_empty() || progress == self.told.progress {
            return status;
        }
        (self.told.tenth, self.told.at) = (tenth, Some(Instant::now()));
        status + &news(&mut self.told.progress, progress, "progress: ")
    }

    /// How it ended.
    fn ending(&self, look: &Look, ending: &Ending) -> String {
        let page = &look.seen.projection;
        let is_plain = self.bars.is_none();
        let sign = match ending.state {
            _ if is_plain => "",
            State::Succeeded => "✓ ",
            _ => "✕ ",
        };
        let took = page.elapsed_seconds().map(|took| (took >= 1.0, duration(took)));
        let after = match took {
            Some((true, took)) if ending.state == State::Succeeded => format!(" in {took}"),
            Some((true, took)) => format!(" after {took}"),
            _ => String::new(),
        };
        let tally = figures::said(page.tally()).map(|tally| format!(" ({tally})")).unwrap_or_default();
        let message = ending.message.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        let next = if ending.next.is_some() { ", and hands over to the next one" } else { "" };
        let mut text = format!("{sign}{}{after}{tally}{message}{next}\n", ending.state.as_str());
        match (&look.result, &ending.result) {
            (Some(result), _) => {
                let lines = result.lines().flat_map(Text::lines_of);
                text.extend(lines.map(|line| format!("{line}\n")));
            }
            (None, Some(result)) => text += &result_lines(result, !is_plain),
            (None, None) => {}
        }
        if let Some(path) = &ending.redirect {
            text += &format!("leads on to {}\n", Text::new(path));
        }
        text
    }
}

/// The line that says to what an operation is handed over, and by which ones; none for the first one.
fn breadcrumb(chain: &Chain, title: &Text) -> String {
    if chain.before.is_empty() {
        return String::new();
    }
    let before = chain.before.iter().map(|record| Text::new(&record.title).to_string());
    let links = before.chain([title.to_string()]).enumerate().map(|(place, title)| {
        // Where the first one is not known, no place is.
        if chain.begins_earlier { title } else { format!("{} {title}", place + 1) }
    });
    let cut = chain.begins_earlier.then(|| "…".to_owned());
    format!("chain: {}\n", cut.into_iter().chain(links).collect::<Vec<_>>().join(" › "))
}

/// A text with its level in front, where that is not the one of most texts.
fn levelled(level: Level, text: &Text) -> String {
    if level == Level::Info || text.as_str().is_empty() {
        return text.to_string();
    }
    format!("{}: {text}", level.as_str())
}

/// A line where something is not what was told last.
fn news(told: &mut String, now: String, name: &str) -> String {
    if *told == now || now.is_empty() {
        return String::new();
    }
    *told = now;
    format!("{name}{told}\n")
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

//! The rows in a terminal that are drawn again and again, below what stays.

use std::io::{Write as _, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::{Term, measure_text_width};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use jiff::Timestamp;
use liveops::State;
use liveops::live::Snapshot;
use liveops::projection::Projection;
use parking_lot::Mutex;

use super::{Figures, STILL, levelled};

/// How often the rows are drawn, so that one sees that it lives.
const TICK: Duration = Duration::from_millis(100);
/// Steps of the bar.
const FULL: f64 = 1000.0;

/// A row with state and status, one with how far it is, and one with how far its present stage is.
///
/// The cursor rests at the beginning of the first row. A terminal that becomes narrower wraps the rows anew
/// and keeps the cursor at its text, and what the terminal itself echoes, as ^C, comes there too: so
/// everything from the cursor on can always be drawn over, and nothing is left behind.
pub(super) struct Bars {
    canvas: Canvas,
    what: ProgressBar,
    /// Of the whole, and of the stage.
    bars: [ProgressBar; 2],
    /// Keeps them in their order.
    _all: MultiProgress,
    /// What the rows say; none between two operations.
    says: Option<(String, Vec<Figures>)>,
    /// When they were drawn last.
    drawn: Option<Instant>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let canvas = Canvas::default();
        let target = ProgressDrawTarget::term_like(Box::new(canvas.clone()));
        let all = MultiProgress::with_draw_target(target);
        let what = all.add(ProgressBar::new_spinner());
        what.set_style(style("{spinner} {wide_msg}"));
        let bars = [(); 2].map(|()| all.add(ProgressBar::new(FULL as u64)));
        Self { canvas, what, bars, _all: all, says: None, drawn: None }
    }

    /// How long until they are drawn again.
    pub(super) fn rest(&self) -> Duration {
        let since = self.drawn.map_or(TICK, |drawn| drawn.elapsed());
        if self.says.is_some() { TICK.saturating_sub(since) } else { STILL }
    }

    /// Prints whole lines above the rows, which show the operation from now on.
    pub(super) fn show(&mut self, seen: Option<&Snapshot>, lines: &str) {
        self.says = seen.map(|seen| (words(&seen.projection), figures(seen)));
        self.draw(lines);
    }

    /// Draws the rows anew, below whole lines that stay.
    pub(super) fn draw(&mut self, lines: &str) {
        let rows = self.rows();
        if rows.is_empty() {
            self.erase();
            return emit(lines);
        }
        let mut text = "\r".to_owned();
        if !lines.is_empty() {
            text.push_str("\x1b[J");
            text.push_str(lines);
        }
        // What does not fit because the terminal became narrower at this moment is cut, not wrapped.
        text.push_str("\x1b[?7l");
        text.push_str(&rows.join("\x1b[K\r\n"));
        text.push_str("\x1b[J\x1b[?7h");
        if rows.len() > 1 {
            text.push_str(&format!("\x1b[{}A", rows.len() - 1));
        }
        text.push('\r');
        emit(&text);
        self.drawn = Some(Instant::now());
    }

    /// Takes the rows away, until they are drawn again.
    pub(super) fn erase(&mut self) {
        if self.drawn.take().is_some() {
            emit("\r\x1b[J");
        }
    }

    /// Takes the rows away for good.
    pub(super) fn clear(&mut self) {
        self.says = None;
        self.erase();
    }

    /// The rows as they fit now.
    fn rows(&mut self) -> Vec<String> {
        let Some((words, figures)) = &self.says else { return Vec::new() };
        let (height, width) = Term::stdout().size();
        // In the last column some terminals wrap already.
        let width = width.saturating_sub(1).max(1);
        self.canvas.resize(width, height);
        self.what.set_message(words.clone());
        self.what.tick();
        let fitting: Vec<_> = figures.iter().map(|figures| figures.fit(width.into())).collect();
        // Below each other they are of one length.
        let length = fitting.iter().map(|(length, _)| *length).filter(|length| *length > 0).min();
        for (at, bar) in self.bars.iter().enumerate() {
            let (own, text) = fitting.get(at).cloned().unwrap_or_default();
            if let Some(length) = length.filter(|_| own > 0) {
                bar.set_style(style(&format!("{{bar:{length}.}} {{wide_msg}}")).progress_chars("━╸ "));
            } else {
                bar.set_style(style("{wide_msg}"));
            }
            let percent = figures.get(at).and_then(|figures| figures.percent).unwrap_or(0.0);
            bar.set_position((percent / 100.0 * FULL) as u64);
            bar.set_message(text);
        }
        let mut rows = self.canvas.rows();
        rows.truncate((1 + figures.len()).min(height.max(1).into()));
        rows
    }
}

fn emit(text: &str) {
    let mut stdout = stdout().lock();
    // A terminal that is gone takes nothing more.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// State and status.
fn words(page: &Projection) -> String {
    let mut words = vec![page.state().word().to_owned()];
    if let Some(before) = page.before().filter(|_| page.state() == State::Waiting) {
        words.push(format!("{before} before it"));
    }
    words.push(levelled(page.status().level, &page.status().text));
    words.retain(|word| !word.is_empty());
    words.join(" · ")
}

/// Of the whole, and of the present stage where there is one.
fn figures(seen: &Snapshot) -> Vec<Figures> {
    let now = Timestamp::now();
    let whole = Figures::of(&seen.projection, now);
    let whole = match seen.record.started {
        Some(started) => whole.since(started, now),
        None => whole,
    };
    [Some(whole), Figures::of_stage(&seen.projection)].into_iter().flatten().collect()
}

/// What `indicatif` draws to, in memory.
#[derive(Debug, Clone, Default)]
struct Canvas(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    width: u16,
    height: u16,
    rows: Vec<String>,
    /// Where the cursor is.
    row: usize,
}

impl Canvas {
    fn resize(&self, width: u16, height: u16) {
        let mut cells = self.0.lock();
        if (cells.width, cells.height) != (width, height) {
            *cells = Cells { width, height, ..Cells::default() };
        }
    }

    /// What stands on it.
    fn rows(&self) -> Vec<String> {
        self.0.lock().rows.iter().map(|row| row.trim_end().to_owned()).collect()
    }
}

impl Cells {
    fn here(&mut self) -> &mut String {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, String::new());
        }
        &mut self.rows[self.row]
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        self.0.lock().width
    }

    fn height(&self) -> u16 {
        self.0.lock().height
    }

    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        let mut cells = self.0.lock();
        cells.row = cells.row.saturating_sub(n);
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.0.lock().row += n;
        Ok(())
    }

    /// Rows are written from their beginning only.
    fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(text)?;
        self.move_cursor_down(1)
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        let mut cells = self.0.lock();
        let width = cells.width.into();
        // A row that is full goes on in the next one.
        if !text.is_empty() && measure_text_width(cells.here()) >= width {
            cells.row += 1;
        }
        cells.here().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> std::io::Result<()> {
        self.0.lock().here().clear();
        Ok(())
    }

    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

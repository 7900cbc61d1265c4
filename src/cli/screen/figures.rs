//! How far an operation is, in figures that fit.

use console::{measure_text_width, truncate_str};
use jiff::Timestamp;
use liveops::projection::{Projection, StageState, Tally};
use liveops::render::duration;

/// A bar is so long where there is room.
const LONG: usize = 24;
/// One that is shorter than this goes before the figures that tell of time.
const SHORT: usize = 10;
/// One that is shorter than this tells nothing.
const SHORTEST: usize = 5;

/// "Import (2 of 3): 40 % (40 of 100 rows), 38 ok, 2 failed, 20/s, about 3 s left", as far as that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// The stage that they are of; none where they are of the whole.
    stage: Option<String>,
    /// Its place: "2 of 3".
    place: Option<String>,
    /// What is counted for.
    label: Option<String>,
    /// 0 to 100.
    pub(super) percent: Option<f64>,
    /// "40 of 100" and "rows".
    count: Option<(String, String)>,
    tally: Option<String>,
    /// The part of the tally that nobody may miss.
    failed: Option<String>,
    rate: Option<String>,
    so_far: Option<String>,
    left: Option<String>,
}

impl Figures {
    /// Of the whole.
    pub(super) fn of(page: &Projection, now: Timestamp) -> Self {
        let tally = page.tally();
        let whole = Self {
            percent: page.overall_percent(),
            tally: said(tally),
            failed: (tally.failed() > 0).then(|| format!("{} failed", tally.failed())),
            left: left(page, now),
            ..Self::default()
        };
        // With stages the count is that of the present one.
        if page.stages().is_empty() { whole.counting(page) } else { whole }
    }

    /// Of the present stage, where there are any.
    pub(super) fn of_stage(page: &Projection) -> Option<Self> {
        let mut stages = page.stages().iter().enumerate();
        let (place, stage) = stages.find(|(_, stage)| stage.state == StageState::Current)?;
        let place = format!("{} of {}", place + 1, page.stages().iter().count());
        let (name, percent) = (stage.name.to_string(), stage.percent.map(f64::from));
        Some(Self { stage: Some(name), place: Some(place), percent, ..Self::default() }.counting(page))
    }

    /// The same with the time since it began.
    pub(super) fn since(self, began: Timestamp, now: Timestamp) -> Self {
        let seconds = now.duration_since(began).as_secs_f64();
        Self { so_far: (seconds >= 1.0).then(|| format!("{} so far", duration(seconds))), ..self }
    }

    fn counting(self, page: &Projection) -> Self {
        let bar = page.bar();
        let unit = bar.unit().map(|unit| unit.as_str().to_owned()).unwrap_or_default();
        let count = bar.done().map(|done| match bar.total() {
            Some(total) => format!("{done} of {total}"),
            None => done.to_string(),
        });
        let rate = bar.rate().map(a_second).filter(|rate| rate != "0/s");
        Self {
            label: bar.label().map(ToString::to_string),
            count: count.map(|count| (count, unit)),
            // What is over has no speed.
            rate: rate.filter(|_| !page.state().is_final()),
            ..self
        }
    }

    /// All of them.
    pub(super) fn whole(&self) -> String {
        let figures = [&self.amount(), &self.tally, &self.rate, &self.so_far, &self.left];
        let figures = figures.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let place = self.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        let stage = self.stage.as_ref().map(|name| format!("{name}{place}"));
        let names = [stage, self.label.clone()].into_iter().flatten().collect::<Vec<_>>().join(" · ");
        [names, figures].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }

    /// The length of the bar and the figures that fit into a row with it. What matters most stays
    /// longest: the percentage, what failed, the count, the bar, the time that is left.
    pub(super) fn fit(&self, width: usize) -> (usize, String) {
        let momentary = Self { so_far: None, ..self.clone() };
        let without_rate = Self { rate: None, ..momentary.clone() };
        let timeless = Self { left: None, label: None, ..without_rate.clone() };
        let unit_less = self.count.clone().map(|(count, _)| (count, String::new()));
        let bare = Self { count: unit_less, ..timeless.clone() };
        let uncounted = Self { count: None, ..bare.clone() };
        let worst = match self.failed {
            Some(_) => Self { tally: self.failed.clone(), ..uncounted.clone() },
            None => Self { tally: None, ..bare.clone() },
        };
        let mut rows = vec![
            (SHORT, self),
            (SHORT, &momentary),
            (SHORT, &without_rate),
            (SHORTEST, &timeless),
            (SHORTEST, &bare),
            (0, &timeless),
            (0, &bare),
        ];
        if self.tally.is_some() {
            rows.extend([(SHORTEST, &uncounted), (0, &uncounted), (SHORTEST, &worst), (0, &worst)]);
        }
        for (least, figures) in rows {
            let least = if self.percent.is_some() { least } else { 0 };
            let text = figures.whole();
            // Between the bar and the figures there is a space.
            let taken = measure_text_width(&text) + usize::from(least > 0);
            match width.checked_sub(taken) {
                Some(_) if least == 0 => return (0, text),
                Some(left) if left >= least => return (left.min(LONG), text),
                _ => {}
            }
        }
        let mut first = if worst.percent.is_some() { Self { count: None, ..worst } } else { worst };
        first.place = None;
        if let Some(name) = first.stage.take() {
            let room = width.saturating_sub(measure_text_width(&first.whole()) + 2);
            first.stage = Some(truncate_str(&name, room, "…").into_owned()).filter(|_| room > 1);
        }
        (0, first.whole())
    }

    /// "40 % (40 of 100 rows)".
    fn amount(&self) -> Option<String> {
        let percent = self.percent.map(|percent| format!("{} %", percent as u64));
        let count = self.count.as_ref().map(|(count, unit)| format!("{count} {unit}").trim_end().to_owned());
        match (percent, count) {
            (Some(percent), Some(count)) => Some(format!("{percent} ({count})")),
            (percent, count) => percent.or(count),
        }
    }
}

/// "38 ok, 1 skipped, 2 failed", where anything was counted.
pub(super) fn said(tally: &Tally) -> Option<String> {
    if tally.is_empty() {
        return None;
    }
    let mut text = format!("{} ok", tally.ok());
    for (count, what) in [(tally.skipped(), "skipped"), (tally.failed(), "failed")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    Some(text)
}

/// "20/s", or "2.5/s" where the fraction tells something.
fn a_second(rate: f64) -> String {
    if rate >= 10.0 { format!("{rate:.0}/s") } else { format!("{}/s", (rate * 10.0).round() / 10.0) }
}

/// The time that is left. It runs out while nothing is said, and then it is not known any more.
fn left(page: &Projection, now: Timestamp) -> Option<String> {
    let silent = now.duration_since(page.updated()).as_secs_f64();
    let left = page.seconds_left().filter(|_| !page.state().is_final())? - silent.max(0.0);
    (left > 0.0).then(|| format!("about {} left", duration(left.ceil())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use liveops::State;
    use liveops::progress::{StageSpec, Text, Update};

    use super::*;

    fn assert_fits(figures: &Figures, expected: &[(usize, (usize, &str))]) {
        for (width, expected) in expected {
            let (bar, text) = figures.fit(*width);
            assert_eq!((bar, text.as_str()), *expected, "at {width} columns");
            assert!(*width < 8 || measure_text_width(&text) + bar <= *width, "at {width} columns");
        }
    }

    fn rows() -> Figures {
        Figures {
            percent: Some(40.4),
            count: Some(("40 of 100".into(), "rows".into())),
            rate: Some("20/s".into()),
            left: Some("about 3 s left".into()),
            ..Figures::default()
        }
    }

    #[test]
    fn what_matters_most_stays_where_room_is_short() {
        let expected = [
            (80, (24, "40 % (40 of 100 rows), 20/s, about 3 s left")),
            (54, (10, "40 % (40 of 100 rows), 20/s, about 3 s left")),
            (53, (15, "40 % (40 of 100 rows), about 3 s left")),
            (39, (17, "40 % (40 of 100 rows)")),
            (26, (9, "40 % (40 of 100)")),
            (21, (0, "40 % (40 of 100 rows)")),
            (20, (0, "40 % (40 of 100)")),
            (8, (0, "40 %")),
            (0, (0, "40 %")),
        ];
        assert_fits(&rows(), &expected);
        let count = Figures { count: Some(("7".into(), "rows".into())), ..Figures::default() };
        assert_eq!(count.fit(80), (0, "7 rows".to_owned()));
        assert_eq!(Figures::default().fit(80), (0, String::new()));
    }

    #[test]
    fn what_failed_is_told_however_short_room_is() {
        let figures = Figures {
            tally: Some("37 ok, 1 skipped, 2 failed".into()),
            failed: Some("2 failed".into()),
            so_far: Some("2 s so far".into()),
            ..rows()
        };
        let all = "40 % (40 of 100 rows), 37 ok, 1 skipped, 2 failed, 20/s, 2 s so far, about 3 s left";
        let expected = [
            (120, (24, all)),
            (60, (10, "40 % (40 of 100 rows), 37 ok, 1 skipped, 2 failed")),
            (40, (7, "40 %, 37 ok, 1 skipped, 2 failed")),
            (20, (5, "40 %, 2 failed")),
            (15, (0, "40 %, 2 failed")),
        ];
        assert_fits(&figures, &expected);
        let well = Figures { tally: Some("40 ok".into()), ..rows() };
        assert_fits(&well, &[(40, (11, "40 % (40 of 100 rows), 40 ok")), (20, (8, "40 %, 40 ok"))]);
    }

    #[test]
    fn a_long_name_leaves_room_for_the_percentage() {
        let stage = Figures {
            stage: Some("Import".into()),
            place: Some("2 of 3".into()),
            label: Some("of a file".into()),
            left: None,
            ..rows()
        };
        let expected = [
            (80, (23, "Import (2 of 3) · of a file: 40 % (40 of 100 rows), 20/s")),
            (60, (21, "Import (2 of 3): 40 % (40 of 100 rows)")),
            (34, (0, "Import (2 of 3): 40 % (40 of 100)")),
            (20, (0, "Import: 40 %")),
            (11, (0, "Impo…: 40 %")),
        ];
        assert_fits(&stage, &expected);
    }

    /// A page of two stages, the first of which took 16 s for 40 of its 100 rows.
    fn page() -> Projection {
        let begin = Timestamp::UNIX_EPOCH;
        let mut page = Projection::new(1, 1, State::Running, 10, begin);
        page.apply(Update::Stages(["Read", "Sort"].map(|name| StageSpec::new(name, 1.0)).into()), begin);
        page.apply(Update::EnterStage(Text::new("Read")), begin);
        let (label, unit) = (Some(Text::new("of a file")), Some(Text::new("rows")));
        page.apply(Update::Count { label, unit, total: Some(100) }, begin);
        for done in 1..=40 {
            page.apply(Update::Done(done), begin + Duration::from_millis(400 * done));
        }
        page
    }

    #[test]
    fn the_whole_and_its_stage_have_figures_of_their_own() {
        let whole = |page: &Projection| Figures::of(page, page.updated()).whole();
        let stage = |page: &Projection| Figures::of_stage(page).map(|figures| figures.whole());
        let mut page = page();
        assert_eq!(whole(&page), "20 %, about 1 min 4 s left");
        let of_stage = "Read (1 of 2) · of a file: 40 % (40 of 100 rows), 2.5/s";
        assert_eq!(stage(&page).as_deref(), Some(of_stage));
        page.apply(Update::Tally { ok: 38, skipped: 0 }, page.updated());
        page.apply(Update::Failed { row: Text::new("3"), reason: Text::new("no") }, page.updated());
        assert_eq!(whole(&page), "20 %, 38 ok, 1 failed, about 1 min 4 s left");
        page.apply(Update::EnterStage(Text::new("Sort")), page.updated());
        assert_eq!(stage(&page).as_deref(), Some("Sort (2 of 2)"));
    }

    #[test]
    fn the_time_that_is_left_runs_out_while_nothing_is_said() {
        let page = page();
        let after = |seconds| left(&page, page.updated() + Duration::from_secs(seconds));
        assert_eq!(after(30).as_deref(), Some("about 34 s left"));
        assert_eq!(after(65), None);
    }
}

//! How far an operation is, in figures that fit.

use console::measure_text_width;
use liveops::projection::Projection;
use liveops::render::duration;

/// A bar is so long where there is room.
const LONG: usize = 24;
/// One that is shorter than this goes before the figures that tell of time.
const SHORT: usize = 10;
/// One that is shorter than this tells nothing.
const SHORTEST: usize = 5;

/// "40 % (40 of 100 rows), 20/s, about 3 s left", as far as that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// The whole, 0 to 100.
    pub(super) percent: Option<f64>,
    /// "40 of 100" and "rows".
    count: Option<(String, String)>,
    rate: Option<String>,
    left: Option<String>,
}

impl Figures {
    pub(super) fn of(page: &Projection) -> Self {
        let bar = page.bar();
        let unit = bar.unit().map(|unit| unit.as_str().to_owned()).unwrap_or_default();
        let count = bar.done().map(|done| match bar.total() {
            Some(total) => format!("{done} of {total}"),
            None => done.to_string(),
        });
        // What is over has no speed.
        let runs = !page.state().is_final();
        let rate = bar.rate().map(|rate| format!("{rate:.0}/s")).filter(|rate| rate != "0/s");
        let left = page.seconds_left().map(|left| format!("about {} left", duration(left.ceil())));
        Self {
            percent: page.overall_percent(),
            count: count.map(|count| (count, unit)),
            rate: rate.filter(|_| runs),
            left: left.filter(|_| runs),
        }
    }

    /// All of them.
    pub(super) fn whole(&self) -> String {
        [Some(self.amount()), self.rate.clone(), self.left.clone()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The length of the bar and the figures that fit into a row with it. What matters most stays
    /// longest: the percentage, the count, the bar, the time that is left.
    pub(super) fn fit(&self, width: usize) -> (usize, String) {
        let without_rate = Self { rate: None, ..self.clone() };
        let timeless = Self { left: None, ..without_rate.clone() };
        let mut bare = timeless.clone();
        if let Some((_, unit)) = &mut bare.count {
            unit.clear();
        }
        let first = if bare.percent.is_some() { Self { count: None, ..bare.clone() } } else { bare.clone() };
        let rows = [
            (SHORT, self),
            (SHORT, &without_rate),
            (SHORTEST, &timeless),
            (SHORTEST, &bare),
            (0, &timeless),
            (0, &bare),
        ];
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
        (0, first.whole())
    }

    /// "40 % (40 of 100 rows)".
    fn amount(&self) -> String {
        let percent = self.percent.map(|percent| format!("{} %", percent as u64));
        let count = self.count.as_ref().map(|(count, unit)| format!("{count} {unit}").trim_end().to_owned());
        match (percent, count) {
            (Some(percent), Some(count)) => format!("{percent} ({count})"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_stays_where_room_is_short() {
        let figures = Figures {
            percent: Some(40.4),
            count: Some(("40 of 100".into(), "rows".into())),
            rate: Some("20/s".into()),
            left: Some("about 3 s left".into()),
        };
        for (width, expected) in [
            (80, (24, "40 % (40 of 100 rows), 20/s, about 3 s left")),
            (54, (10, "40 % (40 of 100 rows), 20/s, about 3 s left")),
            (53, (15, "40 % (40 of 100 rows), about 3 s left")),
            (39, (17, "40 % (40 of 100 rows)")),
            (26, (9, "40 % (40 of 100)")),
            (21, (0, "40 % (40 of 100 rows)")),
            (20, (0, "40 % (40 of 100)")),
            (8, (0, "40 %")),
            (0, (0, "40 %")),
        ] {
            let (bar, text) = figures.fit(width);
            assert_eq!((bar, text.as_str()), expected, "at {width} columns");
        }
        let count = Figures { count: Some(("7".into(), "rows".into())), ..Figures::default() };
        assert_eq!(count.fit(80), (0, "7 rows".to_owned()));
        assert_eq!(Figures::default().fit(80), (0, String::new()));
    }
}

//! One field of a form, described once: what stands beside it, what it takes, and its limits.

use std::borrow::Cow;

use jiff::civil::Date;
use serde::Serialize;

use super::pattern::Pattern;

/// One field of a form.
///
/// ```
/// use liveops::operation::Field;
///
/// let fields = vec![
///     Field::text("name", "Name").required().max_length(80).pattern("[a-z_]+").help("Small letters and _."),
///     Field::number("copies", "Copies").range(1, 9).default("1"),
///     Field::choice("size", "Size", [("s", "Small"), ("l", "Large")]).required(),
///     Field::date("since", "Since").min(jiff::civil::date(2020, 1, 1)),
///     Field::file("file", "CSV file").accept(".csv").max_bytes(1_000_000),
/// ];
/// let described = serde_json::to_value(&fields)?;
/// assert_eq!(described[1]["type"], "number");
/// assert_eq!(described[1]["max"], 9);
/// assert_eq!(described[2]["choices"][1]["label"], "Large");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    /// Its name in the form and in the input.
    pub name: Cow<'static, str>,
    /// What stands beside it.
    pub label: Cow<'static, str>,
    /// A sentence below it; may be empty.
    pub help: Cow<'static, str>,
    /// Whether it must be filled in.
    pub required: bool,
    /// What it holds at first; for a checkbox `on` or nothing.
    pub default: String,
    /// What it takes.
    #[serde(flatten)]
    pub kind: FieldKind,
    /// What was asked of it that its kind does not have: said when the kind is registered.
    #[serde(skip)]
    pub(super) fault: Option<String>,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum FieldKind {
    /// One line of text.
    Text(TextLimits),
    /// Several lines of text.
    Textarea(TextLimits),
    /// An absolute path of this site, or nothing.
    Path,
    /// A whole number within bounds, both included.
    Number {
        /// The smallest.
        #[serde(skip_serializing_if = "is_lowest")]
        min: i64,
        /// The largest.
        #[serde(skip_serializing_if = "is_highest")]
        max: i64,
    },
    /// A number with a fraction, within bounds, both included.
    Decimal {
        /// The smallest.
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The largest.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// One of several.
    Choice {
        /// What there is to choose from.
        choices: Vec<Choice>,
    },
    /// Yes or no.
    Checkbox,
    /// A day, as `YYYY-MM-DD`, within bounds, both included.
    Date {
        /// The first.
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<Date>,
        /// The last.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<Date>,
    },
    /// A file, stored before the operation starts.
    File {
        /// What the browser offers, the `accept` attribute: a help, no check.
        accept: Cow<'static, str>,
        /// The largest, in bytes; `max_upload_bytes` holds for the whole form in any case.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_bytes: Option<u64>,
    },
}

/// What a text must be like. An optional one may always be left empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TextLimits {
    /// The fewest characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    /// The most characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What the whole of it has to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
}

/// One of the things that a field lets choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// What becomes the input.
    pub value: Cow<'static, str>,
    /// What people read.
    pub label: Cow<'static, str>,
}

impl From<&'static str> for Choice {
    fn from(value: &'static str) -> Self {
        Self { value: value.into(), label: value.into() }
    }
}

impl From<String> for Choice {
    fn from(value: String) -> Self {
        Self { value: value.clone().into(), label: value.into() }
    }
}

impl<V: Into<Cow<'static, str>>, L: Into<Cow<'static, str>>> From<(V, L)> for Choice {
    fn from((value, label): (V, L)) -> Self {
        Self { value: value.into(), label: label.into() }
    }
}

/// A bound of a number or a date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Of a number, whole or not.
    Whole(i64),
    /// Of a number with a fraction.
    Decimal(f64),
    /// Of a date.
    Date(Date),
}

impl From<i32> for Bound {
    fn from(bound: i32) -> Self {
        Self::Whole(bound.into())
    }
}

impl From<u32> for Bound {
    fn from(bound: u32) -> Self {
        Self::Whole(bound.into())
    }
}

impl From<i64> for Bound {
    fn from(bound: i64) -> Self {
        Self::Whole(bound)
    }
}

impl From<f64> for Bound {
    fn from(bound: f64) -> Self {
        Self::Decimal(bound)
    }
}

impl From<Date> for Bound {
    fn from(bound: Date) -> Self {
        Self::Date(bound)
    }
}

impl Field {
    /// A field that takes `kind`.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        label: impl Into<Cow<'static, str>>,
        kind: FieldKind,
    ) -> Self {
        let (name, label) = (name.into(), label.into());
        Self { name, label, help: "".into(), required: false, default: String::new(), kind, fault: None }
    }

    /// One line of text.
    pub fn text(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Text(TextLimits::default()))
    }

    /// Several lines of text.
    pub fn textarea(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Textarea(TextLimits::default()))
    }

    /// An absolute path of this site.
    pub fn path(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Path)
    }

    /// A whole number.
    pub fn number(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Number { min: i64::MIN, max: i64::MAX })
    }

    /// A number with a fraction.
    pub fn decimal(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Decimal { min: None, max: None })
    }

    /// One of several: words, or pairs of a value and its label.
    pub fn choice<C: Into<Choice>>(
        name: impl Into<Cow<'static, str>>,
        label: impl Into<Cow<'static, str>>,
        choices: impl IntoIterator<Item = C>,
    ) -> Self {
        Self::new(name, label, FieldKind::Choice { choices: choices.into_iter().map(Into::into).collect() })
    }

    /// Yes or no.
    pub fn checkbox(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Checkbox)
    }

    /// A day.
    pub fn date(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::Date { min: None, max: None })
    }

    /// A file.
    pub fn file(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self::new(name, label, FieldKind::File { accept: "".into(), max_bytes: None })
    }

    /// Sets the sentence below the field.
    pub fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = help.into();
        self
    }

    /// The field must be filled in, a checkbox ticked.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets what the field holds at first.
    pub fn default(mut self, value: impl Into<String>) -> Self {
        self.default = value.into();
        self
    }

    /// Sets the smallest and the largest number, or the first and the last date.
    pub fn range(self, min: impl Into<Bound>, max: impl Into<Bound>) -> Self {
        self.min(min).max(max)
    }

    /// Sets the smallest number or the first date.
    pub fn min(mut self, bound: impl Into<Bound>) -> Self {
        match (&mut self.kind, bound.into()) {
            (FieldKind::Number { min, .. }, Bound::Whole(bound)) => *min = bound,
            (FieldKind::Decimal { min, .. }, Bound::Decimal(bound)) => *min = Some(bound),
            (FieldKind::Decimal { min, .. }, Bound::Whole(bound)) => *min = Some(bound as f64),
            (FieldKind::Date { min, .. }, Bound::Date(bound)) => *min = Some(bound),
            _ => self.blame("it has no such min: numbers have numbers, dates have dates"),
        }
        self
    }

    /// Sets the largest number or the last date.
    pub fn max(mut self, bound: impl Into<Bound>) -> Self {
        match (&mut self.kind, bound.into()) {
            (FieldKind::Number { max, .. }, Bound::Whole(bound)) => *max = bound,
            (FieldKind::Decimal { max, .. }, Bound::Decimal(bound)) => *max = Some(bound),
            (FieldKind::Decimal { max, .. }, Bound::Whole(bound)) => *max = Some(bound as f64),
            (FieldKind::Date { max, .. }, Bound::Date(bound)) => *max = Some(bound),
            _ => self.blame("it has no such max: numbers have numbers, dates have dates"),
        }
        self
    }

    /// Sets the fewest characters of a text.
    pub fn min_length(mut self, characters: usize) -> Self {
        match self.text_limits() {
            Some(limits) => limits.min_length = Some(characters),
            None => self.blame("it has no min_length: that is for text"),
        }
        self
    }

    /// Sets the most characters of a text.
    pub fn max_length(mut self, characters: usize) -> Self {
        match self.text_limits() {
            Some(limits) => limits.max_length = Some(characters),
            None => self.blame("it has no max_length: that is for text"),
        }
        self
    }

    /// Sets the regular expression that the whole of a text has to match. Browsers check it too,
    /// where they read the same in it.
    pub fn pattern(mut self, pattern: impl Into<Cow<'static, str>>) -> Self {
        match self.text_limits() {
            Some(limits) => limits.pattern = Some(Pattern::new(pattern)),
            None => self.blame("it has no pattern: that is for text"),
        }
        self
    }

    /// Sets which files the browser offers: the `accept` attribute.
    pub fn accept(mut self, offered: impl Into<Cow<'static, str>>) -> Self {
        match &mut self.kind {
            FieldKind::File { accept, .. } => *accept = offered.into(),
            _ => self.blame("it has no accept: that is for files"),
        }
        self
    }

    /// Sets the largest file.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        match &mut self.kind {
            FieldKind::File { max_bytes, .. } => *max_bytes = Some(bytes),
            _ => self.blame("it has no max_bytes: that is for files"),
        }
        self
    }

    /// Whether it takes a file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, FieldKind::File { .. })
    }

    /// The pattern that browsers check.
    pub(crate) fn browser_pattern(&self) -> Option<&str> {
        match &self.kind {
            FieldKind::Text(limits) => limits.pattern.as_ref()?.for_browsers(),
            _ => None,
        }
    }

    /// Whether it may not be left empty: a number or a date that has a default is always one.
    pub fn needs_value(&self) -> bool {
        let is_typed = matches!(
            self.kind,
            FieldKind::Number { .. } | FieldKind::Decimal { .. } | FieldKind::Date { .. }
        );
        self.required || (is_typed && !self.default.is_empty())
    }

    /// The largest file that it takes where a form may have so many bytes; none where it takes no file.
    pub(crate) fn largest_file(&self, form: u64) -> Option<u64> {
        match self.kind {
            FieldKind::File { max_bytes, .. } => Some(max_bytes.map_or(form, |most| most.min(form))),
            _ => None,
        }
    }

    fn text_limits(&mut self) -> Option<&mut TextLimits> {
        match &mut self.kind {
            FieldKind::Text(limits) | FieldKind::Textarea(limits) => Some(limits),
            _ => None,
        }
    }

    fn blame(&mut self, fault: &str) {
        self.fault.get_or_insert_with(|| fault.to_owned());
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_lowest(bound: &i64) -> bool {
    *bound == i64::MIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_highest(bound: &i64) -> bool {
    *bound == i64::MAX
}

//! One value read by its field: the same rules for what a form sent and what came as JSON.

use jiff::civil::Date;
use serde_json::{Number, Value};

use super::field::{Field, FieldKind, TextLimits};
use super::{TEXT_LIMIT, Upload};
use crate::operation::is_local_path;

const EMPTY: &str = "Fill in this field.";

/// What was given for a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// Its name was not there: it takes the default.
    Missing,
    /// What was typed or chosen.
    Text(&'a str),
    /// What was uploaded.
    File(&'a Upload),
    /// A value of an object.
    Json(&'a Value),
}

/// What is in it, wherever it came from.
enum Content<'a> {
    /// Left empty.
    Nothing,
    Text(&'a str),
    /// A number, truth or structure of JSON.
    Other(&'a Value),
}

impl Field {
    /// The input's value, or a sentence that says what to enter.
    pub(super) fn read(&self, given: Given<'_>) -> Result<Value, String> {
        if let FieldKind::File { max_bytes, .. } = self.kind {
            return self.read_file(given, max_bytes);
        }
        // Where it was typed, a number and a truth are texts; as JSON they are not.
        let (content, typed) = match given {
            Given::File(_) => return Err("A file does not fit here.".to_owned()),
            Given::Missing => (Content::Text(&self.default), true),
            Given::Text(text) => (Content::Text(text), true),
            Given::Json(Value::Null) => (Content::Nothing, false),
            Given::Json(Value::String(text)) => (Content::Text(text), false),
            Given::Json(other) => (Content::Other(other), false),
        };
        if let Content::Text(text) = content {
            if text.contains('\0') {
                return Err("This holds a NUL character, which text cannot have.".to_owned());
            }
            if text.len() > TEXT_LIMIT {
                return Err(format!("This is longer than {TEXT_LIMIT} bytes."));
            }
        }
        let text = match content {
            Content::Nothing => Some(""),
            Content::Text(text) => Some(text),
            Content::Other(_) => None,
        };
        match &self.kind {
            FieldKind::Text(limits) => self.read_text(text, limits),
            FieldKind::Textarea(limits) => {
                // Browsers send CRLF at each line's end, whatever was typed.
                let lines = text.map(|text| text.replace("\r\n", "\n").replace('\r', "\n"));
                self.read_text(lines.as_deref(), limits)
            }
            FieldKind::Path => {
                let text = self.filled(text, "Enter text.")?;
                if text.is_empty() || is_local_path(text) {
                    return Ok(text.into());
                }
                Err("Enter a path of this site, which begins with one / (such as /operations).".to_owned())
            }
            FieldKind::Choice { choices } => {
                let text = self.filled(text, &self.asks())?;
                if text.is_empty() {
                    return self.nothing();
                }
                if choices.iter().any(|choice| choice.value == text) {
                    Ok(text.into())
                } else {
                    Err(self.asks())
                }
            }
            FieldKind::Checkbox => {
                let ticked = match content {
                    Content::Nothing => Some(false),
                    Content::Text("") if typed => Some(false),
                    Content::Text("off" | "false" | "0") if typed => Some(false),
                    Content::Text("on" | "true" | "1") if typed => Some(true),
                    Content::Other(value) => value.as_bool(),
                    Content::Text(_) => None,
                };
                match ticked {
                    Some(false) if self.required => Err("Tick this box.".to_owned()),
                    Some(ticked) => Ok(ticked.into()),
                    None => Err(self.asks()),
                }
            }
            FieldKind::Number { min, max } => {
                let number = match content {
                    Content::Text(text) if typed && !text.trim().is_empty() => text.trim().parse().ok(),
                    Content::Text(_) if !typed => None,
                    Content::Other(value) => value.as_i64(),
                    Content::Nothing | Content::Text(_) => return self.nothing(),
                };
                let within = number.filter(|number| (*min..=*max).contains(number));
                within.map(Value::from).ok_or_else(|| self.asks())
            }
            FieldKind::Decimal { min, max } => {
                let number = match content {
                    Content::Text(text) if typed && !text.trim().is_empty() => text.trim().parse().ok(),
                    Content::Text(_) if !typed => None,
                    Content::Other(value) => value.as_f64(),
                    Content::Nothing | Content::Text(_) => return self.nothing(),
                };
                let within = number
                    .filter(|number: &f64| min.is_none_or(|min| *number >= min))
                    .filter(|number| max.is_none_or(|max| *number <= max));
                // What is not finite is no number of JSON.
                let number = within.and_then(Number::from_f64);
                number.map(Value::from).ok_or_else(|| self.asks())
            }
            FieldKind::Date { min, max } => {
                let text = self.filled(text, &self.asks())?;
                if text.is_empty() {
                    return self.nothing();
                }
                // Only this one spelling, so that equal dates are equal texts; years of four digits, as browsers send them.
                let date =
                    text.parse::<Date>().ok().filter(|date| text.len() == 10 && date.to_string() == text);
                let within = date
                    .filter(|date| min.is_none_or(|min| *date >= min))
                    .filter(|date| max.is_none_or(|max| *date <= max));
                within.map(|_| text.into()).ok_or_else(|| self.asks())
            }
            FieldKind::File { .. } => Ok(Value::Null),
        }
    }

    fn read_file(&self, given: Given<'_>, max_bytes: Option<u64>) -> Result<Value, String> {
        match given {
            Given::File(upload) => {
                if let Some(most) = max_bytes.filter(|most| upload.size > *most) {
                    return Err(format!("Choose a file of at most {}.", size(most)));
                }
                serde_json::to_value(upload).map_err(|error| error.to_string())
            }
            Given::Text(_) => Err("Send a file here.".to_owned()),
            Given::Missing | Given::Json(Value::Null) if self.required => Err("Choose a file.".to_owned()),
            Given::Missing | Given::Json(Value::Null) => Ok(Value::Null),
            // Whoever writes the JSON would choose which file of this machine is read.
            Given::Json(_) => Err("A file cannot come as JSON: send the form.".to_owned()),
        }
    }

    fn read_text(&self, text: Option<&str>, limits: &TextLimits) -> Result<Value, String> {
        let text = self.filled(text, "Enter text.")?;
        if text.is_empty() {
            return Ok(text.into());
        }
        let length = text.chars().count();
        if let Some(least) = limits.min_length.filter(|least| length < *least) {
            return Err(format!("Enter at least {}: this has {length}.", characters(least)));
        }
        if let Some(most) = limits.max_length.filter(|most| length > *most) {
            return Err(format!("Enter at most {}: this has {length}.", characters(most)));
        }
        match &limits.pattern {
            Some(pattern) if !pattern.matches(text) => Err(if self.help.is_empty() {
                format!("Enter text that matches {}", pattern.as_str())
            } else {
                format!("Enter what is asked for: {}", self.help)
            }),
            _ => Ok(text.into()),
        }
    }

    /// The text, which is there where it has to be.
    fn filled<'a>(&self, text: Option<&'a str>, asked: &str) -> Result<&'a str, String> {
        match text {
            Some(text) if self.required && text.trim().is_empty() => Err(EMPTY.to_owned()),
            Some(text) => Ok(text),
            None => Err(asked.to_owned()),
        }
    }

    /// What a field that was left empty gives, where an empty text is no value of its kind.
    fn nothing(&self) -> Result<Value, String> {
        if self.required {
            Err(EMPTY.to_owned())
        } else if self.needs_value() {
            Err(self.asks())
        } else {
            Ok(Value::Null)
        }
    }

    /// A sentence that says what to enter.
    fn asks(&self) -> String {
        match &self.kind {
            FieldKind::Number { min, max } => {
                let (min, max) = (Some(*min).filter(|n| *n > i64::MIN), Some(*max).filter(|n| *n < i64::MAX));
                format!("Enter a whole number{}.", between(min, max))
            }
            FieldKind::Decimal { min, max } => format!("Enter a number{}.", between(*min, *max)),
            FieldKind::Date { min, max } => format!("Enter a date as YYYY-MM-DD{}.", between(*min, *max)),
            FieldKind::Choice { choices } => {
                let words: Vec<_> = choices
                    .iter()
                    .map(|choice| match (&*choice.value, &*choice.label) {
                        (value, label) if value == label => value.to_owned(),
                        (value, label) => format!("{value} ({label})"),
                    })
                    .collect();
                format!("Choose one of {}.", words.join(", "))
            }
            FieldKind::Checkbox => "Tick the box or leave it.".to_owned(),
            FieldKind::Text(_) | FieldKind::Textarea(_) | FieldKind::Path | FieldKind::File { .. } => {
                EMPTY.to_owned()
            }
        }
    }
}

fn between<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (None, None) => String::new(),
        (Some(min), None) => format!(", {min} or more"),
        (None, Some(max)) => format!(", {max} or less"),
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
    }
}

fn characters(count: usize) -> String {
    if count == 1 { "1 character".to_owned() } else { format!("{count} characters") }
}

/// A limit, for people.
pub(crate) fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    // Never more than it is.
    match (bytes / MIB, bytes % MIB * 10 / MIB) {
        (0, _) => format!("{bytes} bytes"),
        (whole, 0) => format!("{whole} MiB"),
        (whole, tenth) => format!("{whole}.{tenth} MiB"),
    }
}

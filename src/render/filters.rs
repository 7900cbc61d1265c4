//! How values become text in templates.

use std::borrow::Cow;

use jiff::Timestamp;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Error, Output, State, escape_formatter};

/// Escapes what HTML gives a meaning to, and makes control characters visible, which HTML does not
/// escape. Nothing is written for what is not there.
pub(super) fn escape_visibly(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    if *state.auto_escape() == AutoEscape::None {
        // Text for a terminal, which obeys control characters.
        let text = value.to_string();
        return out.write_str(&text.replace(is_control, "\u{FFFD}")).map_err(Error::from);
    }
    match value.as_str() {
        Some(text) if !value.is_safe() => out.write_str(&escaped(text)).map_err(Error::from),
        _ => escape_formatter(out, state, value),
    }
}

fn is_control(c: char) -> bool {
    c.is_control() && c != '\t'
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || is_control(c)) {
        return Cow::Borrowed(text);
    }
    let mut html = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#x27;"),
            c if is_control(c) => html.push(char::REPLACEMENT_CHARACTER),
            c => html.push(c),
        }
    }
    Cow::Owned(html)
}

/// Text of several lines, which stay lines.
pub(super) fn lines(text: &str) -> Value {
    let text = text.replace("\r\n", "\n");
    Value::from_safe_string(text.split('\n').map(escaped).collect::<Vec<_>>().join("\n"))
}

/// A value as JSON, to be read and not to be run: it is escaped as any text.
pub(super) fn json_text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// 12400 as "12,400"; what is no number stays.
pub(super) fn grouped(value: &Value) -> Value {
    if value.kind() != ValueKind::Number {
        return value.clone();
    }
    let text = value.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return Value::from(text);
    }
    let mut grouped = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction.filter(|fraction| *fraction != "0") {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    Value::from(grouped)
}

/// 82 seconds as "1 min 22 s".
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds for people; not negative"
)]
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 1.0 {
        return "under 1 s".to_owned();
    }
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// 3145728 as "3.1 MB".
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn bytes(count: u64) -> String {
    if count == 1 {
        return "1 byte".to_owned();
    }
    let mut rest = count as f64;
    for unit in ["bytes", "kB", "MB"] {
        if rest < 1000.0 {
            return in_unit(rest, unit);
        }
        rest /= 1000.0;
    }
    in_unit(rest, "GB")
}

fn in_unit(number: f64, unit: &str) -> String {
    let tenths = if number < 9.95 && number.fract() > 0.0 { 1 } else { 0 };
    format!("{number:.tenths$} {unit}")
}

/// An RFC 3339 time as "2026-11-25 14:02 UTC"; what is none stays.
pub(super) fn when(time: &str) -> String {
    time.parse::<Timestamp>()
        .map_or_else(|_| time.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_harmless_and_visible() {
        assert_eq!(escaped("a/b\tc\r\nd"), "a/b\tc\u{FFFD}\u{FFFD}d");
        assert_eq!(
            escaped("<a href='x\">&\0\u{1b}\r\u{85}"),
            "&lt;a href=&#x27;x&quot;&gt;&amp;\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [
            (Value::from(0), "0"),
            (Value::from(999), "999"),
            (Value::from(1_000_000), "1,000,000"),
            (Value::from(-12_400), "-12,400"),
            (Value::from(1234.5), "1,234.5"),
            (Value::from(3.0), "3"),
            (Value::from("12400"), "12400"),
            (Value::from(f64::INFINITY), "inf"),
        ] {
            assert_eq!(grouped(&value).to_string(), text);
        }
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.2, "under 1 s"),
            (59.9, "59 s"),
            (82.0, "1 min 22 s"),
            (3700.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (count, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1 kB"),
            (1234, "1.2 kB"),
            (12_345, "12 kB"),
            (3_145_728, "3.1 MB"),
            (5_000_000_000_000, "5000 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(when("2026-11-25T14:02:31Z"), "2026-11-25 14:02 UTC");
        assert_eq!(when("soon"), "soon");
    }
}

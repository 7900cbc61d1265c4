//! The way back: from a value of an input to what somebody gave for it.

use serde_json::Value;

use super::field::{Field, FieldKind};

impl Field {
    /// What is typed, chosen or ticked to give this value. None where the value is not of the field's type, as after a change
    /// of the field, and where it is a file, which browsers take from nobody else.
    pub(crate) fn typed(&self, value: &Value) -> Option<String> {
        match (&self.kind, value) {
            (FieldKind::File { .. }, _) => None,
            (FieldKind::Checkbox, Value::Bool(ticked)) => Some(if *ticked { "on" } else { "" }.to_owned()),
            (FieldKind::Checkbox, _) => None,
            (_, Value::Null) => Some(String::new()),
            (FieldKind::Number { .. } | FieldKind::Decimal { .. }, Value::Number(number)) => {
                Some(number.to_string())
            }
            (FieldKind::Number { .. } | FieldKind::Decimal { .. }, _) => None,
            (FieldKind::Textarea(_), Value::String(text)) => Some(text.clone()),
            // Browsers drop breaks from what is on one line.
            (_, Value::String(text)) => Some(text.replace(['\r', '\n'], " ")),
            _ => None,
        }
    }

    /// The same for people: a choice by its label, a box in a word. None also where nothing was given.
    pub(crate) fn in_words(&self, value: &Value) -> Option<String> {
        let typed = self.typed(value)?;
        match &self.kind {
            FieldKind::Checkbox => Some(if typed.is_empty() { "No" } else { "Yes" }.to_owned()),
            FieldKind::Choice { choices } => {
                let choice = choices.iter().find(|choice| choice.value == typed);
                Some(choice.map_or(typed, |choice| choice.label.to_string()))
            }
            _ => Some(typed),
        }
        .filter(|words| !words.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Given, Upload};
    use super::*;

    #[test]
    fn what_is_typed_again_gives_the_same_value() {
        for (field, value) in [
            (Field::text("x", "X"), json!("a <b>")),
            (Field::text("x", "X"), json!("")),
            (Field::textarea("x", "X"), json!("one\ntwo")),
            (Field::path("x", "X"), json!("/operations")),
            (Field::number("x", "X"), json!(-9_000_000_000_i64)),
            (Field::number("x", "X"), json!(null)),
            (Field::decimal("x", "X"), json!(0.1)),
            (Field::decimal("x", "X"), json!(1e300)),
            (Field::choice("x", "X", [("s", "Small")]), json!("s")),
            (Field::choice("x", "X", [("s", "Small")]), json!(null)),
            (Field::checkbox("x", "X"), json!(true)),
            (Field::checkbox("x", "X").default("on"), json!(false)),
            (Field::date("x", "X"), json!("2026-02-28")),
        ] {
            let typed = field.typed(&value).expect("it is of its type");
            assert_eq!(field.read(Given::Text(&typed)), Ok(value), "{field:?}");
        }
    }

    #[test]
    fn what_is_on_one_line_stays_there() {
        let value = json!("one\r\ntwo");
        assert_eq!(Field::text("x", "X").typed(&value).as_deref(), Some("one  two"));
        assert_eq!(Field::textarea("x", "X").typed(&value).as_deref(), Some("one\r\ntwo"));
    }

    #[test]
    fn a_value_of_another_type_is_none() {
        for (field, value) in [
            (Field::text("x", "X"), json!(1)),
            (Field::number("x", "X"), json!("1")),
            (Field::decimal("x", "X"), json!([0.5])),
            (Field::checkbox("x", "X"), json!("on")),
            (Field::checkbox("x", "X"), json!(null)),
            (Field::choice("x", "X", ["a"]), json!({ "a": 1 })),
            (Field::file("x", "X"), json!(Upload::default())),
            (Field::file("x", "X"), json!(null)),
        ] {
            assert_eq!((field.typed(&value), field.in_words(&value)), (None, None), "{field:?}");
        }
    }
}

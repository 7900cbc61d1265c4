//! A kind's form: its fields described once, and what was submitted read by them.

mod check;
mod field;
mod pattern;
mod stored;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use check::fault;
pub use field::{Bound, Choice, Field, FieldKind, TextLimits};
pub use pattern::Pattern;
use value::Given;
pub(crate) use value::size;

/// A file that came with a form and lies on this machine's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where it lies, under a random name.
    pub path: PathBuf,
    /// The name that the browser gave: text for people, never part of a path.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
}

/// One value of a submitted form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// What was typed or chosen.
    Text(String),
    /// What was uploaded.
    File(Upload),
}

/// What is wrong with a field, in words for the person who filled it in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The field's name.
    pub field: String,
    /// A sentence.
    pub message: String,
}

/// Longest text of a field, in bytes.
pub(crate) const TEXT_LIMIT: usize = 64 * 1024;

/// Reads what a form sent by the fields' description, into an input. What is not described is passed
/// over, as browsers send more than that.
///
/// # Errors
/// One for each field that is not right.
pub fn read_form(fields: &[Field], values: &BTreeMap<String, Submitted>) -> Result<Value, Vec<FieldError>> {
    read(fields, |field| match values.get(&*field.name) {
        Some(Submitted::Text(text)) => Given::Text(text),
        Some(Submitted::File(upload)) => Given::File(upload),
        // Browsers leave an unticked box out; any other field need not be named when it has a default.
        None if field.kind == FieldKind::Checkbox => Given::Text(""),
        None => Given::Missing,
    })
}

/// Reads an object by the fields' description, into an input: by the same rules as a form, but numbers
/// and truths are those of JSON, `null` is a field that was left empty, and what is not there takes
/// its default.
///
/// ```
/// use liveops::operation::{Field, read_json};
/// use serde_json::json;
///
/// let fields = [Field::number("steps", "Steps").range(0, 9).default("3"), Field::checkbox("stamp", "Stamp")];
/// assert_eq!(read_json(&fields, &json!({ "stamp": true })), Ok(json!({ "steps": 3, "stamp": true })));
/// let errors = read_json(&fields, &json!({ "steps": 10, "step": 1 })).unwrap_err();
/// assert_eq!(errors[0].to_string(), "steps: Enter a whole number from 0 to 9.");
/// assert_eq!(errors[1].field, "step");
/// ```
///
/// # Errors
/// One for each field that is not right, and for each key that is no field.
pub fn read_json(fields: &[Field], input: &Value) -> Result<Value, Vec<FieldError>> {
    let Value::Object(given) = input else {
        let message = "Give an object that has a value for each field.".to_owned();
        return Err(vec![FieldError { field: "input".to_owned(), message }]);
    };
    let read = read(fields, |field| given.get(&*field.name).map_or(Given::Missing, Given::Json));
    let unknown = given.keys().filter(|key| fields.iter().all(|field| field.name != **key));
    let unknown: Vec<_> = unknown.map(|key| FieldError::unknown(key, fields)).collect();
    match read {
        Ok(input) if unknown.is_empty() => Ok(input),
        Ok(_) => Err(unknown),
        Err(errors) => Err(errors.into_iter().chain(unknown).collect()),
    }
}

fn read<'a>(fields: &[Field], given: impl Fn(&Field) -> Given<'a>) -> Result<Value, Vec<FieldError>> {
    let mut input = Map::new();
    let mut errors = Vec::new();
    for field in fields {
        match field.read(given(field)) {
            Ok(value) => {
                input.insert(field.name.to_string(), value);
            }
            Err(message) => errors.push(FieldError { field: field.name.to_string(), message }),
        }
    }
    if errors.is_empty() { Ok(Value::Object(input)) } else { Err(errors) }
}

impl FieldError {
    fn unknown(key: &str, fields: &[Field]) -> Self {
        let known: Vec<_> = fields.iter().map(|field| &*field.name).collect();
        Self {
            field: key.to_owned(),
            message: format!("There is no field of this name, but {}.", known.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Vec<Field> {
        vec![
            Field::number("steps", "Steps").range(0, 9).default("3"),
            Field::choice("outcome", "Outcome", ["ok", "error"]).required().default("ok"),
            Field::checkbox("stamp", "Stamp"),
            Field::text("name", "Name").required(),
        ]
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Value, Vec<FieldError>> {
        let values = pairs.iter().map(|(k, v)| ((*k).to_owned(), Submitted::Text((*v).to_owned()))).collect();
        read_form(&fields(), &values)
    }

    #[test]
    fn missing_values_take_their_defaults() {
        assert_eq!(
            read(&[("name", "x")]),
            Ok(json!({"steps": 3, "outcome": "ok", "stamp": false, "name": "x"}))
        );
    }

    #[test]
    fn each_wrong_field_has_its_message() {
        let errors = read(&[("steps", "10"), ("outcome", "no"), ("stamp", "maybe")]).expect_err("all wrong");
        let names: Vec<_> = errors.iter().map(|error| &*error.field).collect();
        assert_eq!(names, ["steps", "outcome", "stamp", "name"]);
        assert!(read(&[("name", "a\0b")]).is_err());
        assert!(read(&[("name", "x"), ("steps", "")]).is_err());
    }

    #[test]
    fn a_path_is_of_this_site_or_empty() {
        let fields = [Field::path("to", "To")];
        let read = |text: &str| {
            read_form(&fields, &BTreeMap::from([("to".to_owned(), Submitted::Text(text.to_owned()))]))
        };
        assert_eq!(read("/operations?page=2"), Ok(json!({"to": "/operations?page=2"})));
        assert_eq!(read(""), Ok(json!({"to": ""})));
        assert_eq!(read_form(&fields, &BTreeMap::new()), Ok(json!({"to": ""})));
        for bad in ["operations", "//evil", "/\\evil", "https://evil", " /operations"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

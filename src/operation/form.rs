//! A kind's form: its fields described once, and what was submitted read by them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::outcome::is_local_path;

/// One field of a form.
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    /// Its name in the form and in the input.
    pub name: &'static str,
    /// What stands beside it.
    pub label: &'static str,
    /// A sentence below it; may be empty.
    pub help: &'static str,
    /// Whether it must be filled in.
    pub required: bool,
    /// What it holds at first; for a checkbox `on` or nothing.
    pub default: String,
    /// What it takes.
    #[serde(flatten)]
    pub kind: FieldKind,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum FieldKind {
    /// One line of text.
    Text,
    /// An absolute path of this site, or nothing.
    Path,
    /// A whole number within bounds, both included.
    Number {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// One of several words.
    Choice {
        /// The words.
        choices: &'static [&'static str],
    },
    /// Yes or no.
    Checkbox,
    /// A file, stored before the operation starts.
    File {
        /// What the browser offers: the `accept` attribute.
        accept: &'static str,
    },
}

impl Field {
    /// A field that takes `kind`.
    pub fn new(name: &'static str, label: &'static str, kind: FieldKind) -> Self {
        Self { name, label, help: "", required: false, default: String::new(), kind }
    }

    /// Sets the sentence below the field.
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// The field must be filled in.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Sets what the field holds at first.
    pub fn default(mut self, value: impl Into<String>) -> Self {
        self.default = value.into();
        self
    }
}

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
    pub field: &'static str,
    /// A sentence.
    pub message: String,
}

/// Longest text of a field, in bytes.
pub(crate) const TEXT_LIMIT: usize = 64 * 1024;

/// Reads what was submitted by the fields' description, into an input.
///
/// # Errors
/// One for each field that is not right.
pub fn read_form(fields: &[Field], values: &BTreeMap<String, Submitted>) -> Result<Value, Vec<FieldError>> {
    let mut input = Map::new();
    let mut errors = Vec::new();
    for field in fields {
        match field.read(values.get(field.name)) {
            Ok(value) => {
                input.insert(field.name.to_owned(), value);
            }
            Err(message) => errors.push(FieldError { field: field.name, message }),
        }
    }
    if errors.is_empty() { Ok(Value::Object(input)) } else { Err(errors) }
}

impl Field {
    fn read(&self, value: Option<&Submitted>) -> Result<Value, String> {
        if let FieldKind::File { .. } = self.kind {
            return match value {
                Some(Submitted::File(upload)) => {
                    serde_json::to_value(upload).map_err(|error| error.to_string())
                }
                Some(Submitted::Text(_)) => Err("Send a file here.".to_owned()),
                None if self.required => Err("Choose a file.".to_owned()),
                None => Ok(Value::Null),
            };
        }
        let text = match value {
            Some(Submitted::Text(text)) => text.as_str(),
            Some(Submitted::File(_)) => return Err("A file does not fit here.".to_owned()),
            // Browsers leave an unticked box out; any other field need not be named when it has a default.
            None if self.kind == FieldKind::Checkbox => "",
            None => self.default.as_str(),
        };
        if text.contains('\0') {
            return Err("This holds a NUL character, which text cannot have.".to_owned());
        }
        if text.len() > TEXT_LIMIT {
            return Err(format!("This is longer than {TEXT_LIMIT} bytes."));
        }
        if self.required && text.trim().is_empty() {
            return Err("Fill in this field.".to_owned());
        }
        match &self.kind {
            FieldKind::Number { min, max } => {
                let number: i64 =
                    text.trim().parse().map_err(|_| format!("Enter a whole number from {min} to {max}."))?;
                if (*min..=*max).contains(&number) {
                    Ok(number.into())
                } else {
                    Err(format!("Enter a whole number from {min} to {max}."))
                }
            }
            FieldKind::Choice { choices } => {
                if choices.contains(&text) || (text.is_empty() && !self.required) {
                    Ok(text.into())
                } else {
                    Err(format!("Choose one of {}.", choices.join(", ")))
                }
            }
            FieldKind::Checkbox => match text {
                "" | "off" | "false" | "0" => Ok(false.into()),
                "on" | "true" | "1" => Ok(true.into()),
                _ => Err("Tick the box or leave it.".to_owned()),
            },
            FieldKind::Text => Ok(text.into()),
            FieldKind::Path => {
                if text.is_empty() || is_local_path(text) {
                    Ok(text.into())
                } else {
                    Err("Enter a path of this site, which begins with one / (such as /operations)."
                        .to_owned())
                }
            }
            FieldKind::File { .. } => Ok(Value::Null),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Vec<Field> {
        vec![
            Field::new("steps", "Steps", FieldKind::Number { min: 0, max: 9 }).default("3"),
            Field::new("outcome", "Outcome", FieldKind::Choice { choices: &["ok", "error"] })
                .required()
                .default("ok"),
            Field::new("stamp", "Stamp", FieldKind::Checkbox),
            Field::new("name", "Name", FieldKind::Text).required(),
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
        let names: Vec<_> = errors.iter().map(|error| error.field).collect();
        assert_eq!(names, ["steps", "outcome", "stamp", "name"]);
        assert!(read(&[("name", "a\0b")]).is_err());
        assert!(read(&[("name", "x"), ("steps", "")]).is_err());
    }

    #[test]
    fn a_path_is_of_this_site_or_empty() {
        let fields = [Field::new("to", "To", FieldKind::Path)];
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

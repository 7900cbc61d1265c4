//! How deep a value may nest that is stored.

use serde_json::Value;

/// Most levels of lists and objects in an input, a result or a template's context. Readers of JSON stop at 128, and what
/// is stored wraps these in some levels of its own.
pub const DEPTH_LIMIT: usize = 100;

/// The value, unless it nests too deep to be read again.
pub(crate) fn shallow(value: Value) -> Result<Value, TooDeep> {
    if nests_deeper(&value, DEPTH_LIMIT) { Err(TooDeep) } else { Ok(value) }
}

/// The value nests too deep to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it nests deeper than {DEPTH_LIMIT} levels: make it flatter, or keep it as text")]
pub struct TooDeep;

fn nests_deeper(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return value.is_array() || value.is_object() };
    match value {
        Value::Array(items) => items.iter().any(|item| nests_deeper(item, left)),
        Value::Object(entries) => entries.values().any(|entry| nests_deeper(entry, left)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_through_can_be_read_within_other_values() {
        let nested = |levels: usize| (0..levels).fold(Value::from(1), |value, _| serde_json::json!([value]));
        assert_eq!(shallow(nested(DEPTH_LIMIT + 1)), Err(TooDeep));
        let mut value = shallow(nested(DEPTH_LIMIT)).expect("as deep as may be");
        for level in 0..20 {
            value = serde_json::json!({ "level": level, "inside": value });
        }
        assert!(serde_json::from_str::<Value>(&value.to_string()).is_ok());
        let empty =
            (0..DEPTH_LIMIT).fold(serde_json::json!({}), |value, _| serde_json::json!({ "a": value }));
        assert_eq!(shallow(empty), Err(TooDeep), "an empty object is a level too");
    }
}

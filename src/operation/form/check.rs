//! Whether fields can be a form at all: looked at once, when their kind is registered.

use super::field::{Field, FieldKind, TextLimits};
use super::value::Given;

/// Names that every form has for itself.
const RESERVED: [&str; 2] = ["csrf_token", "submission"];
/// Longest name.
const NAME: usize = 64;

/// The first field that cannot be used, and why.
pub(in crate::operation) fn fault(fields: &[Field]) -> Option<(String, String)> {
    fields.iter().enumerate().find_map(|(at, field)| {
        let is_doubled = fields.iter().take(at).any(|other| other.name == field.name);
        let fault = if is_doubled {
            Some("another field has this name: give one of them another".to_owned())
        } else {
            field.own_fault()
        };
        fault.map(|fault| (field.name.to_string(), fault))
    })
}

impl Field {
    fn own_fault(&self) -> Option<String> {
        let mut chars = self.name.chars();
        let well_formed = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && self.name.len() <= NAME;
        if !well_formed {
            return Some(format!(
                "a field's name is a letter and then letters, digits or '_', at most {NAME} of them"
            ));
        }
        if RESERVED.contains(&&*self.name) {
            return Some("every form has a field of this name for itself: take another".to_owned());
        }
        self.fault.clone().or_else(|| self.kind.fault()).or_else(|| self.default_fault())
    }

    fn default_fault(&self) -> Option<String> {
        if self.default.is_empty() {
            return None;
        }
        let refused = self.read(Given::Text(&self.default)).err()?;
        Some(format!("it refuses its own default {:?}: {refused}", self.default))
    }
}

impl FieldKind {
    fn fault(&self) -> Option<String> {
        match self {
            Self::Text(limits) | Self::Textarea(limits) => limits.fault(),
            Self::Number { min, max } => crossed(Some(min), Some(max)),
            Self::Decimal { min, max } => {
                let is_odd = |bound: &Option<f64>| bound.is_some_and(|bound| !bound.is_finite());
                if is_odd(min) || is_odd(max) {
                    return Some("a bound is no number".to_owned());
                }
                crossed(min.as_ref(), max.as_ref())
            }
            Self::Date { min, max } => crossed(min.as_ref(), max.as_ref()),
            Self::Choice { choices } => {
                if choices.is_empty() {
                    return Some("there is nothing to choose from".to_owned());
                }
                choices.iter().enumerate().find_map(|(at, choice)| {
                    if choice.value.is_empty() {
                        return Some(
                            "a choice is empty: leave it out, and let the field be optional".to_owned(),
                        );
                    }
                    let is_doubled = choices.iter().take(at).any(|other| other.value == choice.value);
                    is_doubled.then(|| format!("the choice {:?} is there twice", choice.value))
                })
            }
            Self::Path | Self::Checkbox | Self::File { .. } => None,
        }
    }
}

impl TextLimits {
    fn fault(&self) -> Option<String> {
        if let Some(fault) = self.pattern.as_ref().and_then(|pattern| pattern.fault()) {
            return Some(format!("its pattern cannot be used: {fault}"));
        }
        match (self.min_length, self.max_length) {
            (Some(min), Some(max)) if min > max => {
                Some(format!("its min_length {min} is over its max_length {max}"))
            }
            (_, Some(0)) => Some("its max_length is 0, so that nothing can be entered".to_owned()),
            _ => None,
        }
    }
}

fn crossed<T: PartialOrd + std::fmt::Display>(min: Option<&T>, max: Option<&T>) -> Option<String> {
    let (min, max) = (min?, max?);
    (min > max).then(|| format!("its min {min} is over its max {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(field: Field) -> Option<String> {
        fault(&[field]).map(|(_, fault)| fault)
    }

    #[test]
    fn each_field_that_cannot_be_used_says_why() {
        let cases = [
            (Field::text("", "X"), "name"),
            (Field::text("a b", "X"), "name"),
            (Field::text("1a", "X"), "name"),
            (Field::text("x".repeat(65), "X"), "name"),
            (Field::text("csrf_token", "X"), "itself"),
            (Field::text("submission", "X"), "itself"),
            (Field::text("x", "X").pattern("("), "pattern"),
            (Field::text("x", "X").min_length(3).max_length(2), "min_length"),
            (Field::text("x", "X").max_length(0), "max_length"),
            (Field::text("x", "X").range(1, 2), "min"),
            (Field::text("x", "X").max_length(2).default("abc"), "default"),
            (Field::number("x", "X").range(2, 1), "min"),
            (Field::number("x", "X").range(1, 2).default("3"), "default"),
            (Field::number("x", "X").max_length(2), "max_length"),
            (Field::number("x", "X").min(0.5), "min"),
            (Field::decimal("x", "X").min(f64::NAN), "bound"),
            (Field::decimal("x", "X").range(0.5, 0.25), "min"),
            (Field::date("x", "X").default("yesterday"), "default"),
            (Field::choice("x", "X", [] as [&str; 0]), "choose"),
            (Field::choice("x", "X", ["a", "a"]), "twice"),
            (Field::choice("x", "X", [""]), "empty"),
            (Field::choice("x", "X", ["a"]).default("b"), "default"),
            (Field::checkbox("x", "X").default("perhaps"), "default"),
            (Field::checkbox("x", "X").accept(".csv"), "accept"),
            (Field::file("x", "X").default("a.csv"), "default"),
        ];
        for (field, word) in cases {
            let said = format!("{field:?}");
            assert!(of(field).is_some_and(|fault| fault.contains(word)), "{word}: {said}");
        }
        let doubled = fault(&[Field::text("x", "X"), Field::number("x", "X")]);
        assert!(doubled.is_some_and(|(name, fault)| name == "x" && fault.contains("another field")));
    }

    #[test]
    fn what_can_be_used_is_used() {
        let day = |day| jiff::civil::date(2026, 1, day);
        for field in [
            Field::text("x_1", "X").required().min_length(1).max_length(1).pattern("[a-z]").default("a"),
            Field::decimal("x", "X").range(0, 0.5).default("0.25"),
            Field::date("x", "X").range(day(1), day(1)).default("2026-01-01"),
            Field::choice("x", "X", [("a", "A")]).default("a"),
            Field::checkbox("x", "X").default("on"),
            Field::file("x", "X").accept(".csv").max_bytes(1),
        ] {
            let said = format!("{field:?}");
            assert_eq!(of(field), None, "{said}");
        }
    }
}

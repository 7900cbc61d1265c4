//! What users and groups may be called.

use liveops::progress::is_invisible;

use super::Failure;

/// Longest name, in characters.
const LONGEST: usize = 100;

pub(super) fn user(name: String) -> Result<String, Failure> {
    if is_visible(&name) {
        return Ok(name);
    }
    Err(format!("the name {name:?} cannot be used: give 1 to {LONGEST} visible characters").into())
}

/// Each group once, in the order in which they were given.
pub(super) fn groups(given: Vec<String>) -> Result<Vec<String>, Failure> {
    let mut groups: Vec<String> = Vec::new();
    for group in given {
        // Lists of groups are separated by commas.
        if !is_visible(&group) || group.contains(',') {
            return Err(format!(
                "the group {group:?} cannot be used: give 1 to {LONGEST} visible characters without commas"
            )
            .into());
        }
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// What two people would read alike is compared exactly, so nothing in it may be unseen.
fn is_visible(name: &str) -> bool {
    (1..=LONGEST).contains(&name.chars().count())
        && name.trim() == name
        && !name.contains(|c: char| c.is_control() || is_invisible(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen() {
        for name in ["a", "Ada Lovelace", "Ådå", "用户", "a,b", &"x".repeat(100)] {
            assert!(user(name.to_owned()).is_ok(), "{name:?}");
        }
        for name in [
            "",
            " ",
            " a",
            "a\n",
            "a\u{202e}b",
            "a\u{200b}",
            "\u{7f}",
            "a\u{3164}",
            "a\u{34f}b",
            "a\u{e0061}",
            &"x".repeat(101),
        ] {
            assert!(user(name.to_owned()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn groups_are_seen_without_commas_and_once() {
        let given = ["b", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(groups(given).expect("they are fine"), ["b", "a"]);
        for group in ["", "a,b", "\t"] {
            assert!(groups(vec!["fine".to_owned(), group.to_owned()]).is_err(), "{group:?}");
        }
    }
}

//! Names of columns, made from a header's cells.

use std::collections::HashSet;

/// Most columns that a table can have: SQLite's own limit.
pub(super) const MOST_COLUMNS: usize = 2000;

/// Longest name, in characters.
const LONGEST: usize = 200;

/// One name for each cell: trimmed, cut to a sensible length, `column_N` where it is empty, and
/// with a suffix where it is there already (SQLite tells no upper case from lower).
pub(super) fn column_names<'a>(header: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    header
        .enumerate()
        .map(|(index, cell)| {
            let name: String = cell.trim().chars().take(LONGEST).collect();
            let name = if name.is_empty() { format!("column_{}", index + 1) } else { name };
            let mut unique = name.clone();
            let mut number = 2;
            while !taken.insert(unique.to_lowercase()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            unique
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_never_empty() {
        let names = column_names(["id", " ID ", "", "id_2", "a\"; DROP", "column_3", "\t"].into_iter());
        assert_eq!(names, ["id", "ID_2", "column_3", "id_2_2", "a\"; DROP", "column_3_2", "column_7"]);
    }

    #[test]
    fn long_names_are_cut() {
        let names = column_names(["ä".repeat(5000).as_str(), "ä".repeat(6000).as_str()].into_iter());
        assert_eq!(names[0].chars().count(), LONGEST);
        assert_ne!(names[0], names[1]);
    }
}

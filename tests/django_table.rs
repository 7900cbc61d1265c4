//! The table for those who come from django-liveops says something in every cell.

#[test]
fn no_cell_of_the_table_for_django_liveops_is_empty() {
    let page = include_str!("../docs/django-liveops.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 50, "the table is there");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 2 && cells.iter().all(|cell| !cell.is_empty()), "two cells with words: {row}");
    }
}

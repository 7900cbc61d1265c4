//! The table of `liveops user list`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use liveops::store::User;

const HEADER: [&str; 3] = ["NAME", "GROUPS", "SUPERUSER"];

/// Who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A person: columns under a header.
    Table,
    /// A script: a user a line, name, groups and `superuser` separated by tabs.
    Lines,
}

impl Style {
    pub(super) fn of_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Lines }
    }
}

/// The users without anything secret.
pub(super) fn render(users: &[User], style: Style) -> String {
    match style {
        Style::Lines => users.iter().map(|user| format!("{}\n", cells(user, ",").join("\t"))).collect(),
        Style::Table if users.is_empty() => "There are no users yet: liveops user add NAME\n".to_owned(),
        Style::Table => table(users),
    }
}

fn cells(user: &User, between: &str) -> [String; 3] {
    let superuser = if user.superuser { "superuser" } else { "" };
    [user.name.clone(), user.groups.join(between), superuser.to_owned()]
}

fn table(users: &[User]) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(users.iter().map(|user| {
        let [name, groups, superuser] = cells(user, ", ");
        let superuser = if superuser.is_empty() { "" } else { "yes" };
        [name, groups, superuser.to_owned()]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().fold(String::new(), |mut text, [name, groups, superuser]| {
        let line = format!("{name:first$}  {groups:second$}  {superuser}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Vec<User> {
        [("ada", &["operators", "staff"][..], true), ("bob", &[], false)]
            .map(|(name, groups, superuser)| User {
                id: format!("id of {name}"),
                name: name.to_owned(),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                superuser,
                password_hash: Some("$argon2id$".to_owned()),
            })
            .to_vec()
    }

    #[test]
    fn people_get_columns_and_scripts_get_tabs() {
        let table = "NAME  GROUPS            SUPERUSER\nada   operators, staff  yes\nbob\n";
        assert_eq!(render(&users(), Style::Table), table);
        assert_eq!(render(&users(), Style::Lines), "ada\toperators,staff\tsuperuser\nbob\t\t\n");
        assert_eq!(render(&[], Style::Lines), "");
    }
}

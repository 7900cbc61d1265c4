//! Who looks.

/// The person behind a request, as the host application knows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The id that operations are owned by: stable, never reused.
    pub id: String,
    /// What they are called on pages.
    pub name: String,
    /// The groups that they belong to.
    pub groups: Vec<String>,
    /// Passes every group check, and sees nobody else's operations all the same.
    pub superuser: bool,
    /// Names their session, for the CSRF token; it never leaves the server.
    pub session: String,
}

impl Viewer {
    /// Whether what `group` may do is theirs too: members and superusers; everybody, without one.
    pub fn passes(&self, group: Option<&str>) -> bool {
        group.is_none_or(|group| self.superuser || self.groups.iter().any(|own| own == group))
    }
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewer").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

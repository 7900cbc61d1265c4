//! The parts of a page.

/// A named part of a page that is replaced as a whole. The log's lines are the one that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// The stages as steps.
    Stages,
    /// The state and what is being done.
    Status,
    /// The bar and its numbers.
    Progress,
    /// Which rows failed.
    Failures,
    /// How many lines the log has.
    LogMore,
    /// The log's tail.
    LogLines,
    /// The result or the error.
    Result,
    /// Regions that the operation made itself.
    Extra,
    /// The cancel or restart form.
    Controls,
}

impl Region {
    /// Every region, in the order in which a stream sends them.
    pub const ALL: [Self; 9] = [
        Self::Stages,
        Self::Status,
        Self::Progress,
        Self::Failures,
        Self::LogMore,
        Self::LogLines,
        Self::Result,
        Self::Extra,
        Self::Controls,
    ];

    /// The end of the region's element id, and its template's name with `-` as `_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stages => "stages",
            Self::Status => "status",
            Self::Progress => "progress",
            Self::Failures => "failures",
            Self::LogMore => "log-more",
            Self::LogLines => "log-lines",
            Self::Result => "result",
            Self::Extra => "extra",
            Self::Controls => "controls",
        }
    }
}

//! Errors of evaluation.

/// Why an expression has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Failure {
    /// It uses a value that does not exist.
    Absent,
    /// An operation does not support the type of a value.
    WrongType,
    /// A number that cannot be computed, or a position outside a string.
    Arithmetic,
    /// It exceeds the limit of steps.
    TooCostly,
}

impl Failure {
    /// The text in explanations.
    pub(in crate::policy) const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "it uses a value that does not exist",
            Self::WrongType => "it yields or uses a value of the wrong type",
            Self::Arithmetic => "its arithmetic has no valid result",
            Self::TooCostly => "it takes too many steps",
        }
    }
}

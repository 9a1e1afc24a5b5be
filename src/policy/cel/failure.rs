//! Why an expression yields nothing.

/// Why an expression yields nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Failure {
    /// It looks at something that is not there.
    Absent,
    /// A value has a type for which an operation has no meaning.
    WrongType,
    /// A number that cannot be computed, or a position outside of a string.
    Arithmetic,
    /// It takes more steps than an expression may.
    TooCostly,
}

impl Failure {
    /// The sentence in explanations.
    pub(in crate::policy) const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "it names something that is not there",
            Self::WrongType => "it yields or uses a value of the wrong type",
            Self::Arithmetic => "it computes a number that there is not",
            Self::TooCostly => "it takes too many steps",
        }
    }
}

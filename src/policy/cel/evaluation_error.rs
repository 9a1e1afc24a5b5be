//! Errors of evaluation.

/// Why an evaluation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum EvaluationError {
    /// The expression uses a value that does not exist.
    Absent,
    /// An operation does not support the type of a value.
    WrongType,
    /// An operation has no result for its arguments: overflow, division by zero, a position outside a string.
    InvalidArgument,
    /// The evaluation exceeds the limit of steps.
    TooManySteps,
}

impl EvaluationError {
    /// The text in explanations.
    pub(in crate::policy) const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "it uses a value that does not exist",
            Self::WrongType => "it yields or uses a value of the wrong type",
            Self::InvalidArgument => "its arithmetic has no valid result",
            Self::TooManySteps => "it takes too many steps",
        }
    }
}

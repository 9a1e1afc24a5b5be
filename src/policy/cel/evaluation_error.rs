//! Errors of evaluation.

closed_enum! {
    /// Why an evaluation has no result.
    pub(in crate::policy) enum EvaluationError {
        /// The expression uses a value that does not exist.
        Absent => "it uses a value that does not exist",
        /// An operation does not support the type of a value.
        WrongType => "it yields or uses a value of the wrong type",
        /// An operation has no result for its arguments: overflow, division by zero, a position outside a string.
        InvalidArgument => "its arithmetic has no valid result",
        /// The evaluation exceeds the limit of steps.
        TooManySteps => "it takes too many steps",
    }
}

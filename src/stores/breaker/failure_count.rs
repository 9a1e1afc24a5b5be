//! Counts failures in a row, and records whether they are from more than one part of a scope.

/// A breaker opens after this many failures in a row.
pub(super) const FAILURES_TO_OPEN: u32 = 5;

/// A failed call, as it counts for one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A failure of the whole scope.
    Whole,
    /// A failure of the part with this hash. Failures of a single part never open the breaker.
    Part(u64),
}

/// The number of failures in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FailureCount {
    failures: u32,
    first_part: Option<u64>,
    /// Whether the whole scope failed, or several parts.
    is_shared: bool,
}

impl FailureCount {
    /// Counts a failure. Returns whether the breaker opens.
    pub(super) fn add(&mut self, failure: Failure) -> bool {
        self.failures = self.failures.saturating_add(1);
        match (failure, self.first_part) {
            (Failure::Whole, _) => self.is_shared = true,
            (Failure::Part(part), Some(first)) => self.is_shared |= part != first,
            (Failure::Part(part), None) => self.first_part = Some(part),
        }
        self.failures >= FAILURES_TO_OPEN && self.is_shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of these failures after which the breaker opens.
    fn opens_after(failures: impl IntoIterator<Item = Failure>) -> Option<usize> {
        let mut count = FailureCount::default();
        failures.into_iter().position(|failure| count.add(failure)).map(|index| index + 1)
    }

    #[test]
    fn failures_of_a_single_part_never_open_the_breaker() {
        use Failure::{Part, Whole};
        assert_eq!(opens_after([Whole; 9]), Some(5));
        assert_eq!(opens_after([Part(1); 100]), None);
        assert_eq!(opens_after([Part(1), Part(1), Part(1), Part(1), Part(2)]), Some(5));
        assert_eq!(opens_after([Part(1), Part(2)].into_iter().cycle().take(9)), Some(5));
        assert_eq!(opens_after([Part(1), Part(1), Part(1), Part(1), Part(1), Part(1), Part(2)]), Some(7));
        assert_eq!(opens_after([Part(1), Part(1), Part(1), Part(1), Whole]), Some(5));
    }
}

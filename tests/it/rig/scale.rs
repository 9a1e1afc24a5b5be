//! How much a test does: little where it runs with the others, more where a make target says so.

/// The number that this variable says, or the small one.
#[expect(clippy::disallowed_methods, reason = "a number for tests, not a setting")]
pub fn scale(variable: &str, small: usize) -> usize {
    std::env::var(variable).map_or(small, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text}")))
}

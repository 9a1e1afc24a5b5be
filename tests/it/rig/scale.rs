//! The scale of a test: small in an ordinary run, larger if a make target sets it.

/// The number in this environment variable, by default the small one.
#[expect(clippy::disallowed_methods, reason = "a number for tests, not a setting")]
pub fn scale(variable: &str, small: usize) -> usize {
    std::env::var(variable).map_or(small, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text}")))
}

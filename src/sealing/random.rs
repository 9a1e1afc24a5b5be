//! Random bytes from the operating system, and jitter.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use std::ops::Range;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomError;

/// Overwrites the buffer with random bytes.
///
/// # Errors
/// When the operating system gives none.
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    SystemRandom::new().fill(bytes).map_err(|_| RandomError)
}

/// One of 256 evenly spaced numbers in the range, to spread load over time. Returns the start of the range if no random bytes are
/// available.
#[must_use]
pub fn jitter(range: Range<f64>) -> f64 {
    let mut byte = [0];
    let _ = fill(&mut byte);
    range.start + (range.end - range.start) * f64::from(byte[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_in_its_range_and_varies() {
        let numbers: Vec<_> = (0..100).map(|_| jitter(0.6..0.7)).collect();
        assert!(numbers.iter().all(|number| (0.6..0.7).contains(number)), "{numbers:?}");
        assert!(numbers.iter().any(|number| number.to_bits() != numbers[0].to_bits()), "{numbers:?}");
    }

    #[test]
    fn fill_gives_different_bytes_each_time() {
        let [mut one, mut two] = [[0; 32]; 2];
        assert_eq!((fill(&mut one), fill(&mut two)), (Ok(()), Ok(())));
        assert_ne!(one, two);
    }
}

//! Chance, so that what is alike does not all happen at the same moment.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// From 0 to 1. It spreads load and keeps no secret, so a failing random generator yields 0 rather than an error.
pub(super) fn random_share() -> f64 {
    let mut byte = [0];
    let _ = SystemRandom::new().fill(&mut byte);
    f64::from(byte[0]) / f64::from(u8::MAX)
}

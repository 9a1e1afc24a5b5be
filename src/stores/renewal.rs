//! When credentials and leases are renewed.

use crate::sealing::random::jitter;
use std::time::Duration;

/// The time from a grant to its renewal: 60 to 70 % of its lifetime, at random, so that credentials granted
/// together are not renewed together.
pub(super) fn renew_after(lifetime: Duration) -> Duration {
    lifetime.mul_f64(jitter(0.6..0.7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_about_two_thirds_and_not_always_the_same() {
        let times: Vec<_> = (0..100).map(|_| renew_after(Duration::from_secs(100))).collect();
        assert!(times.iter().all(|time| (60.0..70.01).contains(&time.as_secs_f64())), "{times:?}");
        assert!(times.iter().any(|time| *time != times[0]));
    }
}

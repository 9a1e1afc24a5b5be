//! When credentials and leases are renewed, and when a failed renewal is retried.

use crate::sealing::random::jitter;
use std::time::Duration;

/// Maximum of [`retry_pause`] before the random part.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// The time from a grant to its renewal: 60 to 70 % of its lifetime, at random, so that credentials granted
/// together are not renewed together.
pub(super) fn renew_after(lifetime: Duration) -> Duration {
    lifetime.mul_f64(jitter(0.6..0.7))
}

/// The pause after this many failures in a row: 1 s, 2 s, 4 s, ... up to 30 s, plus up to half as much at random, so that
/// replicas do not retry together.
pub(super) fn retry_pause(failures: u32) -> Duration {
    let base = Duration::from_secs(1).saturating_mul(1 << (failures - 1).min(5)).min(MAX_RETRY_PAUSE);
    base.mul_f64(jitter(1.0..1.5))
}

/// Maximum time for which an access token is used, even if a login grants more.
#[cfg(any(feature = "azure", feature = "gcp"))]
const MAX_TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// The lifetime of an access token that a login grants for this many seconds: at most [`MAX_TOKEN_LIFETIME`]; `None` for zero.
#[cfg(any(feature = "azure", feature = "gcp"))]
pub(super) fn token_lifetime(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds).min(MAX_TOKEN_LIFETIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renew_after_is_about_two_thirds_of_the_lifetime_and_random() {
        let times: Vec<_> = (0..100).map(|_| renew_after(Duration::from_secs(100))).collect();
        assert!(times.iter().all(|time| (60.0..70.01).contains(&time.as_secs_f64())), "{times:?}");
        assert!(times.iter().any(|time| *time != times[0]));
    }

    #[cfg(any(feature = "azure", feature = "gcp"))]
    #[test]
    fn a_token_has_a_positive_and_bounded_lifetime() {
        assert_eq!(token_lifetime(0), None);
        assert_eq!(token_lifetime(3599), Some(Duration::from_secs(3599)));
        assert_eq!(token_lifetime(u64::MAX), Some(MAX_TOKEN_LIFETIME));
    }
}

//! Whether another machine's clock agrees with this one's.

use crate::wire::doctor::DoctorCheck;
use jiff::SignedDuration;
use std::time::Duration;

/// By how much clocks may differ: tokens that were just issued must be valid, as in Kubernetes.
const MAX_OFFSET: SignedDuration = SignedDuration::from_secs(5);

/// The check of a clock that is ahead of this machine's by so much, known to within `within`.
pub fn check(name: String, ahead: SignedDuration, within: Duration) -> DoctorCheck {
    let within = SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX);
    if ahead.abs() <= MAX_OFFSET.saturating_add(within) {
        return DoctorCheck::good(name, format!("agrees within {} s", MAX_OFFSET.as_secs()));
    }
    let detail = format!("differs from this machine's by {} s", ahead.as_secs());
    DoctorCheck::fault(name, detail, "synchronise the clocks of both machines (NTP)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_beyond_what_is_tolerated_and_what_is_not_known_is_a_fault() {
        let is_good =
            |seconds, within| check("c".into(), SignedDuration::from_secs(seconds), Duration::from_secs(within)).ok;
        for (seconds, within, good) in
            [(5, 0, true), (-5, 0, true), (6, 0, false), (-6, 0, false), (6, 1, true), (8, 2, false)]
        {
            assert_eq!(is_good(seconds, within), good, "{seconds} {within}");
        }
    }
}

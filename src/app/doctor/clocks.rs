//! Checks whether the clock of another machine agrees with the clock of this machine.

use crate::wire::doctor::DoctorCheck;
use jiff::SignedDuration;
use std::time::Duration;

/// Tolerated offset. A token that another machine has just issued must be valid here.
const MAX_OFFSET: SignedDuration = SignedDuration::from_secs(5);

/// The check of a clock. `offset` is how far that clock is ahead of this machine's clock, measured with this uncertainty.
pub fn check(name: String, offset: SignedDuration, uncertainty: Duration) -> DoctorCheck {
    let uncertainty = SignedDuration::try_from(uncertainty).unwrap_or(SignedDuration::MAX);
    if offset.abs() <= MAX_OFFSET.saturating_add(uncertainty) {
        return DoctorCheck::passed(name, format!("agrees within {} s", MAX_OFFSET.as_secs()));
    }
    let detail = format!("differs from this machine's by {} s", offset.as_secs());
    DoctorCheck::failed(name, detail, "synchronise the clocks of both machines (NTP)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_beyond_tolerance_and_uncertainty_is_a_fault() {
        let is_good = |seconds, uncertainty| {
            check("c".into(), SignedDuration::from_secs(seconds), Duration::from_secs(uncertainty)).ok
        };
        for (seconds, uncertainty, good) in
            [(5, 0, true), (-5, 0, true), (6, 0, false), (-6, 0, false), (6, 1, true), (8, 2, false)]
        {
            assert_eq!(is_good(seconds, uncertainty), good, "{seconds} {uncertainty}");
        }
    }
}

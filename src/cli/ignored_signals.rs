//! The signals that this process ignores because its parent did, as `nohup` does for SIGHUP.

use std::fs;

/// The signals that were ignored when this value was read.
#[derive(Debug, Clone, Copy)]
pub struct IgnoredSignals(u64);

impl IgnoredSignals {
    /// Reads them from Linux's `/proc`; none on other systems. A handler of tokio replaces the ignored state, and execve(2) resets
    /// a handler to the default action, so a handler for one of these signals would undo the choice of the parent.
    pub fn read() -> Self {
        Self(fs::read_to_string("/proc/self/status").ok().and_then(|status| parse_mask(&status)).unwrap_or(0))
    }

    /// Whether the signal with this number is ignored.
    pub fn contains(self, signal: i32) -> bool {
        u32::try_from(signal - 1).ok().and_then(|bit| self.0.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
    }
}

/// The line `SigIgn` of `proc_pid_status(5)`: a hexadecimal mask in which bit 0 is signal 1.
fn parse_mask(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_has_the_signals_of_its_bits() {
        let mask = parse_mask("SigBlk:\t0000000000000003\nSigIgn:\t8000000000000001\nSigCgt:\t0\n").expect("a mask");
        let signals: Vec<_> = (-1..=70).filter(|signal| IgnoredSignals(mask).contains(*signal)).collect();
        assert_eq!(signals, [1, 64]);
        for bad in ["", "SigIgn:\n", "SigIgn:\tx\n", "XSigIgn:\t1\n"] {
            assert_eq!(parse_mask(bad), None, "{bad}");
        }
    }
}

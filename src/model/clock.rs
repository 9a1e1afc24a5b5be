//! The wall clock as a parameter, so that tests can set the time.

use jiff::Timestamp;

/// A wall clock. Durations are measured with tokio's monotonic clock instead, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// The current time in UTC.
    fn now(&self) -> Timestamp;
}

/// Formats a time as it is stored: RFC 3339 in UTC with microseconds. All texts have the same length, so they sort by time.
#[must_use]
pub fn format_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

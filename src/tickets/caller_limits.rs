//! The limits of tickets per caller (`ticket.maxPerCaller`) that apply to one ticket.

use crate::model::ticket_limit::TicketLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the tickets of a caller are counted after its last one from a policy. Longer than any build lasts: a caller that
/// gets none for that long begins at zero again.
pub const COUNTED_FOR: Duration = Duration::from_hours(7 * 24);

/// The limits of one ticket, and whether one of them was the reason of a rejection.
#[derive(Debug)]
pub struct CallerLimits {
    pub(super) each: Box<[TicketLimit]>,
    reached: AtomicBool,
}

impl CallerLimits {
    /// None where no policy sets a limit.
    #[must_use]
    pub fn of(limits: Vec<TicketLimit>) -> Option<Arc<Self>> {
        (!limits.is_empty()).then(|| Arc::new(Self { each: limits.into(), reached: AtomicBool::new(false) }))
    }

    /// Whether the step was rejected because of one of them.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    pub(super) fn set_reached(&self) {
        self.reached.store(true, Ordering::Release);
    }
}

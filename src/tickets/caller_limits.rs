//! The limits of tickets per caller (`ticket.maxPerCaller`) of the policies that granted one ticket.

use crate::model::ticket_limit::TicketLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the count of a caller's tickets from a policy is kept after the last of these tickets; then the count restarts at
/// zero. Longer than any build lasts.
pub const COUNT_RETENTION: Duration = Duration::from_hours(7 * 24);

/// The limits of one ticket, and whether the ticket was rejected because of one of them.
#[derive(Debug)]
pub struct CallerLimits {
    pub(super) by_policy: Box<[TicketLimit]>,
    is_reached: AtomicBool,
}

impl CallerLimits {
    /// `None` if the list is empty, because no policy sets a limit.
    #[must_use]
    pub fn from_limits(limits: Vec<TicketLimit>) -> Option<Arc<Self>> {
        (!limits.is_empty()).then(|| Arc::new(Self { by_policy: limits.into(), is_reached: AtomicBool::new(false) }))
    }

    /// Whether the step that issues the ticket was rejected because a limit is reached.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Acquire)
    }

    pub(super) fn set_reached(&self) {
        self.is_reached.store(true, Ordering::Release);
    }
}

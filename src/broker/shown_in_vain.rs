//! Tickets that were refused within the last second, and why. A repeated request gets the same answer without a look-up.

use crate::metrics::labels::{EventType, Outcome};
use crate::model::ticket::TicketId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const LATELY: Duration = Duration::from_secs(1);
/// Maximum number of entries. Further tickets are looked up each time.
const MAX_TICKETS: usize = 100_000;

/// Kind, outcome and reason of the event of a refusal.
pub type Why = (EventType, Outcome, &'static str);

/// The refusals of the last second, by ticket.
#[derive(Debug, Default)]
pub struct ShownInVain(Mutex<HashMap<TicketId, (Instant, Why)>>);

impl ShownInVain {
    /// Remembers that a ticket was refused.
    pub fn note(&self, id: TicketId, why: Why) {
        let now = Instant::now();
        let mut shown = self.lock();
        if shown.len() >= MAX_TICKETS {
            shown.retain(|_, (at, _)| now < *at + LATELY);
        }
        if shown.len() < MAX_TICKETS {
            shown.insert(id, (now, why));
        }
    }

    /// Why the ticket was refused within the last second, if it was.
    pub fn lately(&self, id: TicketId) -> Option<Why> {
        let now = Instant::now();
        self.lock().get(&id).filter(|(at, _)| now < *at + LATELY).map(|(_, why)| *why)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TicketId, (Instant, Why)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_remembered_for_a_second() {
        let shown = ShownInVain::default();
        let (id, other) = (TicketId::from_bytes([1; 16]), TicketId::from_bytes([2; 16]));
        let why = (EventType::TicketRejected, Outcome::Denied, "expired");
        assert_eq!(shown.lately(id), None);
        shown.note(id, why);
        assert_eq!((shown.lately(id), shown.lately(other)), (Some(why), None));
        tokio::time::advance(LATELY).await;
        assert_eq!(shown.lately(id), None);
    }
}

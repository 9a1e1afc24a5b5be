//! The cache of tickets that were refused within the last second, so that a repeated request is refused without a look-up.

use crate::metrics::labels::{EventType, Outcome};
use crate::model::ticket::TicketId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(1);
/// Maximum number of entries. Further tickets are looked up each time.
const MAX_TICKETS: usize = 100_000;

/// Kind, outcome and reason of the event of a refusal.
pub type EventLabels = (EventType, Outcome, &'static str);

/// The refusals of the last second, by ticket.
#[derive(Debug, Default)]
pub struct RefusedTickets(Mutex<HashMap<TicketId, (Instant, EventLabels)>>);

impl RefusedTickets {
    /// Caches the refusal of a ticket, unless the cache is full.
    pub fn record(&self, id: TicketId, refusal: EventLabels) {
        let now = Instant::now();
        let mut refusals = self.lock();
        if refusals.len() >= MAX_TICKETS {
            refusals.retain(|_, (refused_at, _)| now < *refused_at + TTL);
        }
        if refusals.len() < MAX_TICKETS {
            refusals.insert(id, (now, refusal));
        }
    }

    /// The refusal of a ticket within the last second.
    pub fn get(&self, id: TicketId) -> Option<EventLabels> {
        let now = Instant::now();
        self.lock().get(&id).filter(|(refused_at, _)| now < *refused_at + TTL).map(|(_, refusal)| *refusal)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TicketId, (Instant, EventLabels)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_cached_for_a_second() {
        let refusals = RefusedTickets::default();
        let (id, other) = (TicketId::from_bytes([1; 16]), TicketId::from_bytes([2; 16]));
        let refusal = (EventType::TicketRejected, Outcome::Denied, "expired");
        assert_eq!(refusals.get(id), None);
        refusals.record(id, refusal);
        assert_eq!((refusals.get(id), refusals.get(other)), (Some(refusal), None));
        tokio::time::advance(TTL).await;
        assert_eq!(refusals.get(id), None);
    }
}

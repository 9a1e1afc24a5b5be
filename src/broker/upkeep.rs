//! What is due once a second: summed events, overdue tickets, what nobody is owed any more.

use super::pipeline::Broker;
use super::redeem::describe;
use crate::audit::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::tickets::{Ending, Unavailable};
use futures_util::{StreamExt as _, stream};

/// Expiries that are on their mode to the audit log at once.
const AT_ONCE: usize = 256;

impl Broker {
    /// Writes what was summed, expires tickets, and forgets old ones. To be called once a second, and at the end.
    pub async fn upkeep(&self) {
        self.aggregated.flush(&self.stages.audit);
        self.refusals.flush(&self.stages.audit);
        // What could not be done now is still due in a second.
        let _: Result<(), Unavailable> = async {
            self.expire().await?;
            self.stages.tickets.store.forget(self.stages.clock.now()).await
        }
        .await;
    }

    /// Writes what is still counted: the process ends.
    pub fn write_counts(&self) {
        self.aggregated.flush_all(&self.stages.audit);
        self.refusals.flush_all(&self.stages.audit);
    }

    /// Each ends together with its event, or not yet; where another replica was faster, it has written it.
    async fn expire(&self) -> Result<(), Unavailable> {
        let store = &self.stages.tickets.store;
        let overdue = store.overdue(self.stages.clock.now()).await?;
        let expiries = overdue.into_iter().map(|ticket| async move {
            let mut event = Event::new(EventType::TicketExpired, Outcome::Ok);
            describe(&mut event, &ticket);
            let step = event.ticket_id.map(|id| store.ending(id, Ending::Expired));
            drop(self.stages.audit.commit(event, step).await);
        });
        stream::iter(expiries).buffer_unordered(AT_ONCE).collect::<()>().await;
        Ok(())
    }

    /// Brings the numbers up to date that are states and not events, before they are read. That of the waiting tickets stays
    /// where they cannot be asked.
    pub async fn tell_state(&self) {
        self.stages.metrics.set_audit_waiting(self.stages.audit.waiting());
        self.stages.metrics.set_ready(self.is_ready());
        if let Ok(waiting) = self.stages.tickets.store.waiting().await {
            self.stages.metrics.set_tickets_outstanding(waiting);
        }
    }
}

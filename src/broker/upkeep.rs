//! Periodic work: writes aggregated events, expires tickets and deletes old tickets.

use super::pipeline::Broker;
use super::redeem::describe_ticket;
use crate::audit::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::tickets::{FinalState, TicketStoreError};
use futures_util::{StreamExt as _, stream};

/// Maximum number of concurrent expiries.
const MAX_CONCURRENT: usize = 256;

impl Broker {
    /// Writes aggregated events, expires tickets, and deletes old tickets. Call it once a second and at shutdown.
    pub async fn upkeep(&self) {
        self.aggregated.flush(&self.stages.audit);
        self.refusal_events.flush(&self.stages.audit);
        // After a failure, the next call tries again.
        let _: Result<(), TicketStoreError> = async {
            self.expire().await?;
            self.stages.tickets.store.tidy(self.stages.clock.now()).await
        }
        .await;
    }

    /// Writes all remaining aggregated events. Called at shutdown.
    pub fn flush_counts(&self) {
        self.aggregated.flush_all(&self.stages.audit);
        self.refusal_events.flush_all(&self.stages.audit);
    }

    /// Expires each overdue ticket together with its event. Skips a ticket that another replica has expired meanwhile, because that
    /// replica has written the event.
    async fn expire(&self) -> Result<(), TicketStoreError> {
        let store = &self.stages.tickets.store;
        let overdue = store.list_overdue(self.stages.clock.now()).await?;
        let expiries = overdue.into_iter().map(|ticket| async move {
            let mut event = Event::new(EventType::TicketExpired, Outcome::Ok);
            describe_ticket(&mut event, &ticket);
            let step = event.ticket_id.map(|id| store.step_to_end(id, FinalState::Expired));
            drop(self.stages.audit.commit(event, step).await);
        });
        stream::iter(expiries).buffer_unordered(MAX_CONCURRENT).collect::<()>().await;
        Ok(())
    }

    /// Updates the gauges before a scrape. If the ticket store cannot be reached, the gauge of waiting tickets keeps its value.
    pub async fn update_gauges(&self) {
        self.stages.metrics.set_audit_waiting(self.stages.audit.queued_count());
        self.stages.metrics.set_ready(self.is_ready());
        if let Ok(waiting) = self.stages.tickets.store.count_waiting().await {
            self.stages.metrics.set_tickets_outstanding(waiting);
        }
    }
}

//! What is due once a second: expired tickets, summed events.

use super::Broker;
use super::redeem::describe;
use crate::audit::Event;
use crate::metrics::labels::{EventType, Outcome};

impl Broker {
    /// Expires tickets and writes what was summed. To be called once a second, and at the end.
    pub fn upkeep(&self) {
        for ticket in self.tickets.sweep(self.parts.clock.now()) {
            let mut event = Event::new(EventType::TicketExpired, Outcome::Ok);
            describe(&mut event, &ticket);
            self.parts.audit.record_later(event);
        }
        self.summed.flush(&self.parts.audit);
    }

    /// Brings the numbers up to date that are states and not events, before they are read.
    pub fn tell_state(&self) {
        self.parts.metrics.set_tickets_outstanding(self.tickets.waiting());
        self.parts.metrics.set_audit_waiting(self.parts.audit.waiting());
        self.parts.metrics.set_ready(self.is_ready());
    }
}

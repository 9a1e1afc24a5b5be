//! An event in the queue of the writer, and the channel to its sender.

use super::port::{CommitError, Event};
use crate::database::Step;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::oneshot;

/// An event in the queue of the writer.
pub struct QueuedEvent {
    /// The event to write. Boxed, because it is moved several times on its way to the writer.
    pub event: Box<Event>,
    /// The step to run in the same transaction.
    pub step: Option<Step>,
    /// The sender that waits for the outcome. Without one, the writer retries if the database fails, unless it rejects the
    /// event.
    sender: Option<(oneshot::Sender<WriteOutcome>, Claim)>,
}

/// The outcome of a write. `Rejected` returns the event.
pub type WriteOutcome = Result<(), CommitError<Box<Event>>>;

/// Decides whether the writer claims an event or its sender withdraws it. Exactly one of them succeeds, so an event that was
/// reported as not written is never written.
#[derive(Clone)]
pub struct Claim(Arc<AtomicU8>);

const FREE: u8 = 0;
const CLAIMED: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Claim {
    fn claim(&self) -> bool {
        self.0.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Acquire) != Err(WITHDRAWN)
    }

    /// Withdraws the event. True if it will not be written; false if the writer has claimed it.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(FREE, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) != Err(CLAIMED)
    }
}

impl QueuedEvent {
    /// An event whose sender waits for the outcome of the first attempt.
    pub fn with_sender(event: Box<Event>, step: Option<Step>) -> (Self, oneshot::Receiver<WriteOutcome>, Claim) {
        let (sender, receiver) = oneshot::channel();
        let claim = Claim(Arc::new(AtomicU8::new(FREE)));
        (Self { event, step, sender: Some((sender, claim.clone())) }, receiver, claim)
    }

    /// An event whose sender does not wait for its outcome.
    pub const fn without_sender(event: Box<Event>) -> Self {
        Self { event, step: None, sender: None }
    }

    /// Claims the event for the writer. False if its sender has withdrawn it.
    pub fn claim(&self) -> bool {
        self.sender.as_ref().is_none_or(|(_, claim)| claim.claim())
    }

    /// Whether a sender waits for the outcome.
    pub const fn has_sender(&self) -> bool {
        self.sender.is_some()
    }

    /// Sends the outcome to the sender, if there is one.
    pub fn report_outcome(self, outcome: impl FnOnce(Box<Event>) -> WriteOutcome) {
        if let Some((sender, _)) = self.sender {
            // An error means that the sender no longer waits.
            drop(sender.send(outcome(self.event)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{EventType, Outcome};

    fn queued() -> (QueuedEvent, oneshot::Receiver<WriteOutcome>, Claim) {
        QueuedEvent::with_sender(Event::new(EventType::TicketRedeemed, Outcome::Ok).into(), None)
    }

    #[test]
    fn an_event_is_either_claimed_or_withdrawn() {
        let (first, _receiver, claim) = queued();
        assert!(claim.withdraw());
        assert!(!first.claim());
        let (second, _receiver, claim) = queued();
        assert!(second.claim());
        assert!(!claim.withdraw());
        // A repeated claim succeeds: the writer claims all events of its group before each attempt.
        assert!(second.claim());
    }
}

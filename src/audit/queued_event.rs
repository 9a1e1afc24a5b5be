//! An event in the queue of the writer, and the channel to the caller that waits for the outcome.

use super::port::{Event, EventCommitError};
use crate::database::Step;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Maximum number of queued events. Beyond it, events are refused. Also the maximum number of failed events that are kept.
pub const MAX_QUEUED: usize = 8192;

/// An event in the queue of the writer.
pub struct QueuedEvent {
    /// The event to write. Boxed, because it is moved several times on its way to the writer.
    pub event: Box<Event>,
    /// The step to run in the same transaction.
    pub step: Option<Step>,
    pub queued_at: Instant,
    /// The channel to the caller that waits for the outcome. Without one, the writer retries if the database fails, unless it
    /// rejects the event.
    outcome_channel: Option<(oneshot::Sender<WriteOutcome>, Claim)>,
}

/// The outcome of a write. `Rejected` returns the event.
pub type WriteOutcome = Result<(), EventCommitError<Box<Event>>>;

/// Decides whether the writer claims an event or its caller withdraws it. Exactly one of them succeeds, so an event that was
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
    /// An event whose caller waits for the outcome of the first attempt.
    pub fn awaited(event: Box<Event>, step: Option<Step>) -> (Self, oneshot::Receiver<WriteOutcome>, Claim) {
        let (sender, receiver) = oneshot::channel();
        let claim = Claim(Arc::new(AtomicU8::new(FREE)));
        (
            Self { event, step, queued_at: Instant::now(), outcome_channel: Some((sender, claim.clone())) },
            receiver,
            claim,
        )
    }

    /// An event whose caller does not wait for its outcome.
    pub fn not_awaited(event: Box<Event>) -> Self {
        Self { event, step: None, queued_at: Instant::now(), outcome_channel: None }
    }

    /// Claims the event for the writer. False if its caller has withdrawn it.
    pub fn claim(&self) -> bool {
        self.outcome_channel.as_ref().is_none_or(|(_, claim)| claim.claim())
    }

    /// Whether a caller waits for the outcome.
    pub const fn is_awaited(&self) -> bool {
        self.outcome_channel.is_some()
    }

    /// Sends the outcome to the caller that waits for it, if any.
    pub fn report_outcome(self, outcome: impl FnOnce(Box<Event>) -> WriteOutcome) {
        if let Some((sender, _)) = self.outcome_channel {
            // An error means that the caller no longer waits.
            drop(sender.send(outcome(self.event)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{EventType, Outcome};

    fn queued() -> (QueuedEvent, oneshot::Receiver<WriteOutcome>, Claim) {
        QueuedEvent::awaited(Event::new(EventType::TicketRedeemed, Outcome::Ok).into(), None)
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

//! An event in the queue of the writer, and the channel for its outcome.

use super::port::{CommitError, Event};
use crate::database::Step;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::oneshot;

/// A queued event.
pub struct Pending {
    /// The event to write.
    pub event: Event,
    /// The step to run with it.
    pub step: Option<Step>,
    /// The waiting sender. `None`: the event is kept until it can be written.
    waiting: Option<(oneshot::Sender<Written>, Claim)>,
}

/// The outcome. An event whose step was rejected comes back.
pub type Written = Result<(), CommitError<Box<Event>>>;

/// Decides between the writer, which takes an event, and the waiting sender, which withdraws it. Exactly one
/// succeeds, so that an event that was reported as not written is never written.
#[derive(Clone)]
pub struct Claim(Arc<AtomicU8>);

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Claim {
    fn take(&self) -> bool {
        self.0.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Acquire) != Err(WITHDRAWN)
    }

    /// Withdraws the event. True: it will not be written.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(FREE, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) != Err(TAKEN)
    }
}

impl Pending {
    /// An event with a waiting sender.
    pub fn with_sender(event: Event, step: Option<Step>) -> (Self, oneshot::Receiver<Written>, Claim) {
        let (told, outcome) = oneshot::channel();
        let claim = Claim(Arc::new(AtomicU8::new(FREE)));
        (Self { event, step, waiting: Some((told, claim.clone())) }, outcome, claim)
    }

    /// An event without a waiting sender.
    pub const fn kept(event: Event) -> Self {
        Self { event, step: None, waiting: None }
    }

    /// Takes the event for writing. False: it was withdrawn.
    pub fn take(&self) -> bool {
        self.waiting.as_ref().is_none_or(|(_, claim)| claim.take())
    }

    /// Whether a sender waits, who gets the outcome of the first attempt.
    pub const fn is_waited_for(&self) -> bool {
        self.waiting.is_some()
    }

    /// Sends the outcome to the waiting sender, if there is one.
    pub fn report_outcome(self, outcome: impl FnOnce(Event) -> Written) {
        if let Some((told, _)) = self.waiting {
            // The sender may have gone.
            drop(told.send(outcome(self.event)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{EventType, Outcome};

    fn pending() -> (Pending, oneshot::Receiver<Written>, Claim) {
        Pending::with_sender(Event::new(EventType::TicketRedeemed, Outcome::Ok), None)
    }

    #[test]
    fn what_was_withdrawn_is_not_written_and_what_was_taken_is_not_withdrawn() {
        let (first, _outcome, claim) = pending();
        assert!(claim.withdraw());
        assert!(!first.take());
        let (second, _outcome, claim) = pending();
        assert!(second.take());
        assert!(!claim.withdraw());
        // The claim still belongs to the writer at its second attempt.
        assert!(second.take());
    }
}

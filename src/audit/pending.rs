//! An event on its way to the writer, and whom to tell what came of it.

use super::port::{CommitError, Event};
use crate::database::Step;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::oneshot;

/// An event on its way.
pub struct Pending {
    /// What is to be written.
    pub event: Event,
    /// What is to be done with it.
    pub step: Option<Step>,
    /// Who waits. Nobody: it is kept until it can be written.
    waiting: Option<(oneshot::Sender<Written>, Claim)>,
}

/// The outcome for the one who waits. An event whose step was rejected comes back.
pub type Written = Result<(), CommitError<Box<Event>>>;

/// Who has the say over an event: the writer that took it, or whoever waited and gave up before that. Never both, so
/// that what was told to have not happened does not happen after all.
#[derive(Clone)]
pub struct Claim(Arc<AtomicU8>);

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Claim {
    fn take(&self) -> bool {
        self.0.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Acquire) != Err(WITHDRAWN)
    }

    /// Gives up. Whether it was in time: then nothing will be done.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(FREE, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) != Err(TAKEN)
    }
}

impl Pending {
    /// One that somebody waits for.
    pub fn waited_for(event: Event, step: Option<Step>) -> (Self, oneshot::Receiver<Written>, Claim) {
        let (told, outcome) = oneshot::channel();
        let claim = Claim(Arc::new(AtomicU8::new(FREE)));
        (Self { event, step, waiting: Some((told, claim.clone())) }, outcome, claim)
    }

    /// One that nobody waits for.
    pub const fn kept(event: Event) -> Self {
        Self { event, step: None, waiting: None }
    }

    /// Whether it is to be written. From then on it is the writer's.
    pub fn take(&self) -> bool {
        self.waiting.as_ref().is_none_or(|(_, claim)| claim.take())
    }

    /// Whether somebody waits, who is to be told rather than made to wait for another try.
    pub const fn is_waited_for(&self) -> bool {
        self.waiting.is_some()
    }

    /// Tells whoever waits; an event whose step was refused goes back to them.
    pub fn tell(self, outcome: impl FnOnce(Event) -> Written) {
        if let Some((told, _)) = self.waiting {
            // Whoever has gone meanwhile was told nothing.
            drop(told.send(outcome(self.event)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::labels::{EventType, Outcome};

    fn pending() -> (Pending, oneshot::Receiver<Written>, Claim) {
        Pending::waited_for(Event::new(EventType::TicketRedeemed, Outcome::Ok), None)
    }

    #[test]
    fn what_was_withdrawn_is_not_written_and_what_was_taken_is_not_withdrawn() {
        let (first, _outcome, claim) = pending();
        assert!(claim.withdraw());
        assert!(!first.take());
        let (second, _outcome, claim) = pending();
        assert!(second.take());
        assert!(!claim.withdraw());
        // A second try is still the writer's.
        assert!(second.take());
    }
}

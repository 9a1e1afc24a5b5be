//! Tickets in the memory of this process: gone with it, redeemed here only.

use super::seal::Sealed;
use super::{REMEMBERED_FOR, Rejection, Ticket, TooManyTickets};
use crate::model::caller::Identity;
use crate::model::ticket::{TicketId, TicketToken};
use jiff::Timestamp;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of sealed bundles held at once, of all callers together: bundles are as large as stores' secrets are.
const MAX_SEALED_BYTES: usize = 256 * 1024 * 1024;

/// The tickets of this replica.
#[derive(Default)]
pub struct Tickets {
    held: Mutex<Held>,
    max_live_per_caller: usize,
}

#[derive(Default)]
struct Held {
    tickets: HashMap<TicketId, Slot>,
    /// Tickets that have not expired, by their expiry: a sweep touches only what is due.
    to_expire: BTreeSet<(Timestamp, TicketId)>,
    /// Tickets that have, by the time when nobody is owed a word about them any more.
    to_forget: BTreeSet<(Timestamp, TicketId)>,
    /// Live tickets by caller; no entry means none.
    live: HashMap<Identity, usize>,
    waiting: usize,
    sealed_bytes: usize,
}

struct Slot {
    ticket: Arc<Ticket>,
    sealed: Sealed,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Redeemed(Timestamp),
    Expired,
    Revoked,
}

impl Tickets {
    /// None yet; at most so many live ones for one caller.
    #[must_use]
    pub fn new(max_live_per_caller: usize) -> Self {
        Self { held: Mutex::default(), max_live_per_caller }
    }

    /// Lets a ticket wait.
    ///
    /// # Errors
    /// When the caller has as many live ones as one may have, or all callers' together are too large.
    pub fn insert(&self, ticket: Arc<Ticket>, sealed: Sealed) -> Result<(), TooManyTickets> {
        let held = &mut *self.lock();
        if held.sealed_bytes + sealed.size() > MAX_SEALED_BYTES {
            return Err(TooManyTickets);
        }
        let live = held.live.entry(ticket.caller.identity()).or_default();
        if *live >= self.max_live_per_caller {
            return Err(TooManyTickets);
        }
        *live += 1;
        held.waiting += 1;
        held.sealed_bytes += sealed.size();
        held.to_expire.insert((ticket.expires_at, ticket.id));
        held.tickets.insert(ticket.id, Slot { ticket, sealed, state: State::Waiting });
        Ok(())
    }

    /// Whether the caller may have another ticket now; asked before secrets are read for it.
    #[must_use]
    pub fn has_room_for(&self, caller: &Identity) -> bool {
        self.lock().live.get(caller).is_none_or(|live| *live < self.max_live_per_caller)
    }

    /// Shows a waiting ticket to whoever proves its key. Nothing changes by it.
    ///
    /// # Errors
    /// [`Rejection`], but never [`Rejection::Misuse`]. The ticket comes with it where the key is proven.
    pub fn peek(&self, token: &TicketToken, now: Timestamp) -> Result<(Arc<Ticket>, Sealed), Refused> {
        let held = self.lock();
        let slot = held.tickets.get(&token.ticket_id()).filter(|slot| slot.sealed.is_proven_by(token));
        let slot = slot.ok_or(Refused { rejection: Rejection::Unknown, ticket: None })?;
        let too_late = (slot.ticket.expires_at <= now).then_some(Rejection::Expired);
        match slot.state.rejection().or(too_late) {
            None => Ok((slot.ticket.clone(), slot.sealed.clone())),
            Some(rejection) => Err(Refused { rejection, ticket: Some(slot.ticket.clone()) }),
        }
    }

    /// Takes a ticket whose key was proven by [`Tickets::peek`]. Of any number who try, one succeeds.
    ///
    /// # Errors
    /// When it waits no longer.
    pub fn take(&self, id: TicketId, now: Timestamp) -> Result<(), Rejection> {
        self.lock().leave_waiting(id, State::Redeemed(now))
    }

    /// Burns a waiting ticket.
    ///
    /// # Errors
    /// When it waits no longer.
    pub fn revoke(&self, id: TicketId) -> Result<(), Rejection> {
        self.lock().leave_waiting(id, State::Revoked)
    }

    /// Lets a ticket wait again whose redemption or burning could not be recorded.
    pub fn put_back(&self, id: TicketId) {
        let held = &mut *self.lock();
        let Some(slot) = held.tickets.get_mut(&id) else { return };
        if !matches!(slot.state, State::Redeemed(_) | State::Revoked) {
            return;
        }
        let ticket = slot.ticket.clone();
        if held.to_expire.contains(&(ticket.expires_at, id)) {
            slot.state = State::Waiting;
            *held.live.entry(ticket.caller.identity()).or_default() += 1;
            held.waiting += 1;
        } else {
            // It has expired meanwhile.
            slot.state = State::Expired;
            held.forget_bundle(id);
        }
    }

    /// Forgets the bundle of a ticket whose redemption or burning is recorded; what became of it stays known.
    pub fn settle(&self, id: TicketId) {
        self.lock().forget_bundle(id);
    }

    /// Takes back a ticket that could not be recorded as issued.
    pub fn withdraw(&self, id: TicketId) {
        let mut held = self.lock();
        held.forget_bundle(id);
        if let Some(slot) = held.tickets.remove(&id) {
            held.to_expire.remove(&(slot.ticket.expires_at, id));
            if slot.state == State::Waiting {
                held.no_longer_waiting(&slot.ticket);
            }
        }
    }

    /// Expires what is due, forgets what nobody is owed a word about, and returns what has expired unredeemed.
    pub fn sweep(&self, now: Timestamp) -> Vec<Arc<Ticket>> {
        let mut held = self.lock();
        let mut unredeemed = Vec::new();
        while let Some(&(expiry, id)) = held.to_expire.first().filter(|(expiry, _)| *expiry <= now) {
            held.to_expire.pop_first();
            held.to_forget.insert((expiry.saturating_add(REMEMBERED_FOR).unwrap_or(Timestamp::MAX), id));
            if held.leave_waiting(id, State::Expired).is_ok()
                && let Some(slot) = held.tickets.get(&id)
            {
                unredeemed.push(slot.ticket.clone());
                held.forget_bundle(id);
            }
        }
        while let Some(&(_, id)) = held.to_forget.first().filter(|(end, _)| *end <= now) {
            held.to_forget.pop_first();
            held.forget_bundle(id);
            held.tickets.remove(&id);
        }
        unredeemed
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refused ticket, shown to whoever proved its key.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Why.
    pub rejection: Rejection,
    /// Which, where the key was proven.
    pub ticket: Option<Arc<Ticket>>,
}

impl State {
    const fn rejection(self) -> Option<Rejection> {
        match self {
            Self::Waiting => None,
            Self::Redeemed(at) => Some(Rejection::Redeemed { at }),
            Self::Expired => Some(Rejection::Expired),
            Self::Revoked => Some(Rejection::Revoked),
        }
    }
}

impl Held {
    fn leave_waiting(&mut self, id: TicketId, state: State) -> Result<(), Rejection> {
        let slot = self.tickets.get_mut(&id).ok_or(Rejection::Unknown)?;
        if let Some(rejection) = slot.state.rejection() {
            return Err(rejection);
        }
        slot.state = state;
        let ticket = slot.ticket.clone();
        self.no_longer_waiting(&ticket);
        Ok(())
    }

    /// Forgets a sealed bundle, if it is still there, and no longer counts its bytes.
    fn forget_bundle(&mut self, id: TicketId) {
        if let Some(slot) = self.tickets.get_mut(&id) {
            self.sealed_bytes -= slot.sealed.size();
            slot.sealed.forget();
        }
    }

    fn no_longer_waiting(&mut self, ticket: &Ticket) {
        self.waiting = self.waiting.saturating_sub(1);
        if let Entry::Occupied(mut live) = self.live.entry(ticket.caller.identity()) {
            *live.get_mut() -= 1;
            if *live.get() == 0 {
                live.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Tickets in the memory of this process: lost with it, and redeemed here only.
//!
//! A change begins when the audit log runs its step, and takes effect when the event is durable. In between, readers see the
//! previous state, and no other change of the ticket can begin.

mod counts;
mod details;
mod ended;

use super::caller_limits::CallerLimits;
use super::change::Change;
use super::owner::Owner;
use super::port::{Ending, Found, MAX_BYTES_PER_CALLER, REPLAYED_FOR, TicketState, TicketStore, Unavailable};
use super::sealed::Sealed;
use super::ticket::{ListPosition, Ticket, from_microseconds, later, microseconds};
use super::ticket_codec;
use crate::database::{Failed, Step, StepRunner, Work};
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use crate::model::ticket_limit::TicketLimit;
use async_trait::async_trait;
use counts::Counts;
use details::Details;
use ended::Ended;
use jiff::Timestamp;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum total size of sealed bundles, in bytes.
const MAX_SEALED_BYTES: usize = 256 * 1024 * 1024;
const REMEMBERED_FOR: Duration = Duration::from_mins(5);
/// Maximum number of tickets that `overdue` returns.
const OVERDUE: usize = 1000;

/// The tickets of this replica.
pub struct Memory(Arc<Tickets>);

struct Tickets {
    held: Mutex<StoredTicket>,
    max_live_per_caller: usize,
}

#[derive(Default)]
struct StoredTicket {
    /// Boxed, because the table has up to twice as many slots as tickets.
    slots: HashMap<TicketId, Box<Slot>>,
    /// Waiting tickets by expiry, to find overdue ones.
    by_expiry: BTreeSet<(i64, TicketId)>,
    /// Waiting tickets by age.
    by_age: BTreeSet<ListPosition>,
    /// Redeemed tickets whose download may be repeated, by the end of that period.
    replays: BTreeSet<(i64, TicketId)>,
    /// Ended tickets by the second in which they are forgotten.
    ends: BTreeSet<(i64, TicketId)>,
    /// Ended tickets in the order of their ends.
    ended: Ended,
    /// The shares of callers. A missing entry is an empty share.
    callers: HashMap<Owner, Share>,
    /// The bytes of each account, which may have several tokens.
    accounts: HashMap<Owner, usize>,
    sealed_bytes: usize,
    /// The tickets that callers got from policies that limit them.
    counts: Counts,
}

#[derive(Default)]
struct Share {
    live: usize,
    bytes: usize,
    /// The details of the caller's last ticket, which the next one may share.
    details: Option<Arc<[u8]>>,
}

/// A ticket until it is forgotten. Kept small, because many more have ended than wait.
struct Slot {
    verifier: [u8; 32],
    details: Details,
    /// Ciphertext and tag. Empty after the bundle is deleted.
    blob: Arc<[u8]>,
    owner: Owner,
    account: Owner,
    /// False until the issue is durable. Readers skip it until then.
    issued: bool,
    /// Whether a change has begun and is not durable yet.
    changing: bool,
    ending: Option<Ending>,
    /// Its number among the ended tickets.
    ended_as: u64,
}

impl Memory {
    /// An empty store, with a limit of live tickets for each caller.
    pub fn new(max_live_per_caller: usize) -> Self {
        Self(Arc::new(Tickets { held: Mutex::default(), max_live_per_caller }))
    }

    fn step(&self, change: Change) -> Step {
        let runner: Arc<dyn StepRunner> = self.0.clone();
        Step::new(runner, change)
    }
}

#[async_trait]
impl TicketStore for Memory {
    fn has_room_for(&self, caller: &Identity) -> bool {
        let share = Owner::of(caller);
        self.0.lock().callers.get(&share).is_none_or(|share| share.live < self.0.max_live_per_caller)
    }

    fn issuing(&self, ticket: &Ticket, sealed: Sealed, limits: Option<Arc<CallerLimits>>) -> Step {
        self.step(Change::issue(ticket, sealed, limits))
    }

    async fn has_reached(&self, caller: &Identity, limits: &[TicketLimit]) -> Result<bool, Unavailable> {
        Ok(!self.0.lock().counts.have_room(Owner::of(caller), limits))
    }

    fn ending(&self, id: TicketId, ending: Ending) -> Step {
        self.step(Change::End { id, ending })
    }

    async fn find(&self, id: TicketId) -> Result<Option<Found>, Unavailable> {
        let held = self.0.lock();
        let Some(slot) = held.slots.get(&id).filter(|slot| slot.issued) else { return Ok(None) };
        let (sealed, state) = (slot.sealed(), slot.state());
        drop(held);
        Ok(decode(&sealed).map(|ticket| Found { ticket, sealed, state }))
    }

    async fn list(
        &self,
        now: Timestamp,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<Ticket>, Unavailable> {
        let held = self.0.lock();
        let older = match after {
            Some(place) => held.by_age.range(..place),
            None => held.by_age.range(..),
        };
        let waiting = older.rev().filter_map(|place| held.slots.get(&place.id));
        let waiting = waiting.filter(|slot| microseconds(now) < slot.details.expires_at()).take(limit);
        let sealed: Vec<Sealed> = waiting.map(|slot| slot.sealed()).collect();
        drop(held);
        Ok(sealed.iter().filter_map(decode).collect())
    }

    async fn overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, Unavailable> {
        let held = self.0.lock();
        let due = held.by_expiry.iter().take_while(|(expiry, _)| *expiry <= microseconds(now));
        let due = due.filter_map(|(_, id)| held.slots.get(id)).filter(|slot| !slot.changing).take(OVERDUE);
        let sealed: Vec<Sealed> = due.map(|slot| slot.sealed()).collect();
        drop(held);
        Ok(sealed.iter().filter_map(decode).collect())
    }

    async fn forget(&self, now: Timestamp) -> Result<(), Unavailable> {
        let held = &mut *self.0.lock();
        while let Some(&(end, id)) = held.replays.first().filter(|(end, _)| *end <= microseconds(now)) {
            held.replays.remove(&(end, id));
            held.forget_bundle(id);
        }
        held.counts.forget(now);
        while let Some(&(_, id)) = held.ends.first().filter(|(second, _)| *second <= now.as_second()) {
            held.forget(id);
        }
        Ok(())
    }

    async fn waiting(&self) -> Result<usize, Unavailable> {
        Ok(self.lost_on_exit())
    }

    fn lost_on_exit(&self) -> usize {
        self.0.lock().by_expiry.len()
    }

    fn remembered_for(&self) -> Duration {
        REMEMBERED_FOR
    }
}

#[async_trait]
impl StepRunner for Tickets {
    /// Runs no statement, so only the event is written to the database.
    async fn run(&self, _work: &mut Work, steps: &[&Step]) -> Result<Vec<bool>, Failed> {
        let held = &mut *self.lock();
        let begin = |step: &&Step| match step.what() {
            Some(Change::Issue { id, owner, account, issued_at, sealed, limits, .. }) => {
                if let Some(limits) = limits
                    && !held.counts.have_room(*owner, &limits.each)
                {
                    limits.set_reached();
                    return false;
                }
                let others = held.callers.get(owner).and_then(|share| share.details.as_ref());
                let slot = Slot {
                    verifier: sealed.verifier,
                    details: Details::new(&sealed.details, others),
                    blob: sealed.blob.clone(),
                    owner: *owner,
                    account: *account,
                    issued: false,
                    changing: true,
                    ending: None,
                    ended_as: 0,
                };
                let begun = held.begin_issuing(*id, slot, self.max_live_per_caller);
                if let Some(limits) = limits.as_ref().filter(|_| begun) {
                    held.counts.add(*owner, &limits.each, *issued_at);
                }
                begun
            }
            Some(Change::End { id, .. }) => held.begin_ending(*id),
            None => false,
        };
        Ok(steps.iter().map(begin).collect())
    }

    fn ended(&self, steps: &[&Step], committed: bool) {
        let held = &mut *self.lock();
        for step in steps {
            match step.what() {
                Some(Change::Issue { id, owner, limits, .. }) => {
                    held.issued(*id, committed);
                    if let Some(limits) = limits.as_ref().filter(|_| !committed) {
                        held.counts.take_back(*owner, &limits.each);
                    }
                }
                Some(Change::End { id, ending }) => held.ended(*id, committed.then_some(ending)),
                None => {}
            }
        }
    }
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, StoredTicket> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The second in which a ticket with this expiry is forgotten.
fn owed_until(expires_at: i64) -> i64 {
    let end = later(from_microseconds(expires_at), REMEMBERED_FOR);
    end.as_second() + i64::from(end.subsec_nanosecond() > 0)
}

/// Cannot fail: this process wrote the bytes.
fn decode(sealed: &Sealed) -> Option<Ticket> {
    ticket_codec::decode(&sealed.details).ok()
}

impl Slot {
    fn sealed(&self) -> Sealed {
        Sealed { verifier: self.verifier, details: self.details.whole(), blob: self.blob.clone() }
    }

    fn state(&self) -> TicketState {
        match &self.ending {
            None => TicketState::Waiting,
            Some(Ending::Redeemed { at, replay }) => {
                TicketState::Redeemed { at: *at, replay: replay.as_deref().copied() }
            }
            Some(Ending::Expired) => TicketState::Expired,
            Some(Ending::Revoked) => TicketState::Revoked,
        }
    }
}

impl StoredTicket {
    /// Reserves the space of a ticket.
    fn begin_issuing(&mut self, id: TicketId, slot: Slot, max_live: usize) -> bool {
        let size = slot.blob.len();
        let share = self.callers.get(&slot.owner);
        let live = share.map_or(0, |share| share.live);
        let bytes = self.accounts.get(&slot.account).copied().unwrap_or_default();
        if live >= max_live
            || bytes + size > MAX_BYTES_PER_CALLER
            || self.sealed_bytes + size > MAX_SEALED_BYTES
            || self.slots.contains_key(&id)
        {
            return false;
        }
        let share = self.callers.entry(slot.owner).or_default();
        share.live += 1;
        share.bytes += size;
        share.details = Some(slot.details.shared().clone());
        if size > 0 {
            *self.accounts.entry(slot.account).or_default() += size;
        }
        self.sealed_bytes += size;
        self.slots.insert(id, Box::new(slot));
        true
    }

    fn issued(&mut self, id: TicketId, committed: bool) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if committed {
            (slot.issued, slot.changing) = (true, false);
            self.by_expiry.insert((slot.details.expires_at(), id));
            self.by_age.insert(ListPosition { issued_at: slot.details.issued_at(), id });
        } else {
            let owner = slot.owner;
            self.forget_bundle(id);
            self.slots.remove(&id);
            self.give_back(owner, 1, 0);
        }
    }

    /// Of several concurrent endings only one begins; otherwise two changes of the same ticket would overlap.
    fn begin_ending(&mut self, id: TicketId) -> bool {
        match self.slots.get_mut(&id) {
            Some(slot) if slot.issued && !slot.changing && slot.ending.is_none() => {
                slot.changing = true;
                true
            }
            _ => false,
        }
    }

    fn ended(&mut self, id: TicketId, ending: Option<&Ending>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.changing = false;
        let Some(ending) = ending else { return };
        slot.ending = Some(ending.clone());
        let (owner, issued_at, expires_at) = (slot.owner, slot.details.issued_at(), slot.details.expires_at());
        self.by_expiry.remove(&(expires_at, id));
        self.by_age.remove(&ListPosition { issued_at, id });
        let (number, oldest) = self.ended.push(id, owner);
        slot.ended_as = number;
        self.ends.insert((owed_until(expires_at), id));
        self.give_back(owner, 1, 0);
        match ending {
            Ending::Redeemed { at, replay: Some(_) } => {
                self.replays.insert((microseconds(later(*at, REPLAYED_FOR)).min(expires_at), id));
            }
            _ => self.forget_bundle(id),
        }
        if let Some(oldest) = oldest {
            self.forget(oldest);
        }
    }

    /// Removes an ended ticket.
    fn forget(&mut self, id: TicketId) {
        self.forget_bundle(id);
        if let Some(slot) = self.slots.remove(&id) {
            self.ends.remove(&(owed_until(slot.details.expires_at()), id));
            self.ended.remove(slot.ended_as);
        }
    }

    /// Removes a sealed bundle if it still exists, and subtracts its size.
    fn forget_bundle(&mut self, id: TicketId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            let (owner, account, size) = (slot.owner, slot.account, slot.blob.len());
            slot.blob = Arc::default();
            self.sealed_bytes -= size;
            self.give_back(owner, 0, size);
            if let Entry::Occupied(mut bytes) = self.accounts.entry(account) {
                *bytes.get_mut() -= size;
                if *bytes.get() == 0 {
                    bytes.remove();
                }
            }
        }
    }

    fn give_back(&mut self, owner: Owner, live: usize, bytes: usize) {
        if let Entry::Occupied(mut share) = self.callers.entry(owner) {
            let left = share.get_mut();
            left.live -= live;
            left.bytes -= bytes;
            if left.live == 0 && left.bytes == 0 {
                share.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;

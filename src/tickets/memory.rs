//! The ticket store in the memory of this process: its tickets are lost with the process, and only this process can redeem them.
//!
//! A change begins when the audit log runs its step, and takes effect when the event is durable. In between, readers see the
//! previous state, and no other change of the ticket can begin.

mod counts;
mod encoded_ticket;
mod ended_tickets;

use super::caller_limits::CallerLimits;
use super::owner_digest::OwnerDigest;
use super::port::{
    FinalState, MAX_BYTES_PER_CALLER, REPLAY_WINDOW, StoredTicket, TicketState, TicketStore, TicketStoreError,
};
use super::sealed_bundle::SealedBundle;
use super::ticket::{ListPosition, Ticket, from_microseconds, saturating_add, to_microseconds};
use super::ticket_change::TicketChange;
use super::ticket_codec;
use crate::database::{DatabaseError, Step, StepRunner, UnitOfWork};
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use crate::model::ticket_limit::TicketLimit;
use async_trait::async_trait;
use counts::TicketCounts;
use encoded_ticket::EncodedTicket;
use ended_tickets::EndedTickets;
use jiff::Timestamp;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum total size of sealed bundles, in bytes.
const MAX_SEALED_BYTES: usize = 256 * 1024 * 1024;
const STATE_RETENTION: Duration = Duration::from_mins(5);
/// Maximum number of tickets that `list_overdue` returns.
const MAX_OVERDUE: usize = 1000;

/// Stores tickets in memory.
pub struct MemoryTicketStore(Arc<SharedTable>);

struct SharedTable {
    table: Mutex<TicketTable>,
    max_live_per_caller: usize,
}

#[derive(Default)]
struct TicketTable {
    /// Boxed, because the hash map has up to twice as many slots as entries.
    records: HashMap<TicketId, Box<TicketRecord>>,
    /// Waiting tickets by time of expiry, to find overdue ones.
    by_expiry: BTreeSet<(i64, TicketId)>,
    /// Waiting tickets by time of issue.
    by_age: BTreeSet<ListPosition>,
    /// Redeemed tickets whose download may be repeated, by the end of their replay window.
    by_replay_end: BTreeSet<(i64, TicketId)>,
    /// Ended tickets by the second in which they are removed.
    by_removal_second: BTreeSet<(i64, TicketId)>,
    /// Ended tickets in the order in which they ended.
    ended: EndedTickets,
    /// A caller without an entry has no tickets.
    callers: HashMap<OwnerDigest, CallerUsage>,
    /// The sealed bytes by quota owner: a pod, or an issuer and subject with all their tokens.
    quota_bytes: HashMap<OwnerDigest, usize>,
    sealed_bytes: usize,
    /// Tickets by caller and policy, for policies with a limit.
    counts: TicketCounts,
}

#[derive(Default)]
struct CallerUsage {
    live: usize,
    bytes: usize,
    /// The shareable part of the caller's last ticket, which the next ticket shares if it is equal.
    last_ticket: Option<Arc<[u8]>>,
}

/// A stored ticket in any state. Kept small, because many more tickets have ended than are waiting.
struct TicketRecord {
    verifier: [u8; 32],
    encoded_ticket: EncodedTicket,
    /// Ciphertext and tag. Empty after the bundle is deleted.
    ciphertext: Arc<[u8]>,
    owner: OwnerDigest,
    quota_owner: OwnerDigest,
    /// False until the event of the issue is durable. Readers ignore the ticket until then.
    is_issued: bool,
    /// True from the beginning of a change until its event is durable or has failed.
    is_changing: bool,
    final_state: Option<FinalState>,
    /// The number that [`EndedTickets`] gave the ticket when it ended. 0 before.
    end_number: u64,
}

impl MemoryTicketStore {
    /// An empty store, with a limit of live tickets for each caller.
    pub fn new(max_live_per_caller: usize) -> Self {
        Self(Arc::new(SharedTable { table: Mutex::default(), max_live_per_caller }))
    }

    fn step(&self, change: TicketChange) -> Step {
        let runner: Arc<dyn StepRunner> = self.0.clone();
        Step::new(runner, change)
    }
}

#[async_trait]
impl TicketStore for MemoryTicketStore {
    fn has_room_for(&self, caller: &Identity) -> bool {
        let owner = OwnerDigest::from_identity(caller);
        self.0.lock().callers.get(&owner).is_none_or(|usage| usage.live < self.0.max_live_per_caller)
    }

    fn step_to_issue(&self, ticket: &Ticket, sealed: SealedBundle, limits: Option<Arc<CallerLimits>>) -> Step {
        self.step(TicketChange::issue(ticket, sealed, limits))
    }

    async fn has_reached_limit(&self, caller: &Identity, limits: &[TicketLimit]) -> Result<bool, TicketStoreError> {
        Ok(!self.0.lock().counts.is_below_limits(OwnerDigest::from_identity(caller), limits))
    }

    fn step_to_end(&self, id: TicketId, final_state: FinalState) -> Step {
        self.step(TicketChange::End { id, final_state })
    }

    async fn find(&self, id: TicketId) -> Result<Option<StoredTicket>, TicketStoreError> {
        let table = self.0.lock();
        let Some(record) = table.records.get(&id).filter(|record| record.is_issued) else { return Ok(None) };
        let (sealed, state) = (record.sealed(), record.state());
        drop(table);
        Ok(decode(&sealed).map(|ticket| StoredTicket { ticket, sealed, state }))
    }

    async fn list_waiting(
        &self,
        now: Timestamp,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<Ticket>, TicketStoreError> {
        let table = self.0.lock();
        let older = match after {
            Some(position) => table.by_age.range(..position),
            None => table.by_age.range(..),
        };
        let waiting = older.rev().filter_map(|position| table.records.get(&position.id));
        let waiting = waiting.filter(|record| to_microseconds(now) < record.encoded_ticket.expires_at()).take(limit);
        let sealed: Vec<SealedBundle> = waiting.map(|record| record.sealed()).collect();
        drop(table);
        Ok(sealed.iter().filter_map(decode).collect())
    }

    async fn list_overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, TicketStoreError> {
        let table = self.0.lock();
        let due = table.by_expiry.iter().take_while(|(expiry, _)| *expiry <= to_microseconds(now));
        let due =
            due.filter_map(|(_, id)| table.records.get(id)).filter(|record| !record.is_changing).take(MAX_OVERDUE);
        let sealed: Vec<SealedBundle> = due.map(|record| record.sealed()).collect();
        drop(table);
        Ok(sealed.iter().filter_map(decode).collect())
    }

    async fn tidy(&self, now: Timestamp) -> Result<(), TicketStoreError> {
        let table = &mut *self.0.lock();
        while let Some(&(end, id)) = table.by_replay_end.first().filter(|(end, _)| *end <= to_microseconds(now)) {
            table.by_replay_end.remove(&(end, id));
            table.delete_bundle(id);
        }
        table.counts.delete_old(now);
        while let Some(&(_, id)) = table.by_removal_second.first().filter(|(second, _)| *second <= now.as_second()) {
            table.remove(id);
        }
        Ok(())
    }

    async fn count_waiting(&self) -> Result<usize, TicketStoreError> {
        Ok(self.lost_on_exit())
    }

    fn lost_on_exit(&self) -> usize {
        self.0.lock().by_expiry.len()
    }

    fn state_retention(&self) -> Duration {
        STATE_RETENTION
    }
}

#[async_trait]
impl StepRunner for SharedTable {
    /// Runs no statement, so only the event is written to the database.
    async fn run(&self, _work: &mut UnitOfWork, steps: &[&Step]) -> Result<Vec<bool>, DatabaseError> {
        let table = &mut *self.lock();
        let begin = |step: &&Step| match step.payload() {
            Some(TicketChange::Issue { id, owner, quota_owner, issued_at, sealed, limits, .. }) => {
                if let Some(limits) = limits
                    && !table.counts.is_below_limits(*owner, &limits.by_policy)
                {
                    limits.set_reached();
                    return false;
                }
                let last_ticket = table.callers.get(owner).and_then(|usage| usage.last_ticket.as_ref());
                let record = TicketRecord {
                    verifier: sealed.verifier,
                    encoded_ticket: EncodedTicket::new(&sealed.encoded_ticket, last_ticket),
                    ciphertext: sealed.ciphertext.clone(),
                    owner: *owner,
                    quota_owner: *quota_owner,
                    is_issued: false,
                    is_changing: true,
                    final_state: None,
                    end_number: 0,
                };
                let begun = table.begin_issuing(*id, record, self.max_live_per_caller);
                if let Some(limits) = limits.as_ref().filter(|_| begun) {
                    table.counts.add(*owner, &limits.by_policy, *issued_at);
                }
                begun
            }
            Some(TicketChange::End { id, .. }) => table.begin_ending(*id),
            None => false,
        };
        Ok(steps.iter().map(begin).collect())
    }

    fn on_end(&self, steps: &[&Step], committed: bool) {
        let table = &mut *self.lock();
        for step in steps {
            match step.payload() {
                Some(TicketChange::Issue { id, owner, limits, .. }) => {
                    table.finish_issuing(*id, committed);
                    if let Some(limits) = limits.as_ref().filter(|_| !committed) {
                        table.counts.subtract(*owner, &limits.by_policy);
                    }
                }
                Some(TicketChange::End { id, final_state }) => {
                    table.finish_ending(*id, committed.then_some(final_state));
                }
                None => {}
            }
        }
    }
}

impl SharedTable {
    fn lock(&self) -> MutexGuard<'_, TicketTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The second, since 1970, in which an ended ticket is removed that expires at `expires_at` (microseconds since 1970).
fn retention_end_second(expires_at: i64) -> i64 {
    let end = saturating_add(from_microseconds(expires_at), STATE_RETENTION);
    end.as_second() + i64::from(end.subsec_nanosecond() > 0)
}

/// Always `Some`, because this process encoded the bytes.
fn decode(sealed: &SealedBundle) -> Option<Ticket> {
    ticket_codec::decode(&sealed.encoded_ticket).ok()
}

impl TicketRecord {
    fn sealed(&self) -> SealedBundle {
        SealedBundle {
            verifier: self.verifier,
            encoded_ticket: self.encoded_ticket.to_bytes(),
            ciphertext: self.ciphertext.clone(),
        }
    }

    fn state(&self) -> TicketState {
        match &self.final_state {
            None => TicketState::Waiting,
            Some(FinalState::Redeemed { at, replay_digest }) => {
                TicketState::Redeemed { at: *at, replay_digest: replay_digest.as_deref().copied() }
            }
            Some(FinalState::Expired) => TicketState::Expired,
            Some(FinalState::Revoked) => TicketState::Revoked,
        }
    }
}

impl TicketTable {
    /// Inserts a ticket that readers do not see yet, and counts it. False if a limit is reached or the ID exists.
    fn begin_issuing(&mut self, id: TicketId, record: TicketRecord, max_live: usize) -> bool {
        let size = record.ciphertext.len();
        let live = self.callers.get(&record.owner).map_or(0, |usage| usage.live);
        let bytes = self.quota_bytes.get(&record.quota_owner).copied().unwrap_or_default();
        if live >= max_live
            || bytes + size > MAX_BYTES_PER_CALLER
            || self.sealed_bytes + size > MAX_SEALED_BYTES
            || self.records.contains_key(&id)
        {
            return false;
        }
        let usage = self.callers.entry(record.owner).or_default();
        usage.live += 1;
        usage.bytes += size;
        usage.last_ticket = Some(record.encoded_ticket.shared().clone());
        if size > 0 {
            *self.quota_bytes.entry(record.quota_owner).or_default() += size;
        }
        self.sealed_bytes += size;
        self.records.insert(id, Box::new(record));
        true
    }

    /// Makes a ticket visible, or removes it if its event did not become durable.
    fn finish_issuing(&mut self, id: TicketId, committed: bool) {
        let Some(record) = self.records.get_mut(&id) else { return };
        if committed {
            (record.is_issued, record.is_changing) = (true, false);
            self.by_expiry.insert((record.encoded_ticket.expires_at(), id));
            self.by_age.insert(ListPosition { issued_at: record.encoded_ticket.issued_at(), id });
        } else {
            let owner = record.owner;
            self.delete_bundle(id);
            self.records.remove(&id);
            self.subtract_usage(owner, 1, 0);
        }
    }

    /// Marks a waiting ticket as changing. False if the ticket is not waiting, or is changing already: of concurrent endings only
    /// one begins.
    fn begin_ending(&mut self, id: TicketId) -> bool {
        match self.records.get_mut(&id) {
            Some(record) if record.is_issued && !record.is_changing && record.final_state.is_none() => {
                record.is_changing = true;
                true
            }
            _ => false,
        }
    }

    /// Sets the final state. With `None`, because the event did not become durable, the ticket keeps its state.
    fn finish_ending(&mut self, id: TicketId, final_state: Option<&FinalState>) {
        let Some(record) = self.records.get_mut(&id) else { return };
        record.is_changing = false;
        let Some(final_state) = final_state else { return };
        record.final_state = Some(final_state.clone());
        let (owner, issued_at, expires_at) =
            (record.owner, record.encoded_ticket.issued_at(), record.encoded_ticket.expires_at());
        self.by_expiry.remove(&(expires_at, id));
        self.by_age.remove(&ListPosition { issued_at, id });
        let (number, oldest) = self.ended.push(id, owner);
        record.end_number = number;
        self.by_removal_second.insert((retention_end_second(expires_at), id));
        self.subtract_usage(owner, 1, 0);
        match final_state {
            FinalState::Redeemed { at, replay_digest: Some(_) } => {
                self.by_replay_end.insert((to_microseconds(saturating_add(*at, REPLAY_WINDOW)).min(expires_at), id));
            }
            _ => self.delete_bundle(id),
        }
        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
    }

    /// Removes an ended ticket from all tables.
    fn remove(&mut self, id: TicketId) {
        self.delete_bundle(id);
        if let Some(record) = self.records.remove(&id) {
            self.by_removal_second.remove(&(retention_end_second(record.encoded_ticket.expires_at()), id));
            self.ended.remove(record.end_number);
        }
    }

    /// Deletes a bundle, and subtracts its size from the totals. Does nothing if it was deleted before.
    fn delete_bundle(&mut self, id: TicketId) {
        if let Some(record) = self.records.get_mut(&id) {
            let (owner, quota_owner, size) = (record.owner, record.quota_owner, record.ciphertext.len());
            record.ciphertext = Arc::default();
            self.sealed_bytes -= size;
            self.subtract_usage(owner, 0, size);
            if let Entry::Occupied(mut bytes) = self.quota_bytes.entry(quota_owner) {
                *bytes.get_mut() -= size;
                if *bytes.get() == 0 {
                    bytes.remove();
                }
            }
        }
    }

    fn subtract_usage(&mut self, owner: OwnerDigest, live: usize, bytes: usize) {
        if let Entry::Occupied(mut usage) = self.callers.entry(owner) {
            let remaining = usage.get_mut();
            remaining.live -= live;
            remaining.bytes -= bytes;
            if remaining.live == 0 && remaining.bytes == 0 {
                usage.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests;

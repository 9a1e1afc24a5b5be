//! Limits the number of ended tickets that are kept, for each caller and in total.

use crate::model::ticket::TicketId;
use crate::tickets::owner_digest::OwnerDigest;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Maximum number for one caller. Beyond it, the ticket of this caller that ended first is removed.
const MAX_PER_CALLER: usize = 1024;
/// Maximum number for all callers. Beyond it, the ticket that ended first is removed.
const MAX_TOTAL: usize = 100_000;

/// Ended tickets, numbered in the order in which they ended.
#[derive(Default)]
pub struct EndedTickets {
    next_number: u64,
    by_number: BTreeMap<u64, (TicketId, OwnerDigest)>,
    by_caller: HashMap<OwnerDigest, VecDeque<u64>>,
}

impl EndedTickets {
    /// Adds an ended ticket. Returns its number and, if a maximum is exceeded, the older ticket that the store must remove.
    pub fn push(&mut self, id: TicketId, owner: OwnerDigest) -> (u64, Option<TicketId>) {
        let number = self.next_number;
        self.next_number += 1;
        self.by_number.insert(number, (id, owner));
        let numbers = self.by_caller.entry(owner).or_default();
        numbers.push_back(number);
        let oldest = if numbers.len() > MAX_PER_CALLER {
            numbers.front().copied()
        } else if self.by_number.len() > MAX_TOTAL {
            self.by_number.first_key_value().map(|(number, _)| *number)
        } else {
            None
        };
        (number, oldest.and_then(|oldest| self.by_number.get(&oldest)).map(|(id, _)| *id))
    }

    /// Removes the ticket with this number.
    pub fn remove(&mut self, number: u64) {
        let Some((_, owner)) = self.by_number.remove(&number) else { return };
        if let Some(numbers) = self.by_caller.get_mut(&owner) {
            // Usually at the front.
            if let Some(index) = numbers.iter().position(|other| *other == number) {
                numbers.remove(index);
            }
            if numbers.is_empty() {
                self.by_caller.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::caller::Identity;

    fn id(number: usize) -> TicketId {
        TicketId::from_bytes((number as u128).to_be_bytes())
    }

    fn owner(number: usize) -> OwnerDigest {
        OwnerDigest::from_identity(&Identity::Pod { issuer: "i".into(), uid: number.to_string() })
    }

    #[test]
    fn beyond_its_maximum_only_the_oldest_of_the_same_caller_is_removed() {
        let mut ended = EndedTickets::default();
        let (honest, _) = ended.push(id(1_000_000), owner(1));
        let mut removed = Vec::new();
        let mut numbers = HashMap::new();
        for n in 0..5000 {
            let (number, oldest) = ended.push(id(n), owner(0));
            numbers.insert(id(n), number);
            if let Some(oldest) = oldest {
                ended.remove(numbers[&oldest]);
                removed.push(oldest);
            }
        }
        assert_eq!(removed, (0..5000 - MAX_PER_CALLER).map(id).collect::<Vec<_>>());
        assert!(ended.by_number.contains_key(&honest));
        assert_eq!(ended.by_caller[&owner(0)].len(), MAX_PER_CALLER);
    }

    #[test]
    fn total_is_bounded() {
        let mut ended = EndedTickets::default();
        let mut numbers = HashMap::new();
        for n in 0..MAX_TOTAL + 500 {
            let (number, oldest) = ended.push(id(n), owner(n % 1000));
            numbers.insert(id(n), number);
            if let Some(oldest) = oldest {
                ended.remove(numbers[&oldest]);
            }
        }
        assert_eq!(ended.by_number.len(), MAX_TOTAL);
        for number in ended.by_number.keys().copied().collect::<Vec<_>>() {
            ended.remove(number);
        }
        assert!(ended.by_number.is_empty() && ended.by_caller.is_empty());
    }
}

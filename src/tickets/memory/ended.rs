//! Limits how many ended tickets are kept, for each caller and in total.

use crate::model::ticket::TicketId;
use crate::tickets::owner::Owner;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Limit for one caller. A caller that ends more in five minutes loses its own oldest ones first.
const MAX_OF_CALLER: usize = 1024;
/// Limit for all callers.
const MAX_OF_ALL: usize = 100_000;

/// The ended tickets in the order of their endings.
#[derive(Default)]
pub struct Ended {
    next: u64,
    all: BTreeMap<u64, (TicketId, Owner)>,
    callers: HashMap<Owner, VecDeque<u64>>,
}

impl Ended {
    /// Adds an ended ticket. Returns its number, and the ticket that must be removed for it.
    pub fn push(&mut self, id: TicketId, owner: Owner) -> (u64, Option<TicketId>) {
        let number = self.next;
        self.next += 1;
        self.all.insert(number, (id, owner));
        let numbers = self.callers.entry(owner).or_default();
        numbers.push_back(number);
        let oldest = if numbers.len() > MAX_OF_CALLER {
            numbers.front().copied()
        } else if self.all.len() > MAX_OF_ALL {
            self.all.first_key_value().map(|(number, _)| *number)
        } else {
            None
        };
        (number, oldest.and_then(|oldest| self.all.get(&oldest)).map(|(id, _)| *id))
    }

    /// Removes the ticket with this number.
    pub fn remove(&mut self, number: u64) {
        let Some((_, owner)) = self.all.remove(&number) else { return };
        if let Some(numbers) = self.callers.get_mut(&owner) {
            // Usually the first one.
            if let Some(at) = numbers.iter().position(|one| *one == number) {
                numbers.remove(at);
            }
            if numbers.is_empty() {
                self.callers.remove(&owner);
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

    fn owner(number: usize) -> Owner {
        Owner::of(&Identity::Pod { issuer: "i".into(), uid: number.to_string() })
    }

    #[test]
    fn a_caller_forgets_its_own_oldest_and_nobody_else_s() {
        let mut ended = Ended::default();
        let (honest, _) = ended.push(id(1_000_000), owner(1));
        let mut forgotten = Vec::new();
        let mut numbers = HashMap::new();
        for n in 0..5000 {
            let (number, oldest) = ended.push(id(n), owner(0));
            numbers.insert(id(n), number);
            if let Some(oldest) = oldest {
                ended.remove(numbers[&oldest]);
                forgotten.push(oldest);
            }
        }
        assert_eq!(forgotten, (0..5000 - MAX_OF_CALLER).map(id).collect::<Vec<_>>());
        assert!(ended.all.contains_key(&honest));
        assert_eq!(ended.callers[&owner(0)].len(), MAX_OF_CALLER);
    }

    #[test]
    fn all_together_are_bounded() {
        let mut ended = Ended::default();
        let mut numbers = HashMap::new();
        for n in 0..MAX_OF_ALL + 500 {
            let (number, oldest) = ended.push(id(n), owner(n % 1000));
            numbers.insert(id(n), number);
            if let Some(oldest) = oldest {
                ended.remove(numbers[&oldest]);
            }
        }
        assert_eq!(ended.all.len(), MAX_OF_ALL);
        for number in ended.all.keys().copied().collect::<Vec<_>>() {
            ended.remove(number);
        }
        assert!(ended.all.is_empty() && ended.callers.is_empty());
    }
}

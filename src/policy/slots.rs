//! What the indices call the policies of a set: a slot, which a policy keeps while others come and go, and whose place changes.

use super::index::Slot;
use super::matching::Policy;
use std::cmp::Ordering;
use std::sync::Arc;

/// A slot without a policy.
const FREE: u32 = u32::MAX;
/// If more than one policy in so many is another one, the indices are built anew.
const FEW: usize = 8;

/// Slots and places of the policies of a set, in both directions.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// By place.
    slots: Box<[Slot]>,
    /// By slot; [`FREE`] if it has no policy.
    places: Box<[u32]>,
}

/// What two sets of policies differ by. A policy that was changed is in both lists.
#[derive(Debug, Default)]
pub struct SetDifference {
    /// The policies that are in the old one alone, with their slots there.
    pub(super) gone: Vec<(Arc<Policy>, Slot)>,
    /// The policies that are in the new one alone, with their slots there.
    pub(super) new: Vec<(Arc<Policy>, Slot)>,
}

impl SetDifference {
    /// The policies that are in the old set alone.
    pub fn gone(&self) -> impl Iterator<Item = &Policy> {
        self.gone.iter().map(|(policy, _)| &**policy)
    }

    /// The policies that are in the new set alone.
    pub fn new_ones(&self) -> impl Iterator<Item = &Policy> {
        self.new.iter().map(|(policy, _)| &**policy)
    }
}

impl Slots {
    /// Those of so many policies, in order of their places.
    pub(super) fn of(count: usize) -> Self {
        let in_order: Box<[u32]> = (0..count).map(number).collect();
        Self { slots: in_order.clone(), places: in_order }
    }

    /// The slot of the policy at a place.
    pub(super) fn slot(&self, place: usize) -> Slot {
        self.slots[place]
    }

    /// The place of the policy in a slot, which must have one.
    #[inline]
    pub(super) fn place(&self, slot: Slot) -> usize {
        self.places[slot as usize] as usize
    }

    /// The slots after these policies have become those; both are in order of name. No slots if too many are others.
    pub(super) fn moved(&self, before: &[Arc<Policy>], after: &[Arc<Policy>]) -> (Option<Self>, SetDifference) {
        let mut difference = SetDifference::default();
        let mut slots = Vec::with_capacity(after.len());
        let (mut old, mut new) = (0, 0);
        loop {
            let order = match (before.get(old), after.get(new)) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(after)) if Arc::ptr_eq(before, after) => {
                    slots.push(self.slots[old]);
                    (old, new) = (old + 1, new + 1);
                    continue;
                }
                (Some(before), Some(after)) => before.name().cmp(after.name()),
            };
            if order.is_le() {
                difference.gone.push((before[old].clone(), self.slots[old]));
                old += 1;
            }
            if order.is_ge() {
                difference.new.push((after[new].clone(), FREE));
                slots.push(FREE);
                new += 1;
            }
        }
        if (difference.gone.len() + difference.new.len()).saturating_mul(FEW) > after.len() {
            return (None, difference);
        }
        let mut places = self.places.to_vec();
        for (_, slot) in &difference.gone {
            places[*slot as usize] = FREE;
        }
        let mut free: Vec<Slot> = (0..places.len()).filter(|slot| places[*slot] == FREE).map(number).collect();
        let mut added = difference.new.iter_mut();
        for (place, slot) in slots.iter_mut().enumerate() {
            if *slot == FREE {
                *slot = free.pop().unwrap_or_else(|| {
                    places.push(FREE);
                    number(places.len() - 1)
                });
                added.next().into_iter().for_each(|(_, of)| *of = *slot);
            }
            places[*slot as usize] = number(place);
        }
        (Some(Self { slots: slots.into(), places: places.into() }), difference)
    }
}

/// A set has far fewer policies than this type has numbers: the sources are bounded.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(FREE)
}

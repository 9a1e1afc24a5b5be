//! Maps the slots of policies to their positions in the set. The indices store slots, because the position of a policy
//! changes when others are added or removed.

use super::compiled_policy::Policy;
use super::index::Slot;
use std::cmp::Ordering;
use std::sync::Arc;

/// The position of a slot without a policy, and the slot of a policy that has none yet.
const FREE: u32 = u32::MAX;
/// If more than one policy in this many is added or removed, the indices are rebuilt.
const MIN_POLICIES_PER_CHANGE: usize = 8;

/// The slots and positions of the policies of a set, in both directions.
#[derive(Debug, Default)]
pub(super) struct SlotMap {
    slot_by_position: Box<[Slot]>,
    /// [`FREE`] if the slot has no policy.
    position_by_slot: Box<[u32]>,
}

/// The difference between an old set of policies and a new one. A policy that was changed, or compiled again, is in both lists.
#[derive(Debug, Default)]
pub struct SetDifference {
    /// The policies that only the old set has, with their slots.
    pub(super) removed: Vec<(Arc<Policy>, Slot)>,
    /// The policies that only the new set has, with their slots; [`FREE`] if the indices have to be rebuilt.
    pub(super) added: Vec<(Arc<Policy>, Slot)>,
}

impl SetDifference {
    /// The policies that only the old set has.
    pub fn removed(&self) -> impl Iterator<Item = &Policy> {
        self.removed.iter().map(|(policy, _)| &**policy)
    }

    /// The policies that only the new set has.
    pub fn added(&self) -> impl Iterator<Item = &Policy> {
        self.added.iter().map(|(policy, _)| &**policy)
    }
}

impl SlotMap {
    /// Gives each of `count` policies the slot that equals its position.
    pub(super) fn new(count: usize) -> Self {
        let numbers: Box<[u32]> = (0..count).map(to_u32).collect();
        Self { slot_by_position: numbers.clone(), position_by_slot: numbers }
    }

    /// The slot of the policy at a position.
    pub(super) fn slot(&self, position: usize) -> Slot {
        self.slot_by_position[position]
    }

    /// The position of the policy with a slot. The slot must have a policy.
    #[inline]
    pub(super) fn position(&self, slot: Slot) -> usize {
        self.position_by_slot[slot as usize] as usize
    }

    /// Compares the policies of this map with new ones; both are in order of name. Returns the difference, and the map of the new
    /// policies, in which those that stay keep their slots. There is no map if too many differ.
    pub(super) fn update(&self, before: &[Arc<Policy>], after: &[Arc<Policy>]) -> (Option<Self>, SetDifference) {
        let mut difference = SetDifference::default();
        let mut slots = Vec::with_capacity(after.len());
        let (mut old, mut new) = (0, 0);
        loop {
            let order = match (before.get(old), after.get(new)) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(after)) if Arc::ptr_eq(before, after) => {
                    slots.push(self.slot_by_position[old]);
                    (old, new) = (old + 1, new + 1);
                    continue;
                }
                (Some(before), Some(after)) => before.name().cmp(after.name()),
            };
            if order.is_le() {
                difference.removed.push((before[old].clone(), self.slot_by_position[old]));
                old += 1;
            }
            if order.is_ge() {
                difference.added.push((after[new].clone(), FREE));
                slots.push(FREE);
                new += 1;
            }
        }
        if (difference.removed.len() + difference.added.len()).saturating_mul(MIN_POLICIES_PER_CHANGE) > after.len() {
            return (None, difference);
        }
        let mut positions = self.position_by_slot.to_vec();
        for (_, slot) in &difference.removed {
            positions[*slot as usize] = FREE;
        }
        let mut free: Vec<Slot> = (0..positions.len()).filter(|slot| positions[*slot] == FREE).map(to_u32).collect();
        let mut added = difference.added.iter_mut();
        for (position, slot) in slots.iter_mut().enumerate() {
            if *slot == FREE {
                *slot = free.pop().unwrap_or_else(|| {
                    positions.push(FREE);
                    to_u32(positions.len() - 1)
                });
                added.next().into_iter().for_each(|(_, slot_of_added)| *slot_of_added = *slot);
            }
            positions[*slot as usize] = to_u32(position);
        }
        (Some(Self { slot_by_position: slots.into(), position_by_slot: positions.into() }), difference)
    }
}

/// Does not lose values: the sources of policies are bounded, so a set has far fewer than `u32::MAX`.
fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(FREE)
}

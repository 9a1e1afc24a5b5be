//! Random requests of the pods; the same for the same seed and number.

use super::book::{Book, Pair, Role};

/// `SplitMix64`.
pub struct Dice(u64);

impl Dice {
    /// A generator for the case of this number.
    pub const fn new(seed: u64, number: u64) -> Self {
        Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let sides = u64::try_from(sides).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % sides).unwrap()
    }

    /// A repo and a branch for this pod to ask for.
    pub fn asks<'a>(&mut self, book: &'a Book, role: &Role<'a>) -> Pair<'a> {
        Pair { repo: self.name(book.repos(), role.says.repo), branch: self.name(book.branches(), role.says.branch) }
    }

    /// Usually the pod's own name; sometimes none, a similar one, or any.
    fn name<'a>(&mut self, names: &'a [Vec<String>], own: Option<&'a str>) -> Option<&'a str> {
        let family = |name: &str| names.iter().find(|family| family.iter().any(|one| one == name));
        match (own.and_then(|own| Some((own, family(own)?))), self.roll(20)) {
            (_, 0..3) => None,
            (Some((own, _)), 3..12) => Some(own),
            (Some((_, family)), 12..16) => Some(&family[self.roll(family.len())]),
            _ => {
                let family = &names[self.roll(names.len())];
                Some(&family[self.roll(family.len())])
            }
        }
    }
}

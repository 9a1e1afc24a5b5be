//! Random requests of the pods; the same for the same seed and number.

use super::expected_outcomes::{Oracle, RepoAndBranch, Role};

/// `SplitMix64`.
pub struct RandomRequests(u64);

impl RandomRequests {
    /// A generator for the case of this number.
    pub const fn new(seed: u64, number: u64) -> Self {
        Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap()
    }

    /// The repo and branch that this pod requests.
    pub fn request_of<'a>(&mut self, oracle: &'a Oracle, role: &Role<'a>) -> RepoAndBranch<'a> {
        RepoAndBranch {
            repo: self.name(oracle.repos(), role.claim.repo),
            branch: self.name(oracle.branches(), role.claim.branch),
        }
    }

    /// Usually the pod's own name; sometimes none, a similar one, or any.
    fn name<'a>(&mut self, names: &'a [Vec<String>], own: Option<&'a str>) -> Option<&'a str> {
        let family = |name: &str| names.iter().find(|family| family.iter().any(|one| one == name));
        match (own.and_then(|own| Some((own, family(own)?))), self.below(20)) {
            (_, 0..3) => None,
            (Some((own, _)), 3..12) => Some(own),
            (Some((_, family)), 12..16) => Some(&family[self.below(family.len())]),
            _ => {
                let family = &names[self.below(names.len())];
                Some(&family[self.below(family.len())])
            }
        }
    }
}

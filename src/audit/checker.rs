//! Verification of the chains. The checker sees every event once, newest first, and keeps one position for each
//! chain.
//!
//! The order is newest first because an event names the previous one. When the first event of a chain names the
//! head of another chain, that head is still to come, and its hash is awaited.

use super::chain::NO_PREDECESSOR;
use super::entry::{Placed, Stored};
use super::keys::{ChainHasher, HashedWith, NotVerified};
use super::known::{Known, Pruned};
use std::collections::{BTreeMap, HashMap};

/// Why verification fails at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The hash is not that of the text, or a column differs from the text.
    Altered,
    /// No event has this number.
    Missing,
    /// The event is in another place, or occurs twice.
    OutOfPlace,
    /// The event names another predecessor than the previous event.
    Unlinked,
    /// The hash differs from a checkpoint.
    NotAsKnown,
    /// An anchor was not written by a broker.
    BadAnchor,
    /// The key of the chain is neither the current nor a retired one.
    UnknownKey,
}

impl Reason {
    /// The word in responses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::OutOfPlace => "out_of_place",
            Self::Unlinked => "unlinked",
            Self::NotAsKnown => "not_as_checkpoint",
            Self::BadAnchor => "bad_anchor",
            Self::UnknownKey => "unknown_key",
        }
    }
}

/// The first place where verification fails: of each chain the lowest number, of all chains the one written first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The chain.
    pub chain: String,
    /// The number in the chain.
    pub seq: i64,
    /// The reason.
    pub reason: Reason,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The number of events.
    pub events: u64,
    /// The number of their chains.
    pub chains: u64,
    /// The first failure.
    pub first_broken: Option<Broken>,
}

/// Whether chains may begin after their first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Only after events that are known to be deleted.
    Known,
    /// Anywhere: for exports, whose deleted part was verified elsewhere.
    Anywhere,
}

/// Verifies events one by one.
pub struct Checker<'a> {
    hasher: Option<&'a ChainHasher>,
    known: Known,
    chains: HashMap<String, Chain>,
    /// Awaited hashes, and the chains whose first events name them.
    awaited: HashMap<String, String>,
    events: u64,
    /// The chain of the event that was seen before.
    last_chain: Option<String>,
    /// Whether an event without a place was seen, and the probable place of the first.
    unreadable: bool,
    guess: Option<(String, i64)>,
    oldest: Option<String>,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about a chain")]
struct Chain {
    /// The lowest number so far, and the hash that this event names.
    lowest: Option<(i64, String)>,
    highest: i64,
    intact: bool,
    /// Whether events are sealed under a key.
    keyed: bool,
    /// The lowest event without a key, while a key is configured.
    plain: Option<(i64, u64)>,
    /// Whether a sealed anchor names one of the events without a key, and the chain that names one.
    trusted: bool,
    named_by: Option<String>,
    /// The newest events are altered, so their numbers are not yet known.
    above_unknown: bool,
    /// The last gap: the numbers below and above it. A gap above the newest event has no upper end.
    gap: Option<(i64, i64)>,
    broken: Option<(i64, Reason, u64)>,
}

impl Chain {
    /// Records a failure. The lowest number of a chain counts.
    fn breaks(&mut self, seq: i64, reason: Reason, at: u64) {
        if self.broken.is_none_or(|(lowest, ..)| seq < lowest) {
            self.broken = Some((seq, reason, at));
        }
    }

    /// Checks that the event is the one before the lowest so far. False: the event is out of place, and not checked further.
    fn check_order(&mut self, placed: &mut Placed<'_>, hash: &str, at: u64) -> bool {
        if placed.position_from_altered_text {
            // The place of an altered event is not reliable; its neighbours determine it.
            let Some((lowest, _)) = &self.lowest else {
                self.breaks(placed.seq, Reason::Altered, at);
                self.above_unknown = true;
                return false;
            };
            placed.seq = lowest.saturating_sub(1);
        }
        match &self.lowest {
            Some((lowest, _)) if placed.seq >= *lowest => {
                // If the event belongs into a gap, the event below it came too early. Otherwise it is a duplicate.
                let gap = self.gap.filter(|(below, above)| (below.saturating_add(1)..*above).contains(&placed.seq));
                self.breaks(gap.map_or(placed.seq, |(below, _)| below), Reason::OutOfPlace, at);
                return false;
            }
            Some((lowest, _)) if placed.seq < lowest.saturating_sub(1) => {
                self.gap = Some((placed.seq, *lowest));
                self.breaks(placed.seq.saturating_add(1), Reason::Missing, at);
            }
            Some((lowest, prev_hash)) if prev_hash != hash => {
                let lowest = *lowest;
                self.breaks(lowest, Reason::Unlinked, at);
            }
            Some(_) => {}
            None => {
                self.highest = placed.seq;
                self.gap = Some((placed.seq, i64::MAX));
                if std::mem::take(&mut self.above_unknown) {
                    self.broken = Some((placed.seq.saturating_add(1), Reason::Altered, at));
                }
            }
        }
        true
    }

    /// Checks that the hash is that of the text.
    fn check_hash(&mut self, placed: &Placed<'_>, at: u64) {
        match (placed.intact, placed.sealed) {
            (true, _) => self.intact = true,
            (false, Err(NotVerified::UnknownKey)) => self.breaks(placed.seq, Reason::UnknownKey, at),
            (false, _) => self.breaks(placed.seq, Reason::Altered, at),
        }
        self.keyed |= placed.sealed == Ok(HashedWith::Key);
    }

    /// Makes the event the lowest so far.
    fn set_lowest(&mut self, placed: &Placed<'_>) {
        match &mut self.lowest {
            Some((lowest, prev_hash)) => {
                *lowest = placed.seq;
                prev_hash.clear();
                prev_hash.push_str(&placed.prev_hash);
            }
            none => *none = Some((placed.seq, placed.prev_hash.clone().into_owned())),
        }
    }
}

// Numbers come from untrusted files, so arithmetic saturates.
impl<'a> Checker<'a> {
    /// Without a hasher only the links between hashes are checked.
    #[must_use]
    pub fn new(hasher: Option<&'a ChainHasher>, known: Known) -> Self {
        Self {
            hasher,
            known,
            chains: HashMap::new(),
            awaited: HashMap::new(),
            events: 0,
            last_chain: None,
            unreadable: false,
            guess: None,
            oldest: None,
        }
    }

    /// Checks the next older event.
    pub fn see(&mut self, stored: &Stored<'_>) {
        self.events += 1;
        match stored.place(self.hasher) {
            Some(placed) => self.see_placed(placed, stored.hash),
            None => self.see_unreadable(),
        }
    }

    /// A line that is not an event.
    pub fn see_unreadable(&mut self) {
        if std::mem::replace(&mut self.unreadable, true) {
            return;
        }
        self.guess = self.last_chain.as_ref().and_then(|chain| {
            let (seq, _) = self.chains.get(chain)?.lowest.as_ref()?;
            Some((chain.clone(), seq.saturating_sub(1)))
        });
    }

    fn see_placed(&mut self, mut placed: Placed<'_>, hash: &str) {
        let at = self.events;
        self.add_chain(&placed);
        let Some(chain) = self.chains.get_mut(&*placed.chain) else { return };
        if !chain.check_order(&mut placed, hash, at) {
            return;
        }
        chain.check_hash(&placed, at);
        if placed.sealed == Ok(HashedWith::Nothing) && self.hasher.is_some_and(ChainHasher::has_key) {
            chain.plain = Some((placed.seq, at));
            chain.trusted |= self.known.trusts_hash(hash);
            if let Some(by) = self.awaited.get(hash) {
                chain.named_by = Some(by.clone());
            }
        }
        if !self.known.admits(&placed.chain, placed.seq, hash) {
            chain.breaks(placed.seq, Reason::NotAsKnown, at);
        }
        chain.set_lowest(&placed);
        self.link(placed, hash);
    }

    /// Records the chain of an event.
    fn add_chain(&mut self, placed: &Placed<'_>) {
        if self.unreadable && self.guess.is_none() {
            self.guess = Some((placed.chain.clone().into_owned(), placed.seq.saturating_add(1)));
        }
        if self.last_chain.as_deref() != Some(&*placed.chain) {
            self.last_chain = Some(placed.chain.clone().into_owned());
        }
        if !self.chains.contains_key(&*placed.chain) {
            self.chains.insert(placed.chain.clone().into_owned(), Chain::default());
        }
    }

    /// Records which event of another chain the first event of a chain names, and resolves an awaited hash.
    fn link(&mut self, placed: Placed<'_>, hash: &str) {
        if self.oldest.as_deref().is_none_or(|oldest| *placed.time < *oldest) {
            self.oldest = Some(placed.time.into_owned());
        }
        if !self.awaited.is_empty() {
            self.awaited.remove(hash);
        }
        if placed.seq == 1 && placed.prev_hash != NO_PREDECESSOR {
            self.awaited.insert(placed.prev_hash.into_owned(), placed.chain.into_owned());
        }
    }

    /// Ends the verification. `pruned` has the events that were deleted in the meantime.
    #[must_use]
    pub fn finish(mut self, beginning: Beginning, pruned: &BTreeMap<String, Pruned>) -> Verified {
        let at = self.events + 1;
        let count = self.chains.len() as u64;
        for (name, chain) in &mut self.chains {
            let Some((lowest, prev_hash)) = &chain.lowest else { continue };
            let (lowest, before) = (*lowest, lowest.saturating_sub(1));
            let places = [self.known.pruned(name), pruned.get(name)];
            let follows = |pruned: &Pruned| pruned.seq == before && pruned.hash == *prev_hash;
            let while_looking = places[0].is_none_or(|then| then.seq <= before)
                && places[1].is_some_and(|now| now.seq > before && Some(now) != places[0]);
            if before > 0
                && beginning == Beginning::Known
                && !while_looking
                && !places.into_iter().flatten().any(follows)
            {
                match places.into_iter().flatten().next_back() {
                    Some(pruned) if pruned.seq < before => {
                        chain.breaks(pruned.seq.saturating_add(1), Reason::Missing, at);
                    }
                    Some(_) => chain.breaks(lowest, Reason::Unlinked, at),
                    None => chain.breaks(1, Reason::Missing, at),
                }
            }
        }
        for (hash, name) in std::mem::take(&mut self.awaited) {
            let may_be_gone = beginning == Beginning::Anywhere || self.known.names(&hash);
            if let Some(chain) = self.chains.get_mut(&name).filter(|_| !may_be_gone) {
                chain.breaks(1, Reason::Unlinked, at);
            }
        }
        self.check_chains_without_key();
        self.check_missing(beginning, pruned);
        Verified { events: self.events, chains: count, first_broken: self.first_broken() }
    }

    /// Checks chains without a key while a key is configured. Such a chain is valid if a keyed chain or anchor
    /// names it, or a valid chain without a key does. Any other may be forged.
    fn check_chains_without_key(&mut self) {
        loop {
            let is_good = |name: &String| self.chains.get(name).is_some_and(|by| by.plain.is_none() || by.trusted);
            let waiting = self.chains.iter().filter(|(_, chain)| chain.plain.is_some() && !chain.trusted);
            let named = waiting.filter(|(_, chain)| chain.named_by.as_ref().is_some_and(is_good));
            let named: Vec<String> = named.map(|(name, _)| name.clone()).collect();
            if named.is_empty() {
                break;
            }
            for name in named {
                self.chains.entry(name).or_default().trusted = true;
            }
        }
        for chain in self.chains.values_mut() {
            if let Some((seq, at)) = chain.plain.filter(|_| chain.keyed || !chain.trusted) {
                chain.breaks(seq, Reason::Altered, at);
            }
        }
        for (name, seq) in self.known.plain_anchors() {
            if let Some(chain) = self.chains.get_mut(name).filter(|chain| chain.keyed) {
                chain.breaks(seq, Reason::BadAnchor, self.events + 1);
            }
        }
    }

    /// Checks that all events that are known from elsewhere were seen.
    fn check_missing(&mut self, beginning: Beginning, pruned: &BTreeMap<String, Pruned>) {
        let at = self.events + 1;
        for (name, seq, known) in self.known.missing() {
            let gone = [self.known.pruned(name), pruned.get(name)].into_iter().flatten().map(|gone| gone.seq).max();
            let older = beginning == Beginning::Anywhere && known.is_older_than(self.oldest.as_deref());
            if gone.is_some_and(|gone| gone >= seq) || older {
                continue;
            }
            let chain = self.chains.entry(name.to_owned()).or_default();
            let lowest = chain.lowest.as_ref().map(|(lowest, _)| *lowest);
            if seq > chain.highest {
                chain.breaks(chain.highest.max(gone.unwrap_or_default()).saturating_add(1), Reason::Missing, at);
            } else if lowest.is_some_and(|lowest| seq < lowest) {
                chain.breaks(seq, Reason::Missing, at);
            }
            // An absence between lowest and highest is a gap, which is already recorded.
        }
        for (name, seq) in self.known.bad_anchors() {
            let chain = self.chains.entry(name.to_owned()).or_default();
            chain.breaks(seq, Reason::BadAnchor, at);
        }
    }

    fn first_broken(&self) -> Option<Broken> {
        // A chain without any intact event may result from an altered chain name.
        let broken = |held: bool| {
            let chains = self.chains.iter().filter(move |(_, chain)| chain.intact == held);
            let broken =
                chains.filter_map(|(name, chain)| chain.broken.map(|(seq, reason, at)| (at, name, seq, reason)));
            broken.max_by(|(a, name_a, ..), (b, name_b, ..)| a.cmp(b).then_with(|| name_b.cmp(name_a)))
        };
        if let Some((_, chain, seq, reason)) = broken(true).or_else(|| broken(false)) {
            return Some(Broken { chain: chain.clone(), seq, reason });
        }
        let (chain, seq) = self.guess.clone().unwrap_or_else(|| (String::new(), 1));
        self.unreadable.then_some(Broken { chain, seq, reason: Reason::Altered })
    }
}

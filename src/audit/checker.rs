//! Whether the chains hold: a checker that is shown every event once, the newest first, and remembers one place a chain.
//!
//! Newest first, because an event names the one before it: what a chain's first event names, the head of another chain, is
//! then still to come, and is waited for by its hash.

use super::chain::NO_PREDECESSOR;
use super::entry::{Placed, Stored};
use super::keys::{ChainHasher, HashedWith, NotVerified};
use super::known::{Known, Pruned};
use std::collections::{BTreeMap, HashMap};

/// Why a place in a chain does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The text is not the one that was hashed, or a column says something else than the text.
    Altered,
    /// No event has this number.
    Missing,
    /// It stands elsewhere, or twice.
    OutOfPlace,
    /// It names another event than the one before it.
    Unlinked,
    /// Its hash is not the one that is known from elsewhere.
    NotAsKnown,
    /// What is kept of deleted events was not written by a broker.
    BadAnchor,
    /// The chain names a key that is not configured, neither as the key nor as a retired one.
    UnknownKey,
}

impl Reason {
    /// The word in answers.
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

/// The first place that does not hold: the lowest number of a chain, in the chain where it was written first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The chain.
    pub chain: String,
    /// The number there.
    pub seq: i64,
    /// Why.
    pub reason: Reason,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events looked at.
    pub events: u64,
    /// Chains that have any of them.
    pub chains: u64,
    /// Where it does not hold.
    pub first_broken: Option<Broken>,
}

/// Whether chains may begin with a later event than their first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Only behind events that are known to have been pruned.
    Known,
    /// Anywhere: who asks knows of no pruning, and somebody else has looked.
    Anywhere,
}

/// Is shown events, and says in the end whether they hold.
pub struct Checker<'a> {
    hasher: Option<&'a ChainHasher>,
    known: Known,
    chains: HashMap<String, Chain>,
    /// Hashes that first events name, and the chains of those.
    awaited: HashMap<String, String>,
    events: u64,
    /// The chain of the event before in this order.
    last_chain: Option<String>,
    /// Whether there was an event without a place, and where the first such may have been.
    unreadable: bool,
    guess: Option<(String, i64)>,
    oldest: Option<String>,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about a chain")]
struct Chain {
    /// The lowest number so far, and what that event names.
    lowest: Option<(i64, String)>,
    highest: i64,
    intact: bool,
    /// Whether events are sealed under a key.
    keyed: bool,
    /// The lowest event that is sealed under no key, although there is one.
    plain: Option<(i64, u64)>,
    /// Whether a sealed anchor names one of the events that are sealed under no key, and which chain does.
    vouched: bool,
    named_by: Option<String>,
    /// The newest events do not hold, so that their numbers are still to be found out.
    above_unknown: bool,
    /// The last gap: the event below it and the one above. Above the newest there is one without an end.
    gap: Option<(i64, i64)>,
    broken: Option<(i64, Reason, u64)>,
}

impl Chain {
    /// Of everything wrong in a chain the lowest number counts.
    fn breaks(&mut self, seq: i64, reason: Reason, at: u64) {
        if self.broken.is_none_or(|(lowest, ..)| seq < lowest) {
            self.broken = Some((seq, reason, at));
        }
    }

    /// Checks that the event is the one below the lowest so far. False: it has no place below, and is not looked at further.
    fn check_order(&mut self, placed: &mut Placed<'_>, hash: &str, at: u64) -> bool {
        if placed.guessed {
            // Its own word for where it belongs is worth nothing; its neighbours' is.
            let Some((lowest, _)) = &self.lowest else {
                self.breaks(placed.seq, Reason::Altered, at);
                self.above_unknown = true;
                return false;
            };
            placed.seq = lowest.saturating_sub(1);
        }
        match &self.lowest {
            Some((lowest, _)) if placed.seq >= *lowest => {
                // What belongs into a gap shows that the event below it came too early. All else is there twice.
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
    fn move_to(&mut self, placed: &Placed<'_>) {
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

// Numbers come from whoever wrote the file, so that one next to them may not exist: hence `saturating_*`.
impl<'a> Checker<'a> {
    /// Begins. Without a hasher, hashes are believed and only the links between them are checked.
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

    /// Looks at the next older event.
    pub fn see(&mut self, stored: &Stored<'_>) {
        self.events += 1;
        match stored.place(self.hasher) {
            Some(placed) => self.see_placed(placed, stored.hash),
            None => self.see_unreadable(),
        }
    }

    /// A line that is no event at all.
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
        self.enter(&placed);
        let Some(chain) = self.chains.get_mut(&*placed.chain) else { return };
        if !chain.check_order(&mut placed, hash, at) {
            return;
        }
        chain.check_hash(&placed, at);
        if placed.sealed == Ok(HashedWith::Nothing) && self.hasher.is_some_and(ChainHasher::has_key) {
            chain.plain = Some((placed.seq, at));
            chain.vouched |= self.known.vouches_for(hash);
            if let Some(by) = self.awaited.get(hash) {
                chain.named_by = Some(by.clone());
            }
        }
        if !self.known.admits(&placed.chain, placed.seq, hash) {
            chain.breaks(placed.seq, Reason::NotAsKnown, at);
        }
        chain.move_to(&placed);
        self.link(placed, hash);
    }

    /// Notes the chain of an event that has a place.
    fn enter(&mut self, placed: &Placed<'_>) {
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

    /// Notes which event of another chain the first event of a chain names, and that this one was found.
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

    /// Everything was shown. `pruned` is what is known now of events that were deleted in the meantime.
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
        self.look_for_plain_chains();
        self.look_for_the_unseen(beginning, pruned);
        Verified { events: self.events, chains: count, first_broken: self.first_broken() }
    }

    /// Where there is a key, a chain without one is from before the key was set: a later chain or an anchor that is sealed
    /// names it, or a chain that is named so. Anything else without a key can be written by anybody.
    fn look_for_plain_chains(&mut self) {
        loop {
            let is_good = |name: &String| self.chains.get(name).is_some_and(|by| by.plain.is_none() || by.vouched);
            let waiting = self.chains.iter().filter(|(_, chain)| chain.plain.is_some() && !chain.vouched);
            let named = waiting.filter(|(_, chain)| chain.named_by.as_ref().is_some_and(is_good));
            let named: Vec<String> = named.map(|(name, _)| name.clone()).collect();
            if named.is_empty() {
                break;
            }
            for name in named {
                self.chains.entry(name).or_default().vouched = true;
            }
        }
        for chain in self.chains.values_mut() {
            if let Some((seq, at)) = chain.plain.filter(|_| chain.keyed || !chain.vouched) {
                chain.breaks(seq, Reason::Altered, at);
            }
        }
        for (name, seq) in self.known.plain_anchors() {
            if let Some(chain) = self.chains.get_mut(name).filter(|chain| chain.keyed) {
                chain.breaks(seq, Reason::BadAnchor, self.events + 1);
            }
        }
    }

    /// Events that are known from elsewhere, and that nobody has shown.
    fn look_for_the_unseen(&mut self, beginning: Beginning, pruned: &BTreeMap<String, Pruned>) {
        let at = self.events + 1;
        for (name, seq, known) in self.known.unseen() {
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
            // Between the two its absence is a gap, and has been seen as one.
        }
        for (name, seq) in self.known.bad_anchors() {
            let chain = self.chains.entry(name.to_owned()).or_default();
            chain.breaks(seq, Reason::BadAnchor, at);
        }
    }

    fn first_broken(&self) -> Option<Broken> {
        // A chain of which nothing holds may be the misspelt name of another one.
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

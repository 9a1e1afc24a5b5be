//! Verifies the hash chains. The checker receives every event once, newest first, and keeps the state of each chain.
//!
//! An event contains the hash of the previous one, which the checker receives next. If the first event of a chain contains the
//! hash of an event of another chain, the checker expects that hash until it receives that event.
//!
//! Checkpoints and anchors contain the hashes of some events, and the checker compares them. A checkpoint is a line on
//! standard output with the last event of a chain. An anchor is a row in the database with an event that the first event of
//! another chain contains, or with the last deleted event of a chain; it is sealed like an event.

use super::chain::NO_PREDECESSOR;
use super::chain_hasher::{ChainHasher, HashError, HashKind};
use super::known_events::{KnownEvents, LastPruned};
use super::stored_event::{CheckedEvent, StoredEvent};
use std::collections::{BTreeMap, HashMap};

closed_enum! {
    /// Why the verification fails at an event.
    pub enum BrokenReason {
        /// The hash does not match the text, or a column differs from the text.
        Altered => "altered",
        /// There is no event with this number.
        Missing => "missing",
        /// The event is not in the order of its chain, or occurs twice.
        OutOfPlace => "out_of_place",
        /// `prevHash` is not the hash of the previous event.
        Unlinked => "unlinked",
        /// The hash differs from that in a checkpoint or anchor.
        NotAsCheckpoint => "not_as_checkpoint",
        /// The seal of an anchor does not verify.
        BadAnchor => "bad_anchor",
        /// The key of the chain is neither the current key nor a retired one.
        UnknownKey => "unknown_key",
    }
}

/// The reported failure. Of each chain, only the failure with the lowest number counts; of these, the one that was found at
/// the oldest event is reported. A failure that is found after the last event, such as a missing newest event, counts as
/// older than all events. Chains with an intact event come before chains without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenEvent {
    /// The chain.
    pub chain: String,
    /// The number in the chain.
    pub seq: i64,
    /// The reason.
    pub reason: BrokenReason,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationResult {
    /// The number of events.
    pub events: u64,
    /// The number of chains.
    pub chains: u64,
    /// The first failure. `None` if the log is intact.
    pub first_broken: Option<BrokenEvent>,
}

/// Where a chain may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainStart {
    /// At its first event, or after an event that is known to be the last deleted one.
    FirstOrPruned,
    /// At any event. For exports without the earlier events.
    Anywhere,
}

/// Verifies events one by one, newest first.
pub struct ChainChecker<'a> {
    hasher: Option<&'a ChainHasher>,
    /// What checkpoints, anchors and records of deletion tell about events.
    known: KnownEvents,
    chains: HashMap<String, ChainState>,
    /// Expected hashes, and the chains whose first events contain them.
    expected_hashes: HashMap<String, Vec<String>>,
    /// The number of events so far. Its value at an event is the index of that event: the older the event, the higher the
    /// index.
    events: u64,
    /// The chain of the previously checked event.
    last_chain: Option<String>,
    /// Whether an event could not be read.
    has_unreadable: bool,
    /// The probable chain and number of the newest event that could not be read.
    unreadable_position: Option<(String, i64)>,
    oldest_time: Option<String>,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about a chain")]
struct ChainState {
    /// The lowest number so far, and the `prevHash` of this event.
    lowest: Option<(i64, String)>,
    highest: i64,
    /// Whether at least one event is intact.
    has_intact: bool,
    /// Whether at least one event was verified under a key.
    has_keyed: bool,
    /// The number and index of the lowest event that is hashed without a key although a key is configured.
    lowest_unkeyed: Option<(i64, u64)>,
    /// Whether an anchor under a key, or the first event of a chain that has a key or is proven, contains the hash of one of the
    /// events without a key.
    is_proven: bool,
    /// The chains whose first events contain the hash of one of the events without a key.
    linked_from: Vec<String>,
    /// Whether the newest events are altered, so that their numbers are not known yet.
    has_altered_above: bool,
    /// The numbers of the events below and above the lowest gap so far. Before a gap is found: the newest event and
    /// `i64::MAX`.
    gap: Option<(i64, i64)>,
    /// The failure with the lowest number: number, reason, and index of the event at which it was found.
    failure: Option<(i64, BrokenReason, u64)>,
}

impl ChainState {
    /// Records a failure, unless the chain has one at a lower number.
    fn fail(&mut self, seq: i64, reason: BrokenReason, index: u64) {
        if self.failure.is_none_or(|(lowest, ..)| seq < lowest) {
            self.failure = Some((seq, reason, index));
        }
    }

    /// Checks that the event is the predecessor of the lowest event so far. Returns false if its place in the chain is wrong,
    /// so that its hash and its links must not be checked.
    fn check_order(&mut self, event: &mut CheckedEvent<'_>, hash: &str, index: u64) -> bool {
        if event.position_from_altered_text {
            // The number in an altered text is not reliable; the neighbours of the event determine it.
            let Some((lowest, _)) = &self.lowest else {
                self.fail(event.seq, BrokenReason::Altered, index);
                self.has_altered_above = true;
                return false;
            };
            event.seq = lowest.saturating_sub(1);
        }
        match &self.lowest {
            Some((lowest, _)) if event.seq >= *lowest => {
                // If the event fills the gap, the event below the gap was received too early and is out of place. Otherwise
                // this event is a duplicate.
                let gap = self.gap.filter(|(below, above)| (below.saturating_add(1)..*above).contains(&event.seq));
                self.fail(gap.map_or(event.seq, |(below, _)| below), BrokenReason::OutOfPlace, index);
                return false;
            }
            Some((lowest, _)) if event.seq < lowest.saturating_sub(1) => {
                self.gap = Some((event.seq, *lowest));
                self.fail(event.seq.saturating_add(1), BrokenReason::Missing, index);
            }
            Some((lowest, prev_hash)) if prev_hash != hash => {
                let lowest = *lowest;
                self.fail(lowest, BrokenReason::Unlinked, index);
            }
            Some(_) => {}
            None => {
                self.highest = event.seq;
                self.gap = Some((event.seq, i64::MAX));
                if std::mem::take(&mut self.has_altered_above) {
                    self.failure = Some((event.seq.saturating_add(1), BrokenReason::Altered, index));
                }
            }
        }
        true
    }

    /// Records the result of the hash check.
    fn check_hash(&mut self, event: &CheckedEvent<'_>, index: u64) {
        match (event.is_intact, event.hash_check) {
            (true, _) => self.has_intact = true,
            (false, Some(Err(HashError::UnknownKey))) => self.fail(event.seq, BrokenReason::UnknownKey, index),
            (false, _) => self.fail(event.seq, BrokenReason::Altered, index),
        }
        self.has_keyed |= event.hash_check == Some(Ok(HashKind::Keyed));
    }

    /// Makes the event the lowest so far.
    fn set_lowest(&mut self, event: &CheckedEvent<'_>) {
        match &mut self.lowest {
            Some((lowest, prev_hash)) => {
                *lowest = event.seq;
                prev_hash.clear();
                prev_hash.push_str(&event.prev_hash);
            }
            none => *none = Some((event.seq, event.prev_hash.clone().into_owned())),
        }
    }
}

// Numbers come from untrusted files, so all arithmetic saturates.
impl<'a> ChainChecker<'a> {
    /// Without a hasher, only the links between the events are checked.
    #[must_use]
    pub fn new(hasher: Option<&'a ChainHasher>, known: KnownEvents) -> Self {
        Self {
            hasher,
            known,
            chains: HashMap::new(),
            expected_hashes: HashMap::new(),
            events: 0,
            last_chain: None,
            has_unreadable: false,
            unreadable_position: None,
            oldest_time: None,
        }
    }

    /// Checks the next older event.
    pub fn check(&mut self, stored: &StoredEvent<'_>) {
        self.events += 1;
        match stored.check(self.hasher) {
            Some(event) => self.check_event(event, stored.hash),
            None => self.add_unreadable(),
        }
    }

    /// Records that the next older event cannot be read.
    pub fn add_unreadable(&mut self) {
        if std::mem::replace(&mut self.has_unreadable, true) {
            return;
        }
        self.unreadable_position = self.last_chain.as_ref().and_then(|chain| {
            let (seq, _) = self.chains.get(chain)?.lowest.as_ref()?;
            Some((chain.clone(), seq.saturating_sub(1)))
        });
    }

    fn check_event(&mut self, mut event: CheckedEvent<'_>, hash: &str) {
        let index = self.events;
        self.record_chain(&event);
        let Some(chain) = self.chains.get_mut(&*event.chain) else { return };
        if !chain.check_order(&mut event, hash, index) {
            return;
        }
        chain.check_hash(&event, index);
        if event.hash_check == Some(Ok(HashKind::Unkeyed)) && self.hasher.is_some_and(ChainHasher::has_key) {
            chain.lowest_unkeyed = Some((event.seq, index));
            chain.is_proven |= self.known.trusts_hash(hash);
            chain.linked_from.extend(self.expected_hashes.get(hash).into_iter().flatten().cloned());
        }
        if !self.known.check_expected(&event.chain, event.seq, hash) {
            chain.fail(event.seq, BrokenReason::NotAsCheckpoint, index);
        }
        chain.set_lowest(&event);
        self.link_chains(event, hash);
    }

    /// Records the chain of the event. If a newer event could not be read and its position is not known yet, assumes that it
    /// is the next event of this chain.
    fn record_chain(&mut self, event: &CheckedEvent<'_>) {
        if self.has_unreadable && self.unreadable_position.is_none() {
            self.unreadable_position = Some((event.chain.clone().into_owned(), event.seq.saturating_add(1)));
        }
        if self.last_chain.as_deref() != Some(&*event.chain) {
            self.last_chain = Some(event.chain.clone().into_owned());
        }
        if !self.chains.contains_key(&*event.chain) {
            self.chains.insert(event.chain.clone().into_owned(), ChainState::default());
        }
    }

    /// Updates the oldest time and the expected hashes: removes the hash of the event, and if the event is the first of its
    /// chain, adds the hash of its predecessor in another chain.
    fn link_chains(&mut self, event: CheckedEvent<'_>, hash: &str) {
        if self.oldest_time.as_deref().is_none_or(|oldest| *event.time < *oldest) {
            self.oldest_time = Some(event.time.into_owned());
        }
        if !self.expected_hashes.is_empty() {
            self.expected_hashes.remove(hash);
        }
        if event.seq == 1 && event.prev_hash != NO_PREDECESSOR {
            self.expected_hashes.entry(event.prev_hash.into_owned()).or_default().push(event.chain.into_owned());
        }
    }

    /// Ends the verification. `pruned_at_end` are the last deleted events now, because retention may have run since the start.
    #[must_use]
    pub fn finish(mut self, start: ChainStart, pruned_at_end: &BTreeMap<String, LastPruned>) -> VerificationResult {
        let index = self.events + 1;
        let count = self.chains.len() as u64;
        for (name, chain) in &mut self.chains {
            let Some((lowest, prev_hash)) = &chain.lowest else { continue };
            let (lowest, before) = (*lowest, lowest.saturating_sub(1));
            let (at_start, at_end) = (self.known.last_pruned(name), pruned_at_end.get(name));
            let is_predecessor = |pruned: &LastPruned| pruned.seq == before && pruned.hash == *prev_hash;
            let was_pruned_meanwhile =
                at_start.is_none_or(|pruned| pruned.seq <= before) && at_end.is_some_and(|pruned| pruned.seq > before);
            if before > 0
                && start == ChainStart::FirstOrPruned
                && !was_pruned_meanwhile
                && ![at_start, at_end].into_iter().flatten().any(is_predecessor)
            {
                match at_end.or(at_start) {
                    Some(pruned) if pruned.seq < before => {
                        chain.fail(pruned.seq.saturating_add(1), BrokenReason::Missing, index);
                    }
                    Some(_) => chain.fail(lowest, BrokenReason::Unlinked, index),
                    None => chain.fail(1, BrokenReason::Missing, index),
                }
            }
        }
        for (hash, names) in std::mem::take(&mut self.expected_hashes) {
            if start == ChainStart::Anywhere || self.known.may_be_deleted(&hash) {
                continue;
            }
            for name in names {
                self.chains.entry(name).or_default().fail(1, BrokenReason::Unlinked, index);
            }
        }
        self.check_chains_without_key();
        self.check_missing(start, pruned_at_end);
        VerificationResult { events: self.events, chains: count, first_broken: self.first_broken() }
    }

    /// If a key is configured, checks the chains without a key. Such a chain is valid if the hash of one of its events is in an
    /// anchor under a key, or in the first event of a chain that has a key or is valid. Any other chain without a key may be
    /// forged.
    fn check_chains_without_key(&mut self) {
        loop {
            let is_valid =
                |name: &String| self.chains.get(name).is_some_and(|by| by.lowest_unkeyed.is_none() || by.is_proven);
            let unproven = self.chains.iter().filter(|(_, chain)| chain.lowest_unkeyed.is_some() && !chain.is_proven);
            let linked = unproven.filter(|(_, chain)| chain.linked_from.iter().any(is_valid));
            let linked: Vec<String> = linked.map(|(name, _)| name.clone()).collect();
            if linked.is_empty() {
                break;
            }
            for name in linked {
                self.chains.entry(name).or_default().is_proven = true;
            }
        }
        for chain in self.chains.values_mut() {
            if let Some((seq, index)) = chain.lowest_unkeyed.filter(|_| chain.has_keyed || !chain.is_proven) {
                chain.fail(seq, BrokenReason::Altered, index);
            }
        }
        for (name, seq) in self.known.unkeyed_anchors() {
            if let Some(chain) = self.chains.get_mut(name).filter(|chain| chain.has_keyed) {
                chain.fail(seq, BrokenReason::BadAnchor, self.events + 1);
            }
        }
    }

    /// Checks that all expected events were checked, except those that are deleted.
    fn check_missing(&mut self, start: ChainStart, pruned_at_end: &BTreeMap<String, LastPruned>) {
        let index = self.events + 1;
        for (name, seq, expected) in self.known.unseen_events() {
            let pruned = [self.known.last_pruned(name), pruned_at_end.get(name)];
            let pruned_seq = pruned.into_iter().flatten().map(|pruned| pruned.seq).max();
            let is_older = start == ChainStart::Anywhere && expected.is_older_than(self.oldest_time.as_deref());
            if pruned_seq.is_some_and(|pruned_seq| pruned_seq >= seq) || is_older {
                continue;
            }
            let chain = self.chains.entry(name.to_owned()).or_default();
            let lowest = chain.lowest.as_ref().map(|(lowest, _)| *lowest);
            if seq > chain.highest {
                let last = chain.highest.max(pruned_seq.unwrap_or_default());
                chain.fail(last.saturating_add(1), BrokenReason::Missing, index);
            } else if lowest.is_some_and(|lowest| seq < lowest) {
                chain.fail(seq, BrokenReason::Missing, index);
            }
            // Between lowest and highest the event is in a gap, which is recorded already.
        }
        for (name, seq) in self.known.bad_anchors() {
            let chain = self.chains.entry(name.to_owned()).or_default();
            chain.fail(seq, BrokenReason::BadAnchor, index);
        }
    }

    fn first_broken(&self) -> Option<BrokenEvent> {
        // Prefers chains with an intact event. A chain without an intact event possibly does not exist: an altered event may
        // contain a wrong name of its chain.
        let oldest_failure = |has_intact: bool| {
            let chains = self.chains.iter().filter(move |(_, chain)| chain.has_intact == has_intact);
            let failures =
                chains.filter_map(|(name, chain)| chain.failure.map(|(seq, reason, index)| (index, name, seq, reason)));
            failures.max_by(|(a, name_a, ..), (b, name_b, ..)| a.cmp(b).then_with(|| name_b.cmp(name_a)))
        };
        if let Some((_, chain, seq, reason)) = oldest_failure(true).or_else(|| oldest_failure(false)) {
            return Some(BrokenEvent { chain: chain.clone(), seq, reason });
        }
        let (chain, seq) = self.unreadable_position.clone().unwrap_or_else(|| (String::new(), 1));
        self.has_unreadable.then_some(BrokenEvent { chain, seq, reason: BrokenReason::Altered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Head;
    use crate::audit::port::Event;
    use crate::metrics::labels::{EventType, Outcome};
    use crate::model::clock::format_time;
    use crate::sealing::keys::RootKey;
    use jiff::Timestamp;

    /// An anchor without a key is bad for a chain whose events were verified under a key.
    #[test]
    fn only_a_hasher_with_the_key_makes_a_chain_keyed() {
        let with_key = ChainHasher::new(Some(&RootKey::new([7; 32].into())), &[]);
        let mut head = Head { chain: "a".into(), seq: 0, hash: NO_PREDECESSOR.into(), time: "".into() };
        let event = Event::new(EventType::TicketIssued, Outcome::Ok);
        let link = with_key.link(&mut head, &event, &format_time(Timestamp::UNIX_EPOCH).into()).expect("JSON");
        let first_broken = |hasher| {
            let mut known = KnownEvents::default();
            known.add_unkeyed_anchor("a", 1);
            let mut checker = ChainChecker::new(hasher, known);
            checker.check(&StoredEvent { text: &link.text, hash: &link.hash, columns: None });
            checker.finish(ChainStart::FirstOrPruned, &BTreeMap::new()).first_broken.map(|broken| broken.reason)
        };
        assert_eq!(first_broken(Some(&with_key)), Some(BrokenReason::BadAnchor));
        assert_eq!(first_broken(None), None, "without a hasher no event is verified under a key");
    }

    /// A replica with a key and one without, which is started at the same time, begin chains with the hash of the same event.
    #[test]
    fn a_chain_is_proven_if_one_of_the_chains_that_contain_its_hash_has_a_key() {
        let (plain, with_key) =
            (ChainHasher::new(None, &[]), ChainHasher::new(Some(&RootKey::new([7; 32].into())), &[]));
        let event = Event::new(EventType::TicketIssued, Outcome::Ok);
        let time = format_time(Timestamp::UNIX_EPOCH).into();
        let link = |hasher: &ChainHasher, chain: String, hash: &str| {
            let mut head = Head { chain: chain.into(), seq: 0, hash: hash.into(), time: "".into() };
            hasher.link(&mut head, &event, &time).expect("JSON")
        };
        let first = link(&plain, "first".into(), NO_PREDECESSOR);
        let unproven = link(&plain, "unproven".into(), &first.hash);
        let keyed = link(&with_key, with_key.chain_name("keyed"), &first.hash);
        for newest_first in [[&keyed, &unproven, &first], [&unproven, &keyed, &first]] {
            let mut checker = ChainChecker::new(Some(&with_key), KnownEvents::default());
            for link in newest_first {
                checker.check(&StoredEvent { text: &link.text, hash: &link.hash, columns: None });
            }
            let broken = checker.finish(ChainStart::FirstOrPruned, &BTreeMap::new()).first_broken.expect("broken");
            assert_eq!((broken.chain.as_str(), broken.reason), ("unproven", BrokenReason::Altered));
        }
    }

    #[test]
    fn an_event_with_a_number_below_one_is_reported() {
        let hasher = ChainHasher::new(None, &[]);
        let mut head = Head { chain: "a".into(), seq: -1, hash: NO_PREDECESSOR.into(), time: "".into() };
        let event = Event::new(EventType::TicketIssued, Outcome::Ok);
        let links = [(); 3].map(|()| hasher.link(&mut head, &event, &format_time(Timestamp::UNIX_EPOCH).into()));
        let mut checker = ChainChecker::new(Some(&hasher), KnownEvents::default());
        for link in links.iter().rev().map(|link| link.as_ref().expect("JSON")) {
            checker.check(&StoredEvent { text: &link.text, hash: &link.hash, columns: None });
        }
        let broken = checker.finish(ChainStart::FirstOrPruned, &BTreeMap::new()).first_broken.expect("broken");
        assert_eq!((broken.seq, broken.reason), (0, BrokenReason::Altered));
    }
}

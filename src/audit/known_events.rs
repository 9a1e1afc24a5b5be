//! Events of a log whose hashes are known from other sources: checkpoints, anchors, and records of deletion.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The `type` of a checkpoint line on standard output.
pub const CHECKPOINT_TYPE: &str = "audit.checkpoint";
/// The `type` of a line about the last deleted event of a chain.
pub const PRUNED_TYPE: &str = "audit.pruned";

/// The last deleted event of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastPruned {
    /// The number in the chain.
    pub seq: i64,
    /// The hash.
    pub hash: String,
}

/// An event that must exist with this hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedEvent {
    hash: String,
    time: Option<String>,
}

impl ExpectedEvent {
    /// Whether the event is older than this time. False if either time is unknown.
    pub fn is_older_than(&self, time: Option<&str>) -> bool {
        matches!((&self.time, time), (Some(own), Some(time)) if **own < *time)
    }
}

/// The known events of a log.
#[derive(Debug, Clone, Default)]
pub struct KnownEvents {
    /// The events that must exist, by chain and number.
    expected: HashMap<String, BTreeMap<i64, ExpectedEvent>>,
    /// The last deleted events, by chain.
    last_pruned: BTreeMap<String, LastPruned>,
    /// Hashes of anchored and deleted events. The events may be missing although the first event of a chain contains their
    /// hash.
    anchored_hashes: BTreeSet<String>,
    /// Hashes in checkpoints and in anchors under a key.
    trusted_hashes: BTreeSet<String>,
    bad_anchors: Vec<(String, i64)>,
    /// Anchors that are hashed without a key although a key is configured.
    unkeyed_anchors: Vec<(String, i64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StdoutLine {
    #[serde(rename = "type")]
    kind: String,
    chain: String,
    seq: i64,
    hash: String,
    time: Option<String>,
    /// Only events have this member.
    prev_hash: Option<String>,
}

impl KnownEvents {
    /// Adds an event that must exist with this hash, unless it is deleted.
    pub fn expect_event(&mut self, chain: &str, seq: i64, hash: &str, time: Option<String>) {
        let event = ExpectedEvent { hash: hash.to_owned(), time };
        self.expected.entry(chain.to_owned()).or_default().insert(seq, event);
    }

    /// Adds an event whose hash is in the first event of another chain: it must exist, unless it is deleted.
    pub fn expect_anchored_event(&mut self, chain: &str, seq: i64, hash: &str) {
        self.anchored_hashes.insert(hash.to_owned());
        self.expect_event(chain, seq, hash, None);
    }

    /// Records that a chain is deleted up to this event. Of several such events of a chain, the one with the highest number is
    /// kept.
    pub fn add_pruned(&mut self, chain: &str, seq: i64, hash: &str) {
        self.anchored_hashes.insert(hash.to_owned());
        let pruned = LastPruned { seq, hash: hash.to_owned() };
        match self.last_pruned.get_mut(chain) {
            Some(known) if known.seq >= seq => {}
            Some(known) => *known = pruned,
            None => drop(self.last_pruned.insert(chain.to_owned(), pruned)),
        }
    }

    /// Records that a checkpoint, or an anchor under a key, contains this hash.
    pub fn trust_hash(&mut self, hash: &str) {
        self.trusted_hashes.insert(hash.to_owned());
    }

    /// Adds an anchor that is hashed without a key although a key is configured. It is valid only for a chain without a key.
    pub fn add_unkeyed_anchor(&mut self, chain: &str, seq: i64) {
        self.unkeyed_anchors.push((chain.to_owned(), seq));
    }

    /// Adds an anchor whose seal does not verify.
    pub fn add_bad_anchor(&mut self, chain: &str, seq: i64) {
        self.bad_anchors.push((chain.to_owned(), seq));
    }

    /// Adds a line of standard output: a checkpoint, a record of deletion, or an event, which serves as a checkpoint. False for
    /// any other line.
    pub fn add_line(&mut self, line: &str) -> bool {
        let Ok(line) = serde_json::from_str::<StdoutLine>(line) else { return false };
        self.trust_hash(&line.hash);
        match line.kind.as_str() {
            PRUNED_TYPE if line.prev_hash.is_none() => self.add_pruned(&line.chain, line.seq, &line.hash),
            _ => self.expect_event(&line.chain, line.seq, &line.hash, line.time),
        }
        true
    }

    /// Checks an event against the expected hash, and removes it from the expected events. True if no hash was expected.
    pub(super) fn check_expected(&mut self, chain: &str, seq: i64, hash: &str) -> bool {
        if self.expected.is_empty() {
            return true;
        }
        let event = self.expected.get_mut(chain).and_then(|events| events.remove(&seq));
        event.is_none_or(|event| event.hash == hash)
    }

    pub(super) fn last_pruned(&self, chain: &str) -> Option<&LastPruned> {
        self.last_pruned.get(chain)
    }

    /// The last deleted events, by chain.
    #[must_use]
    pub fn into_last_pruned(self) -> BTreeMap<String, LastPruned> {
        self.last_pruned
    }

    /// Whether the event with this hash may be deleted although the first event of a chain contains it.
    pub(super) fn may_be_deleted(&self, hash: &str) -> bool {
        self.anchored_hashes.contains(hash)
    }

    pub(super) fn trusts_hash(&self, hash: &str) -> bool {
        self.trusted_hashes.contains(hash)
    }

    pub(super) fn unkeyed_anchors(&self) -> impl Iterator<Item = (&str, i64)> {
        self.unkeyed_anchors.iter().map(|(chain, seq)| (chain.as_str(), *seq))
    }

    /// The expected events that [`Self::check_expected`] has not removed, with chain and number.
    pub(super) fn unseen_events(&self) -> impl Iterator<Item = (&str, i64, &ExpectedEvent)> {
        let chains = self.expected.iter();
        chains.flat_map(|(chain, events)| events.iter().map(move |(seq, event)| (chain.as_str(), *seq, event)))
    }

    pub(super) fn bad_anchors(&self) -> impl Iterator<Item = (&str, i64)> {
        self.bad_anchors.iter().map(|(chain, seq)| (chain.as_str(), *seq))
    }
}

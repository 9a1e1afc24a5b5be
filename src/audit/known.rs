//! Knowledge about the log from outside its events: checkpoints, anchors, and what retention has deleted.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The type of a checkpoint line.
pub const CHECKPOINT: &str = "audit.checkpoint";
/// The type of a line about deleted events.
pub const PRUNED: &str = "audit.pruned";

/// The last deleted event of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The number.
    pub seq: i64,
    /// The hash.
    pub hash: String,
}

/// An event whose hash is known from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedEvent {
    hash: String,
    time: Option<String>,
}

impl ExpectedEvent {
    /// Whether it is older than all remaining events.
    pub fn is_older_than(&self, oldest: Option<&str>) -> bool {
        matches!((&self.time, oldest), (Some(time), Some(oldest)) if **time < *oldest)
    }
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    marks: HashMap<String, BTreeMap<i64, ExpectedEvent>>,
    pruned: BTreeMap<String, Pruned>,
    /// Hashes of events that may be gone although the first event of a chain names them.
    named: BTreeSet<String>,
    /// The subset that was named by a chain or anchor under a key.
    trusted: BTreeSet<String>,
    bad_anchors: Vec<(String, i64)>,
    /// Anchors without a key, although a key is configured.
    plain_anchors: Vec<(String, i64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    chain: String,
    seq: i64,
    hash: String,
    time: Option<String>,
    /// Only events have this field.
    prev_hash: Option<String>,
}

impl Known {
    /// An event that must exist with this hash, unless it was pruned.
    pub fn mark(&mut self, chain: &str, seq: i64, hash: &str, time: Option<String>) {
        let mark = ExpectedEvent { hash: hash.to_owned(), time };
        self.marks.entry(chain.to_owned()).or_default().insert(seq, mark);
    }

    /// An event that the first event of a chain names: it must exist, unless it was pruned.
    pub fn name(&mut self, chain: &str, seq: i64, hash: &str) {
        self.named.insert(hash.to_owned());
        self.mark(chain, seq, hash, None);
    }

    /// A chain was deleted up to this event. Of several entries for a chain the last one counts.
    pub fn prune(&mut self, chain: &str, seq: i64, hash: &str) {
        self.named.insert(hash.to_owned());
        keep_last(&mut self.pruned, chain, Pruned { seq, hash: hash.to_owned() });
    }

    /// A holder of the key has named the event with this hash.
    pub fn trust_hash(&mut self, hash: &str) {
        self.trusted.insert(hash.to_owned());
    }

    /// An anchor without a key, although a key is configured: only valid for a chain without a key.
    pub fn plain_anchor(&mut self, chain: &str, seq: i64) {
        self.plain_anchors.push((chain.to_owned(), seq));
    }

    /// An anchor with an invalid seal.
    pub fn bad_anchor(&mut self, chain: &str, seq: i64) {
        self.bad_anchors.push((chain.to_owned(), seq));
    }

    /// Reads a line of standard output: a checkpoint, a record of deleted events, or an event, which serves as a
    /// checkpoint. Returns whether the line was one of these.
    pub fn read_line(&mut self, line: &str) -> bool {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return false };
        self.trust_hash(&line.hash);
        match line.kind.as_str() {
            PRUNED if line.prev_hash.is_none() => self.prune(&line.chain, line.seq, &line.hash),
            _ => self.mark(&line.chain, line.seq, &line.hash, line.time),
        }
        true
    }

    /// Whether an event may have this hash. Records that it was seen.
    pub(super) fn admits(&mut self, chain: &str, seq: i64, hash: &str) -> bool {
        if self.marks.is_empty() {
            return true;
        }
        let mark = self.marks.get_mut(chain).and_then(|marks| marks.remove(&seq));
        mark.is_none_or(|mark| mark.hash == hash)
    }

    pub(super) fn pruned(&self, chain: &str) -> Option<&Pruned> {
        self.pruned.get(chain)
    }

    /// The ends of the deleted parts, by chain.
    #[must_use]
    pub fn into_pruned(self) -> BTreeMap<String, Pruned> {
        self.pruned
    }

    pub(super) fn names(&self, hash: &str) -> bool {
        self.named.contains(hash)
    }

    pub(super) fn trusts_hash(&self, hash: &str) -> bool {
        self.trusted.contains(hash)
    }

    pub(super) fn plain_anchors(&self) -> impl Iterator<Item = (&str, i64)> {
        self.plain_anchors.iter().map(|(chain, seq)| (chain.as_str(), *seq))
    }

    pub(super) fn missing(&self) -> impl Iterator<Item = (&str, i64, &ExpectedEvent)> {
        let all = self.marks.iter();
        all.flat_map(|(chain, marks)| marks.iter().map(move |(seq, mark)| (chain.as_str(), *seq, mark)))
    }

    pub(super) fn bad_anchors(&self) -> impl Iterator<Item = (&str, i64)> {
        self.bad_anchors.iter().map(|(chain, seq)| (chain.as_str(), *seq))
    }
}

fn keep_last(pruned: &mut BTreeMap<String, Pruned>, chain: &str, new: Pruned) {
    match pruned.get_mut(chain) {
        Some(known) if known.seq >= new.seq => {}
        Some(known) => *known = new,
        None => drop(pruned.insert(chain.to_owned(), new)),
    }
}

//! An event as it is stored or exported, and the check of its hash and columns against its text.

use super::chain_hasher::{ChainHasher, HashError, HashKind};
use serde::Deserialize;
use std::borrow::Cow;

/// A stored event: the hashed text, the hash, and in a database the columns that repeat parts of the text.
#[derive(Debug, Clone, Copy)]
pub struct StoredEvent<'a> {
    /// The hashed text.
    pub text: &'a str,
    /// The hash.
    pub hash: &'a str,
    /// The columns. `None` in an export.
    pub columns: Option<EventColumns<'a>>,
}

/// The columns of the table `audit_events` that repeat parts of the text.
#[derive(Debug, Clone, Copy)]
pub struct EventColumns<'a> {
    /// `chain`.
    pub chain: &'a str,
    /// `seq`.
    pub seq: i64,
    /// `prev_hash`.
    pub prev_hash: &'a str,
    /// `time`.
    pub time: &'a str,
    /// `type`.
    pub kind: &'a str,
    /// `outcome`.
    pub outcome: &'a str,
    /// `subject`.
    pub subject: Option<&'a str>,
    /// `repo`.
    pub repo: Option<&'a str>,
    /// `branch`.
    pub branch: Option<&'a str>,
    /// `ticket_id`.
    pub ticket_id: Option<&'a str>,
}

/// The position of an event in its chain, and the results of the check.
#[derive(Debug)]
pub struct CheckedEvent<'a> {
    /// The chain.
    pub chain: Cow<'a, str>,
    /// The number in the chain.
    pub seq: i64,
    /// The hash of the previous event.
    pub prev_hash: Cow<'a, str>,
    /// The time of writing.
    pub time: Cow<'a, str>,
    /// Whether the hash check succeeded (or there was none), and the ID and the columns are equal to the members of the text.
    pub is_intact: bool,
    /// The result of the hash check. `None` if there was no hasher, so nothing was checked.
    pub hash_check: Option<Result<HashKind, HashError>>,
    /// Whether chain and number are from a text whose hash does not match. Only without columns, which are used otherwise.
    pub position_from_altered_text: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventFields<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    chain: Cow<'a, str>,
    seq: i64,
    #[serde(borrow)]
    prev_hash: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    caller: Option<EventCaller<'a>>,
    repo: Option<String>,
    branch: Option<String>,
    ticket_id: Option<String>,
}

#[derive(Deserialize)]
struct EventCaller<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
}

impl<'a> StoredEvent<'a> {
    /// Splits a line of an export into the hashed text (the object without its last member) and the hash (that member). `None`
    /// if the last member is not a hash.
    #[must_use]
    pub fn split_export_line(line: &'a str) -> Option<(String, &'a str)> {
        const HASH_MEMBER_START: &str = ",\"hash\":\"";
        let (text, rest) = line.rsplit_once(HASH_MEMBER_START)?;
        Some((format!("{text}}}"), rest.strip_suffix("\"}")?))
    }

    /// Reads chain and number, and checks the columns and, with a hasher, the hash. `None` if the text cannot be parsed and
    /// there are no columns.
    #[must_use]
    pub fn check(&self, hasher: Option<&ChainHasher>) -> Option<CheckedEvent<'a>> {
        let fields = serde_json::from_str::<EventFields>(self.text).ok();
        let chain = fields.as_ref().map(|fields| &*fields.chain).or(self.columns.map(|columns| columns.chain));
        let hash_check = hasher.map(|hasher| match chain {
            Some(chain) => hasher.verify_hash(chain, self.text, self.hash),
            None => Err(HashError::Altered),
        });
        let hash_failed = matches!(hash_check, Some(Err(_)));
        match (fields, self.columns) {
            (Some(fields), columns) if !hash_failed || columns.is_none() => Some(CheckedEvent {
                is_intact: !hash_failed && fields.matches(columns),
                // Not for an unknown key, because then the text may be unaltered.
                position_from_altered_text: hash_check == Some(Err(HashError::Altered)),
                hash_check,
                chain: fields.chain,
                seq: fields.seq,
                prev_hash: fields.prev_hash,
                time: fields.time,
            }),
            (_, Some(columns)) => Some(CheckedEvent {
                is_intact: false,
                position_from_altered_text: false,
                hash_check,
                chain: columns.chain.into(),
                seq: columns.seq,
                prev_hash: columns.prev_hash.into(),
                time: columns.time.into(),
            }),
            (_, None) => None,
        }
    }
}

impl EventFields<'_> {
    fn matches(&self, columns: Option<EventColumns<'_>>) -> bool {
        let id_is_chain_and_seq =
            self.id.strip_prefix(&*self.chain).and_then(|rest| rest.strip_prefix('.')?.parse().ok()) == Some(self.seq);
        // Claviger numbers events from 1, so an event with a lower number is forged.
        id_is_chain_and_seq
            && self.seq >= 1
            && columns.is_none_or(|columns| {
                columns.chain == self.chain
                    && columns.seq == self.seq
                    && columns.prev_hash == self.prev_hash
                    && columns.time == self.time
                    && columns.kind == self.kind
                    && columns.outcome == self.outcome
                    && column_matches(columns.subject, self.caller.as_ref().map(|caller| &*caller.subject))
                    && column_matches(columns.repo, self.repo.as_deref())
                    && column_matches(columns.branch, self.branch.as_deref())
                    && column_matches(columns.ticket_id, self.ticket_id.as_deref())
            })
    }
}

/// Whether a column repeats a member of the text. Columns have U+FFFD in place of NUL.
fn column_matches(column: Option<&str>, member: Option<&str>) -> bool {
    match (column, member) {
        (Some(column), Some(member)) => {
            column == member || (member.contains('\0') && column == member.replace('\0', "\u{FFFD}"))
        }
        (column, member) => column == member,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_hasher_the_hash_is_not_checked() {
        let zeros = "0".repeat(64);
        let text =
            format!(r#"{{"id":"a.1","time":"","chain":"a","seq":1,"prevHash":"{zeros}","type":"","outcome":""}}"#);
        let hasher = ChainHasher::new(None, &[]);
        let hash = hasher.hash(&text);
        let check = |hash, hasher| {
            let event = StoredEvent { text: &text, hash, columns: None }.check(hasher).expect("an event");
            (event.hash_check, event.is_intact)
        };
        assert_eq!(check(&hash, Some(&hasher)), (Some(Ok(HashKind::Unkeyed)), true));
        assert_eq!(check(&zeros, Some(&hasher)), (Some(Err(HashError::Altered)), false));
        for hash in [&hash, &zeros] {
            assert_eq!(check(hash, None), (None, true));
        }
    }
}

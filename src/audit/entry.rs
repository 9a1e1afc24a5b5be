//! An event as it is stored or exported, and whether its hash and columns agree with its text.

use super::keys::{ChainHasher, HashedWith, NotVerified};
use serde::Deserialize;
use std::borrow::Cow;

/// A stored event: the hashed text, the hash, and, in a database, the columns that repeat parts of the text.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The hashed text.
    pub text: &'a str,
    /// The hash.
    pub hash: &'a str,
    /// The columns. `None` in an export.
    pub columns: Option<Columns<'a>>,
}

/// The columns of a row.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
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

/// An event's place in its chain.
#[derive(Debug)]
pub struct Placed<'a> {
    /// The chain.
    pub chain: Cow<'a, str>,
    /// The number in the chain.
    pub seq: i64,
    /// The hash of the previous event.
    pub prev_hash: Cow<'a, str>,
    /// The time of writing.
    pub time: Cow<'a, str>,
    /// Whether the hash is that of the text, and the id and columns agree with the text.
    pub intact: bool,
    /// Whether the hash matches the text, and with which kind of key.
    pub sealed: Result<HashedWith, NotVerified>,
    /// Whether the position is known only from an altered text.
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

impl<'a> Stored<'a> {
    /// The event in a line of an export: the hashed text is everything but the last member, which is the hash.
    #[must_use]
    pub fn of_line(line: &'a str) -> Option<(String, &'a str)> {
        const BEFORE: &str = ",\"hash\":\"";
        let (text, rest) = line.rsplit_once(BEFORE)?;
        Some((format!("{text}}}"), rest.strip_suffix("\"}")?))
    }

    /// The place of the event, and whether it is intact. `None` if the text has no place. Without a hasher the hash is not checked.
    #[must_use]
    pub fn place(&self, hasher: Option<&ChainHasher>) -> Option<Placed<'a>> {
        let fields = serde_json::from_str::<EventFields>(self.text).ok();
        let chain = fields.as_ref().map(|fields| &*fields.chain).or(self.columns.map(|columns| columns.chain));
        let sealed = match (hasher, chain) {
            (Some(hasher), Some(chain)) => hasher.check(chain, self.text, self.hash),
            (Some(_), None) => Err(NotVerified::Altered),
            (None, _) => Ok(HashedWith::Key),
        };
        match (fields, self.columns) {
            (Some(fields), columns) if sealed.is_ok() || columns.is_none() => Some(Placed {
                intact: sealed.is_ok() && fields.agree(columns),
                // A text under an unknown key may be unaltered.
                position_from_altered_text: sealed == Err(NotVerified::Altered),
                sealed,
                chain: fields.chain,
                seq: fields.seq,
                prev_hash: fields.prev_hash,
                time: fields.time,
            }),
            (_, Some(columns)) => Some(Placed {
                intact: false,
                position_from_altered_text: false,
                sealed,
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
    fn agree(&self, columns: Option<Columns<'_>>) -> bool {
        let id_is_right =
            self.id.strip_prefix(&*self.chain).and_then(|rest| rest.strip_prefix('.')?.parse().ok()) == Some(self.seq);
        id_is_right
            && columns.is_none_or(|columns| {
                columns.chain == self.chain
                    && columns.seq == self.seq
                    && columns.prev_hash == self.prev_hash
                    && columns.time == self.time
                    && columns.kind == self.kind
                    && columns.outcome == self.outcome
                    && same(columns.subject, self.caller.as_ref().map(|caller| &*caller.subject))
                    && same(columns.repo, self.repo.as_deref())
                    && same(columns.branch, self.branch.as_deref())
                    && same(columns.ticket_id, self.ticket_id.as_deref())
            })
    }
}

/// Columns have U+FFFD in place of NUL.
fn same(column: Option<&str>, member: Option<&str>) -> bool {
    match (column, member) {
        (Some(column), Some(member)) => {
            column == member || (member.contains('\0') && column == member.replace('\0', "\u{FFFD}"))
        }
        (column, member) => column == member,
    }
}

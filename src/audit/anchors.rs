//! Anchors: places of events in a table of their own, so that chains can be verified whose beginning was deleted.

use super::keys::{ChainHasher, HashedWith, NotVerified, named_key};
use super::known::Known;
use crate::database::{Database, Failed, Query, Work};
use crate::wire::inert_json;
use serde::Serialize;

/// The kind of an anchor for an event that the first event of a chain names.
const NAMED: &str = "named";
/// The kind of an anchor for the last deleted event of a chain.
const PRUNED: &str = "pruned";

const INSERT: &str =
    "INSERT INTO audit_anchors (chain, seq, hash, kind, seal) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// All chains, by skipping through the index of (chain, seq). The cost does not depend on the number of events.
const CHAINS: &str = "WITH RECURSIVE chains (name) AS ( \
         SELECT min(chain) FROM audit_events \
         UNION ALL SELECT (SELECT min(chain) FROM audit_events WHERE chain > chains.name) FROM chains \
         WHERE chains.name IS NOT NULL \
     ) SELECT name FROM chains WHERE name IS NOT NULL";

#[derive(Serialize)]
struct Anchor<'a> {
    #[serde(rename = "anchor")]
    kind: &'a str,
    chain: &'a str,
    seq: i64,
    hash: &'a str,
}

impl Anchor<'_> {
    fn seal(&self, hasher: &ChainHasher) -> String {
        hasher.hash_anchor(&self.text())
    }

    /// What the seal was computed with. An anchor may be sealed under a later key than its chain.
    fn check(&self, hasher: &ChainHasher, seal: &str) -> Result<HashedWith, NotVerified> {
        hasher.check("", &self.text(), seal)
    }

    fn text(&self) -> String {
        // Serializing texts and a number cannot fail.
        inert_json::to_string(self).unwrap_or_default()
    }
}

/// Returns the hash that the next chain names as its predecessor, and stores an anchor for that event.
///
/// A seal under a key proves that a broker wrote the event. Events without a key are anchored once, when the first key is set.
/// Later ones may be forged, so the predecessor is then the last event that is sealed under a key.
pub async fn name_last(database: &Database, hasher: &ChainHasher) -> Result<Option<String>, Failed> {
    const LAST: &str = "SELECT chain, seq, hash FROM audit_events ORDER BY rowid DESC LIMIT 1";
    let is_keyed = hasher.has_key() && is_keyed(database, hasher).await?;
    let last = if is_keyed {
        last_under_key(database, hasher).await?
    } else if let Some(last) = database.run(LAST, &[]).await?.first() {
        Some((last.text(0)?, last.number(1)?, last.text(2)?))
    } else {
        None
    };
    let Some((chain, seq, hash)) = last else { return Ok(None) };
    // In one transaction, because the next start finds that a key was set.
    let mut work = database.begin().await?;
    name(&mut work, hasher, &chain, seq, &hash).await?;
    if hasher.has_key() && !is_keyed {
        name_chains_without_key(&mut work, hasher).await?;
    }
    work.commit().await?;
    Ok(Some(hash))
}

/// Whether a key was set before: a chain names one, or an anchor is sealed under one.
async fn is_keyed(database: &Database, hasher: &ChainHasher) -> Result<bool, Failed> {
    for row in database.run(CHAINS, &[]).await? {
        if named_key(row.str(0)?).is_some() {
            return Ok(true);
        }
    }
    for row in database.run("SELECT chain, seq, hash, kind, seal FROM audit_anchors", &[]).await? {
        let anchor = Anchor { chain: row.str(0)?, seq: row.number(1)?, hash: row.str(2)?, kind: row.str(3)? };
        if named_key(anchor.chain).is_some() || anchor.check(hasher, row.str(4)?) != Ok(HashedWith::Nothing) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last event that verifies under a key. If there is none, the last event of a chain whose key is not configured: such an
/// event cannot be verified without that key.
async fn last_under_key(database: &Database, hasher: &ChainHasher) -> Result<Option<(String, i64, String)>, Failed> {
    const BELOW: &str =
        "SELECT rowid, chain, seq, hash, event FROM audit_events WHERE rowid < $1 ORDER BY rowid DESC LIMIT 100";
    let (mut below, mut unknown) = (i64::MAX, None);
    loop {
        let rows = database.run(BELOW, &[below.into()]).await?;
        for row in &rows {
            below = row.number(0)?;
            let (chain, hash) = (row.str(1)?, row.str(3)?);
            let sealed = hasher.check(chain, row.str(4)?, hash);
            let place = || Ok((chain.to_owned(), row.number(2)?, hash.to_owned()));
            match sealed {
                Ok(HashedWith::Key) => return place().map(Some),
                Err(NotVerified::UnknownKey) if unknown.is_none() => unknown = Some(place()?),
                _ => {}
            }
        }
        if rows.is_empty() {
            return Ok(unknown);
        }
    }
}

async fn name(work: &mut Work, hasher: &ChainHasher, chain: &str, seq: i64, hash: &str) -> Result<(), Failed> {
    let seal = Anchor { kind: NAMED, chain, seq, hash }.seal(hasher);
    work.run(INSERT, &[chain.into(), seq.into(), hash.into(), NAMED.into(), (&seal).into()]).await.map(|_| ())
}

/// Anchors the heads of all chains without a key when the first chain with a key begins. Of concurrent replicas only the last
/// writer is named by the next chain.
async fn name_chains_without_key(work: &mut Work, hasher: &ChainHasher) -> Result<(), Failed> {
    const HEAD: &str = "SELECT seq, hash FROM audit_events WHERE chain = $1 ORDER BY seq DESC LIMIT 1";
    for row in work.run(CHAINS, &[]).await? {
        let chain = row.text(0)?;
        if named_key(&chain).is_none()
            && let Some(head) = work.run(HEAD, &[(&chain).into()]).await?.first()
        {
            name(work, hasher, &chain, head.number(0)?, head.str(1)?).await?;
        }
    }
    Ok(())
}

/// Stores the end of the deleted part of a chain, in the transaction that deletes it.
pub async fn prune(work: &mut Work, hasher: &ChainHasher, chain: &str, seq: i64, hash: &str) -> Result<(), Failed> {
    const FORGET: &str = "DELETE FROM audit_anchors WHERE chain = $1 AND kind = $2 AND seq < $3";
    let seal = Anchor { kind: PRUNED, chain, seq, hash }.seal(hasher);
    work.run(INSERT, &[chain.into(), seq.into(), hash.into(), PRUNED.into(), (&seal).into()]).await?;
    work.run(FORGET, &[chain.into(), PRUNED.into(), seq.into()]).await.map(|_| ())
}

/// The number and hash of the last deleted event of a chain.
pub async fn pruned(work: &mut Work, chain: &str) -> Result<Option<(i64, String)>, Failed> {
    const LAST: &str = "SELECT seq, hash FROM audit_anchors WHERE chain = $1 AND kind = $2 ORDER BY seq DESC LIMIT 1";
    let last = work.run(LAST, &[chain.into(), PRUNED.into()]).await?;
    last.first().map(|row| Ok((row.number(0)?, row.text(1)?))).transpose()
}

/// All anchors.
pub async fn known(database: &Database, hasher: &ChainHasher) -> Result<Known, Failed> {
    let all = database.read(&Query::new("SELECT chain, seq, hash, kind, seal FROM audit_anchors")).await?;
    let mut known = Known::default();
    for row in all {
        let (chain, seq, hash, kind) = (row.text(0)?, row.number(1)?, row.text(2)?, row.text(3)?);
        let anchor = Anchor { kind: &kind, chain: &chain, seq, hash: &hash };
        let sealed = anchor.check(hasher, row.str(4)?);
        match sealed {
            Err(_) => {
                known.bad_anchor(&chain, seq);
                continue;
            }
            Ok(HashedWith::Nothing) if hasher.has_key() => {
                if named_key(&chain).is_some() {
                    // A replica without a key may have named the event. It must not claim that events were deleted.
                    if kind == PRUNED {
                        known.bad_anchor(&chain, seq);
                    }
                    continue;
                }
                known.plain_anchor(&chain, seq);
            }
            Ok(_) => known.trust_hash(&hash),
        }
        if kind == PRUNED {
            known.prune(&chain, seq, &hash);
        } else {
            known.name(&chain, seq, &hash);
        }
    }
    Ok(known)
}

//! Anchors: the numbers and hashes of some events, in the table `audit_anchors`. With an anchor, a chain can be verified after
//! its beginning was deleted.

use super::chain_hasher::{ChainHasher, HashError, HashKind, key_digest_in};
use super::known_events::KnownEvents;
use crate::database::{Database, DatabaseError, Query, UnitOfWork};
use crate::wire::shell_safe_json;
use serde::Serialize;

/// The kind of an anchor for an event whose hash is in the first event of another chain.
const NAMED: &str = "named";
/// The kind of an anchor for the last deleted event of a chain.
const PRUNED: &str = "pruned";

const INSERT: &str =
    "INSERT INTO audit_anchors (chain, seq, hash, kind, seal) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// All chains, by a loose scan of the index on (chain, seq): the cost does not depend on the number of events.
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

    /// Verifies the seal under every key, because an anchor may be sealed under a later key than its chain.
    fn verify_seal(&self, hasher: &ChainHasher, seal: &str) -> Result<HashKind, HashError> {
        hasher.verify_hash("", &self.text(), seal)
    }

    fn text(&self) -> String {
        // Serializing texts and a number cannot fail.
        shell_safe_json::to_string(self).unwrap_or_default()
    }
}

/// Returns the hash of the event that precedes a new chain, and stores an anchor for it. `None` if there is none.
///
/// A hash under a key proves that Claviger wrote the event. Events without a key are anchored once, when the first key is set.
/// Events that are written without a key later may be forged, so the predecessor is then the last event hashed under a key.
pub async fn anchor_predecessor(database: &Database, hasher: &ChainHasher) -> Result<Option<String>, DatabaseError> {
    const LAST: &str = "SELECT chain, seq, hash FROM audit_events ORDER BY rowid DESC LIMIT 1";
    let had_key = hasher.has_key() && had_key(database, hasher).await?;
    let last = if had_key {
        last_keyed_event(database, hasher).await?
    } else if let Some(last) = database.run(LAST, &[]).await?.first() {
        Some((last.text(0)?, last.number(1)?, last.text(2)?))
    } else {
        None
    };
    let Some((chain, seq, hash)) = last else { return Ok(None) };
    // In one transaction: once the first anchor is committed, `had_key` is true and the other chains would not be anchored.
    let mut work = database.begin().await?;
    insert(&mut work, hasher, Anchor { kind: NAMED, chain: &chain, seq, hash: &hash }).await?;
    if hasher.has_key() && !had_key {
        anchor_chains_without_key(&mut work, hasher).await?;
    }
    work.commit().await?;
    Ok(Some(hash))
}

/// Whether a key was set before: the name of a chain contains the digest of one, or an anchor is sealed under one.
async fn had_key(database: &Database, hasher: &ChainHasher) -> Result<bool, DatabaseError> {
    for row in database.run(CHAINS, &[]).await? {
        if key_digest_in(row.str(0)?).is_some() {
            return Ok(true);
        }
    }
    for row in database.run("SELECT chain, seq, hash, kind, seal FROM audit_anchors", &[]).await? {
        let anchor = Anchor { chain: row.str(0)?, seq: row.number(1)?, hash: row.str(2)?, kind: row.str(3)? };
        if key_digest_in(anchor.chain).is_some() || anchor.verify_seal(hasher, row.str(4)?) != Ok(HashKind::Unkeyed) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns chain, number and hash of the last event that verifies under a key. If there is no such event, returns the last one
/// of a chain whose key is not configured, because that chain cannot be verified.
async fn last_keyed_event(
    database: &Database,
    hasher: &ChainHasher,
) -> Result<Option<(String, i64, String)>, DatabaseError> {
    const BELOW: &str =
        "SELECT rowid, chain, seq, hash, event FROM audit_events WHERE rowid < $1 ORDER BY rowid DESC LIMIT 100";
    let (mut below, mut last_with_unknown_key) = (i64::MAX, None);
    loop {
        let rows = database.run(BELOW, &[below.into()]).await?;
        for row in &rows {
            below = row.number(0)?;
            let (chain, hash) = (row.str(1)?, row.str(3)?);
            let event = || Ok((chain.to_owned(), row.number(2)?, hash.to_owned()));
            match hasher.verify_hash(chain, row.str(4)?, hash) {
                Ok(HashKind::Keyed) => return event().map(Some),
                Err(HashError::UnknownKey) if last_with_unknown_key.is_none() => last_with_unknown_key = Some(event()?),
                _ => {}
            }
        }
        if rows.is_empty() {
            return Ok(last_with_unknown_key);
        }
    }
}

async fn insert(work: &mut UnitOfWork, hasher: &ChainHasher, anchor: Anchor<'_>) -> Result<(), DatabaseError> {
    let seal = anchor.seal(hasher);
    let Anchor { kind, chain, seq, hash } = anchor;
    work.run(INSERT, &[chain.into(), seq.into(), hash.into(), kind.into(), (&seal).into()]).await.map(|_| ())
}

/// Anchors the heads of all chains without a key when the first chain with a key begins: of the chains of concurrent replicas,
/// the new chain contains the hash of only one.
async fn anchor_chains_without_key(work: &mut UnitOfWork, hasher: &ChainHasher) -> Result<(), DatabaseError> {
    const HEAD: &str = "SELECT seq, hash FROM audit_events WHERE chain = $1 ORDER BY seq DESC LIMIT 1";
    for row in work.run(CHAINS, &[]).await? {
        let chain = row.text(0)?;
        if key_digest_in(&chain).is_none()
            && let Some(head) = work.run(HEAD, &[(&chain).into()]).await?.first()
        {
            let anchor = Anchor { kind: NAMED, chain: &chain, seq: head.number(0)?, hash: head.str(1)? };
            insert(work, hasher, anchor).await?;
        }
    }
    Ok(())
}

/// Stores the last deleted event of a chain, in the transaction that deletes it.
pub async fn set_last_pruned(
    work: &mut UnitOfWork,
    hasher: &ChainHasher,
    chain: &str,
    seq: i64,
    hash: &str,
) -> Result<(), DatabaseError> {
    const DELETE_OLDER: &str = "DELETE FROM audit_anchors WHERE chain = $1 AND kind = $2 AND seq < $3";
    insert(work, hasher, Anchor { kind: PRUNED, chain, seq, hash }).await?;
    work.run(DELETE_OLDER, &[chain.into(), PRUNED.into(), seq.into()]).await.map(|_| ())
}

/// The number and hash of the last deleted event of a chain. `None` if nothing of it was deleted.
pub async fn last_pruned(work: &mut UnitOfWork, chain: &str) -> Result<Option<(i64, String)>, DatabaseError> {
    const LAST: &str = "SELECT seq, hash FROM audit_anchors WHERE chain = $1 AND kind = $2 ORDER BY seq DESC LIMIT 1";
    let last = work.run(LAST, &[chain.into(), PRUNED.into()]).await?;
    last.first().map(|row| Ok((row.number(0)?, row.text(1)?))).transpose()
}

/// Reads and verifies all anchors.
pub async fn load_known_events(database: &Database, hasher: &ChainHasher) -> Result<KnownEvents, DatabaseError> {
    let rows = database.read(&Query::new("SELECT chain, seq, hash, kind, seal FROM audit_anchors")).await?;
    let mut known = KnownEvents::default();
    for row in rows {
        let (chain, seq, hash, kind) = (row.text(0)?, row.number(1)?, row.text(2)?, row.text(3)?);
        let anchor = Anchor { kind: &kind, chain: &chain, seq, hash: &hash };
        match anchor.verify_seal(hasher, row.str(4)?) {
            Err(_) => {
                known.add_bad_anchor(&chain, seq);
                continue;
            }
            Ok(HashKind::Unkeyed) if hasher.has_key() => {
                if key_digest_in(&chain).is_some() {
                    // A replica without a key may have stored it when it started. But only a holder of the key deletes events.
                    if kind == PRUNED {
                        known.add_bad_anchor(&chain, seq);
                    }
                    continue;
                }
                known.add_unkeyed_anchor(&chain, seq);
            }
            Ok(_) => known.trust_hash(&hash),
        }
        if kind == PRUNED {
            known.add_pruned(&chain, seq, &hash);
        } else {
            known.expect_anchored_event(&chain, seq, &hash);
        }
    }
    Ok(known)
}

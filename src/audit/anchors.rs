//! Anchors: what is kept of events beside themselves, so that a chain can be checked whose beginning was deleted.

use super::keys::{ChainHasher, HashedWith, NotVerified, named_key};
use super::known::Known;
use crate::database::{Database, Failed, Query, Work};
use crate::wire::inert_json;
use serde::Serialize;

/// An event that the first event of a chain names.
const NAMED: &str = "named";
/// The last event of a chain that was deleted.
const PRUNED: &str = "pruned";

const INSERT: &str =
    "INSERT INTO audit_anchors (chain, seq, hash, kind, seal) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// From one chain to the next in the index of (chain, seq), however many events there are between.
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

    /// What it was sealed with. An anchor may be written under a later key than its chain.
    fn check(&self, hasher: &ChainHasher, seal: &str) -> Result<HashedWith, NotVerified> {
        hasher.check("", &self.text(), seal)
    }

    fn text(&self) -> String {
        // Texts and a number are JSON.
        inert_json::to_string(self).unwrap_or_default()
    }
}

/// What the next chain names: the hash of the event before it, which is from now on known to have been there.
///
/// A seal under a key says that a broker has written the event. So what is sealed under no key is named once, when the first key
/// is set. From then on anybody may have written it, and the event before is the last that is sealed under a key.
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
    // All of them or none: whoever comes next finds the key set.
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

/// The last event that holds under a key. Where there is none, the last of a chain that names a key which is not configured:
/// it does not hold as long as that is so, whoever has written it.
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

/// The heads of all chains, none of which names a key, when the first chain begins that names one. Of replicas that wrote side
/// by side the last alone is named by the next chain.
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

/// Notes up to where a chain is deleted, in the transaction that deletes.
pub async fn prune(work: &mut Work, hasher: &ChainHasher, chain: &str, seq: i64, hash: &str) -> Result<(), Failed> {
    const FORGET: &str = "DELETE FROM audit_anchors WHERE chain = $1 AND kind = $2 AND seq < $3";
    let seal = Anchor { kind: PRUNED, chain, seq, hash }.seal(hasher);
    work.run(INSERT, &[chain.into(), seq.into(), hash.into(), PRUNED.into(), (&seal).into()]).await?;
    work.run(FORGET, &[chain.into(), PRUNED.into(), seq.into()]).await.map(|_| ())
}

/// Up to where a chain is deleted: the number and the hash.
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
                    // A replica that had no key yet may have named it. What it may not do is to say that events are gone.
                    if kind == PRUNED {
                        known.bad_anchor(&chain, seq);
                    }
                    continue;
                }
                known.plain_anchor(&chain, seq);
            }
            Ok(_) => known.vouch(&hash),
        }
        if kind == PRUNED {
            known.prune(&chain, seq, &hash);
        } else {
            known.name(&chain, seq, &hash);
        }
    }
    Ok(known)
}

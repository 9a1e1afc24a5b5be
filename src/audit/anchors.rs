//! Anchors: what is kept of events beside themselves, so that a chain can be checked whose beginning was deleted.

use super::chain::Sealer;
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

#[derive(Serialize)]
struct Anchor<'a> {
    #[serde(rename = "anchor")]
    kind: &'a str,
    chain: &'a str,
    seq: i64,
    hash: &'a str,
}

impl Anchor<'_> {
    fn seal(&self, sealer: &Sealer) -> String {
        // Texts and a number are JSON.
        sealer.hash(&inert_json::to_string(self).unwrap_or_default())
    }
}

/// The hash of the event that was written last, which is from now on known to have been there.
pub async fn name_last(database: &Database, sealer: &Sealer) -> Result<Option<String>, Failed> {
    const LAST: &str = "SELECT chain, seq, hash FROM audit_events ORDER BY rowid DESC LIMIT 1";
    let Some(last) = database.run(LAST, &[]).await?.pop() else { return Ok(None) };
    let (chain, seq, hash) = (last.text(0)?, last.number(1)?, last.text(2)?);
    let seal = Anchor { kind: NAMED, chain: &chain, seq, hash: &hash }.seal(sealer);
    database.run(INSERT, &[(&chain).into(), seq.into(), (&hash).into(), NAMED.into(), (&seal).into()]).await?;
    Ok(Some(hash))
}

/// Notes up to where a chain is deleted, in the transaction that deletes.
pub async fn prune(work: &mut Work, sealer: &Sealer, chain: &str, seq: i64, hash: &str) -> Result<(), Failed> {
    const FORGET: &str = "DELETE FROM audit_anchors WHERE chain = $1 AND kind = $2 AND seq < $3";
    let seal = Anchor { kind: PRUNED, chain, seq, hash }.seal(sealer);
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
pub async fn known(database: &Database, sealer: &Sealer) -> Result<Known, Failed> {
    let all = database.read(&Query::new("SELECT chain, seq, hash, kind, seal FROM audit_anchors")).await?;
    let mut known = Known::default();
    for row in all {
        let (chain, seq, hash, kind) = (row.text(0)?, row.number(1)?, row.text(2)?, row.text(3)?);
        let anchor = Anchor { kind: &kind, chain: &chain, seq, hash: &hash };
        if anchor.seal(sealer) != row.text(4)? {
            known.bad_anchor(&chain, seq);
        } else if kind == PRUNED {
            known.prune(&chain, seq, &hash);
        } else {
            known.name(&chain, seq, &hash);
        }
    }
    Ok(known)
}

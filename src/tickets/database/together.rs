//! PostgreSQL: all changes of a group in one statement, because each statement is a round trip.
//!
//! The locks of the callers are taken before it, so that it sees the changes of the previous lock holders. It then waits for
//! concurrent endings of the same tickets. No ticket is issued and ended in one group, because its id is unknown outside until
//! the group is durable.

use super::values::{End, Issue, bytes, replay, state, time};
use crate::database::{Failed, Param, Work};
use crate::sealing::digest::to_hex;
use crate::tickets::port::MAX_BYTES_PER_CALLER;
use std::collections::HashSet;

/// A ticket is issued if its caller's limit allows it together with all earlier ones in the group. Endings look up
/// only the key: `state + 0` prevents the planner from using the index of all unredeemed tickets.
const CHANGE: &str = "WITH wanted AS ( \
         SELECT *, row_number() OVER mine AS nth, sum(size) OVER mine AS sizes \
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bigint[]) \
             WITH ORDINALITY AS wanted (id, owner, issued_at, expires_at, details, verifier, bundle, size, place) \
         WINDOW mine AS (PARTITION BY owner ORDER BY place) \
     ), share AS ( \
         SELECT owner, count(*) FILTER (WHERE state = 0) AS live, sum(bundle_bytes) AS sizes FROM tickets \
         WHERE owner = ANY($2) AND bundle_bytes > 0 GROUP BY owner \
     ), issued AS ( \
         INSERT INTO tickets (id, owner, issued_at, expires_at, details, verifier, bundle, bundle_bytes) \
         SELECT id, owner, issued_at, expires_at, details, verifier, bundle, size FROM wanted LEFT JOIN share USING (owner) \
         WHERE coalesce(live, 0) + nth <= $9 AND coalesce(share.sizes, 0) + wanted.sizes <= $10 RETURNING id \
     ), ended AS ( \
         UPDATE tickets SET state = change.state, ended_at = change.at, \
             replay = decode(nullif(change.replay, ''), 'hex'), \
             bundle = CASE WHEN change.replay = '' THEN NULL ELSE bundle END, \
             bundle_bytes = CASE WHEN change.replay = '' THEN 0 ELSE bundle_bytes END \
         FROM unnest($11::text[], $12::bigint[], $13::bigint[], $14::text[]) AS change (id, state, at, replay) \
         WHERE tickets.id = change.id AND tickets.state + 0 = 0 AND tickets.id = ANY(ARRAY( \
             SELECT id FROM tickets WHERE id = ANY($11) AND state + 0 = 0 ORDER BY id FOR UPDATE)) RETURNING tickets.id \
     ) SELECT id FROM issued UNION ALL SELECT id FROM ended";

/// Returns the indices of the successful changes.
pub async fn change_together(
    work: &mut Work,
    max_live_per_caller: usize,
    issues: &[Issue<'_>],
    ends: &[End<'_>],
) -> Result<Vec<usize>, Failed> {
    if issues.is_empty() && ends.is_empty() {
        return Ok(Vec::new());
    }
    let owners: Vec<String> = issues.iter().map(|issue| issue.owner.to_text()).collect();
    let ended: Vec<String> = ends.iter().map(|end| end.id.to_string()).collect();
    let replays: Vec<String> =
        ends.iter().map(|end| replay(end.ending).map_or(String::new(), |digest| to_hex(digest))).collect();
    let most = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = work
        .run(
            CHANGE,
            &[
                Param::Texts(&column(issues, |issue| issue.id.as_str())),
                Param::Texts(&column(&owners, String::as_str)),
                Param::Numbers(&column(issues, |issue| issue.issued_at)),
                Param::Numbers(&column(issues, |issue| issue.expires_at)),
                Param::Blobs(&column(issues, |issue| &*issue.sealed.details)),
                Param::Blobs(&column(issues, |issue| issue.sealed.verifier.as_slice())),
                Param::Blobs(&column(issues, |issue| &*issue.sealed.blob)),
                Param::Numbers(&column(issues, |issue| bytes(issue.sealed))),
                most(max_live_per_caller).into(),
                most(MAX_BYTES_PER_CALLER).into(),
                Param::Texts(&column(&ended, String::as_str)),
                Param::Numbers(&column(ends, |end| state(end.ending))),
                Param::Numbers(&column(ends, |end| time(end.ending))),
                Param::Texts(&column(&replays, String::as_str)),
            ],
        )
        .await?;
    let done = rows.iter().map(|row| row.str(0)).collect::<Result<HashSet<_>, _>>()?;
    let issued = issues.iter().filter(|issue| done.contains(issue.id.as_str())).map(|issue| issue.place);
    let ended = ends.iter().zip(&ended).filter(|(_, id)| done.contains(id.as_str())).map(|(end, _)| end.place);
    Ok(issued.chain(ended).collect())
}

fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

//! Changes all tickets of a transaction in one statement on PostgreSQL, because each statement costs a round trip.
//!
//! The callers are locked before the statement, so that it sees the changes of the previous lock holders. The statement waits
//! for concurrent transactions that end the same tickets. No transaction issues and ends the same ticket, because clients get its
//! ID only when the transaction is durable.

use super::row_values::{EndRow, IssueRow, bundle_bytes_column, ended_at_column, replay_column, state_column};
use crate::database::{DatabaseError, Param, UnitOfWork};
use crate::sealing::digest::to_hex;
use crate::tickets::port::MAX_BYTES_PER_CALLER;
use std::collections::HashSet;

/// A ticket is issued if the caller stays within its limits with this ticket and those before it in the statement. The update finds
/// tickets by primary key: `state + 0` prevents the planner from using the index of all unredeemed tickets.
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

/// Runs the statement. Returns the indices of the accepted steps.
pub async fn change_in_one_statement(
    work: &mut UnitOfWork,
    max_live_per_caller: usize,
    issues: &[IssueRow<'_>],
    ends: &[EndRow<'_>],
) -> Result<Vec<usize>, DatabaseError> {
    if issues.is_empty() && ends.is_empty() {
        return Ok(Vec::new());
    }
    let owners: Vec<String> = issues.iter().map(|issue| issue.owner.to_text()).collect();
    let ended: Vec<String> = ends.iter().map(|end| end.id.to_string()).collect();
    let replays: Vec<String> =
        ends.iter().map(|end| replay_column(end.final_state).map_or(String::new(), |digest| to_hex(digest))).collect();
    let to_i64 = |number| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = work
        .run(
            CHANGE,
            &[
                Param::Texts(&column(issues, |issue| issue.id.as_str())),
                Param::Texts(&column(&owners, String::as_str)),
                Param::Numbers(&column(issues, |issue| issue.issued_at)),
                Param::Numbers(&column(issues, |issue| issue.expires_at)),
                Param::Blobs(&column(issues, |issue| &*issue.sealed.encoded_ticket)),
                Param::Blobs(&column(issues, |issue| issue.sealed.verifier.as_slice())),
                Param::Blobs(&column(issues, |issue| &*issue.sealed.ciphertext)),
                Param::Numbers(&column(issues, |issue| bundle_bytes_column(issue.sealed))),
                to_i64(max_live_per_caller).into(),
                to_i64(MAX_BYTES_PER_CALLER).into(),
                Param::Texts(&column(&ended, String::as_str)),
                Param::Numbers(&column(ends, |end| state_column(end.final_state))),
                Param::Numbers(&column(ends, |end| ended_at_column(end.final_state))),
                Param::Texts(&column(&replays, String::as_str)),
            ],
        )
        .await?;
    let changed = rows.iter().map(|row| row.str(0)).collect::<Result<HashSet<_>, _>>()?;
    let issued = issues.iter().filter(|issue| changed.contains(issue.id.as_str())).map(|issue| issue.step_index);
    let ended = ends.iter().zip(&ended).filter(|(_, id)| changed.contains(id.as_str())).map(|(end, _)| end.step_index);
    Ok(issued.chain(ended).collect())
}

fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

//! The table `ticket_counts`: the number of tickets that each caller got from each policy with a limit.
//!
//! The statements run in the transaction that stores the tickets, after the callers are locked, so that replicas count one
//! after the other. If no ticket of the transaction has a limit, no statement runs.

use super::row_values::IssueRow;
use crate::database::{DatabaseError, Param, Row, Sql, UnitOfWork};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Selects the counts of callers.
pub const SELECT_COUNTS: Sql = Sql {
    sqlite: "SELECT owner, policy, issued FROM ticket_counts WHERE owner IN (SELECT value FROM json_each($1))",
    postgres: "SELECT owner, policy, issued FROM ticket_counts WHERE owner = ANY($1)",
};

/// Deletes counts that were not increased since a time.
pub const DELETE_OLD_COUNTS: Sql = Sql {
    sqlite: "DELETE FROM ticket_counts WHERE (owner, policy) IN (SELECT owner, policy FROM ticket_counts \
         WHERE last_at <= $1 LIMIT $2) RETURNING owner",
    postgres: "DELETE FROM ticket_counts WHERE (owner, policy) IN (SELECT owner, policy FROM ticket_counts \
         WHERE last_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING owner",
};

/// Numbers of tickets, by caller (the text of an [`OwnerDigest`](crate::tickets::owner_digest::OwnerDigest)) and policy.
pub type Counts = BTreeMap<(String, String), i64>;

/// Reads the rows of [`SELECT_COUNTS`].
pub fn read_counts(rows: &[Row]) -> Result<Counts, DatabaseError> {
    rows.iter().map(|row| Ok(((row.text(0)?, row.text(1)?), row.number(2)?))).collect()
}

/// Removes from `issues` the tickets whose caller has reached a limit, and marks these limits as reached. Tickets that are earlier
/// in `issues` are counted too.
pub async fn retain_within_limits(work: &mut UnitOfWork, issues: &mut Vec<IssueRow<'_>>) -> Result<(), DatabaseError> {
    let limited = issues.iter().filter(|issue| issue.limits.is_some());
    let owners: BTreeSet<String> = limited.map(|issue| issue.owner.to_text()).collect();
    if owners.is_empty() {
        return Ok(());
    }
    let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
    let mut counts = read_counts(&work.run(SELECT_COUNTS, &[Param::Texts(&owners)]).await?)?;
    issues.retain(|issue| {
        let Some(limits) = issue.limits else { return true };
        let key = |policy: &str| (issue.owner.to_text(), policy.to_owned());
        let count = |policy: &str| counts.get(&key(policy)).copied().unwrap_or_default();
        let fits = limits.by_policy.iter().all(|limit| count(&limit.policy) < i64::from(limit.max));
        if fits {
            limits.by_policy.iter().for_each(|limit| *counts.entry(key(&limit.policy)).or_default() += 1);
        } else {
            limits.set_reached();
        }
        fits
    });
    Ok(())
}

/// Adds the tickets whose steps were accepted to the counts.
pub async fn add_to_counts(
    work: &mut UnitOfWork,
    issues: &[IssueRow<'_>],
    accepted: &HashSet<usize>,
) -> Result<(), DatabaseError> {
    const ADD: Sql = Sql {
        sqlite: "INSERT INTO ticket_counts (owner, policy, issued, last_at) \
             SELECT owners.value, (SELECT value FROM json_each($2) WHERE key = owners.key), \
                 (SELECT value FROM json_each($3) WHERE key = owners.key), (SELECT value FROM json_each($4) WHERE key = owners.key) \
             FROM json_each($1) AS owners WHERE true \
             ON CONFLICT (owner, policy) DO UPDATE SET issued = ticket_counts.issued + excluded.issued, last_at = excluded.last_at",
        postgres: "INSERT INTO ticket_counts (owner, policy, issued, last_at) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) \
             ON CONFLICT (owner, policy) DO UPDATE SET issued = ticket_counts.issued + excluded.issued, last_at = excluded.last_at",
    };
    let mut added: BTreeMap<(String, &str), (i64, i64)> = BTreeMap::new();
    for issue in issues.iter().filter(|issue| accepted.contains(&issue.step_index)) {
        for limit in issue.limits.iter().flat_map(|limits| &limits.by_policy) {
            let (tickets, last) = added.entry((issue.owner.to_text(), &limit.policy)).or_default();
            *tickets += 1;
            *last = (*last).max(issue.issued_at);
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    let owners: Vec<&str> = added.keys().map(|(owner, _)| owner.as_str()).collect();
    let policies: Vec<&str> = added.keys().map(|(_, policy)| *policy).collect();
    let (tickets, last): (Vec<i64>, Vec<i64>) = added.values().copied().unzip();
    let params = [Param::Texts(&owners), Param::Texts(&policies), Param::Numbers(&tickets), Param::Numbers(&last)];
    work.run(ADD, &params).await.map(|_| ())
}

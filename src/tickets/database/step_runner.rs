//! Runs the steps that change tickets in a transaction of the audit log, which commits many steps as a group: all changes of a
//! group in a few statements. `change_statement` has the single statement for PostgreSQL.
//!
//! Replicas change tickets concurrently. Every group locks in the same order (callers by lock key, then tickets by ID), so two
//! groups never deadlock.

use super::caller_counts::{add_to_counts, retain_within_limits};
use super::change_statement::change_in_one_statement;
use super::row_values::{EndRow, IssueRow, bundle_bytes_column, ended_at_column, replay_column, state_column};
use super::sealed_bytes_limit::SealedBytesLimit;
use crate::database::{DatabaseError, Param, Step, StepRunner, UnitOfWork};
use crate::tickets::owner_digest::OwnerDigest;
use crate::tickets::port::MAX_BYTES_PER_CALLER;
use crate::tickets::ticket_change::TicketChange;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Runs the steps of tickets in the database.
pub struct TicketStepRunner {
    pub max_live_per_caller: usize,
    /// The limit over all callers.
    pub sealed_bytes: SealedBytesLimit,
}

/// The live tickets and sealed bytes of a caller.
#[derive(Default, Clone, Copy)]
struct CallerUsage {
    live: usize,
    bytes: usize,
}

#[async_trait]
impl StepRunner for TicketStepRunner {
    async fn run(&self, work: &mut UnitOfWork, steps: &[&Step]) -> Result<Vec<bool>, DatabaseError> {
        // A ticket above the limit over all callers is not reserved, and its step is rejected.
        let is_reserved: Vec<bool> = steps.iter().map(|step| self.sealed_bytes.reserve(sealed_size(step))).collect();
        let outcomes = self.change_tickets(work, steps, &is_reserved).await;
        for (index, step) in steps.iter().enumerate() {
            let is_accepted = outcomes.as_ref().is_ok_and(|outcomes| outcomes[index]);
            if is_reserved[index] && !is_accepted {
                self.sealed_bytes.release(sealed_size(step), false);
            }
        }
        outcomes
    }

    /// Ends the reservations of the accepted tickets. The changes were committed or rolled back by the database.
    fn on_end(&self, steps: &[&Step], committed: bool) {
        for step in steps {
            self.sealed_bytes.release(sealed_size(step), committed);
        }
    }
}

/// The size of the bundle that a step issues. 0 for other steps.
fn sealed_size(step: &Step) -> usize {
    match step.payload() {
        Some(TicketChange::Issue { sealed, .. }) => sealed.size(),
        _ => 0,
    }
}

impl TicketStepRunner {
    /// Executes the steps, except those that issue a ticket without a reservation. Returns which were accepted.
    async fn change_tickets(
        &self,
        work: &mut UnitOfWork,
        steps: &[&Step],
        is_reserved: &[bool],
    ) -> Result<Vec<bool>, DatabaseError> {
        let (mut issues, mut ends) = (Vec::new(), Vec::new());
        for (step_index, step) in steps.iter().enumerate() {
            match step.payload() {
                Some(TicketChange::Issue { id, owner, issued_at, expires_at, sealed, limits, .. })
                    if is_reserved[step_index] =>
                {
                    issues.push(IssueRow {
                        step_index,
                        id: id.to_string(),
                        owner: *owner,
                        issued_at: *issued_at,
                        expires_at: *expires_at,
                        sealed,
                        limits: limits.as_deref(),
                    });
                }
                Some(TicketChange::End { id, final_state }) => {
                    ends.push(EndRow { step_index, id: *id, final_state });
                }
                Some(TicketChange::Issue { .. }) | None => {}
            }
        }
        // If a group ends a ticket several times, all but the first of these steps are rejected.
        let mut seen = HashSet::new();
        ends.retain(|end| seen.insert(end.id));
        lock_callers(work, &issues).await?;
        retain_within_limits(work, &mut issues).await?;
        let accepted: HashSet<usize> = if work.is_remote() {
            change_in_one_statement(work, self.max_live_per_caller, &issues, &ends).await?
        } else {
            let mut accepted = self.insert_within_limits(work, &issues).await?;
            accepted.extend(end_waiting_tickets(work, &ends).await?);
            accepted
        }
        .into_iter()
        .collect();
        add_to_counts(work, &issues, &accepted).await?;
        let mut outcomes = vec![false; steps.len()];
        for step_index in accepted {
            outcomes[step_index] = true;
        }
        Ok(outcomes)
    }

    /// Inserts the tickets whose callers are within their limits. Returns the indices of their steps.
    async fn insert_within_limits(
        &self,
        work: &mut UnitOfWork,
        all: &[IssueRow<'_>],
    ) -> Result<Vec<usize>, DatabaseError> {
        const COLUMN_COUNT: usize = 8;
        const TABLE_AND_COLUMNS: &str =
            "tickets (id, owner, issued_at, expires_at, details, verifier, bundle, bundle_bytes)";
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let mut usages = query_usages(work, all).await?;
        let mut issues: Vec<&IssueRow<'_>> = all.iter().collect();
        issues.retain(|issue| {
            let usage = usages.entry(issue.owner).or_default();
            let bytes = usage.bytes + issue.sealed.size();
            let fits = usage.live < self.max_live_per_caller && bytes <= MAX_BYTES_PER_CALLER;
            if fits {
                *usage = CallerUsage { live: usage.live + 1, bytes };
            }
            fits
        });
        if issues.is_empty() {
            return Ok(Vec::new());
        }
        let owners: Vec<String> = issues.iter().map(|issue| issue.owner.to_text()).collect();
        let mut params: Vec<Param> = Vec::with_capacity(issues.len() * COLUMN_COUNT);
        for (issue, owner) in issues.iter().zip(&owners) {
            let row: [Param; COLUMN_COUNT] = [
                (&issue.id).into(),
                owner.into(),
                issue.issued_at.into(),
                issue.expires_at.into(),
                (*issue.sealed.encoded_ticket).into(),
                issue.sealed.verifier.as_slice().into(),
                (*issue.sealed.ciphertext).into(),
                bundle_bytes_column(issue.sealed).into(),
            ];
            params.extend(row);
        }
        work.insert(TABLE_AND_COLUMNS, COLUMN_COUNT, &params).await?;
        Ok(issues.iter().map(|issue| issue.step_index).collect())
    }
}

/// Locks the callers before their tickets are counted, so that no other replica adds tickets in between. A no-op for SQLite.
async fn lock_callers(work: &mut UnitOfWork, issues: &[IssueRow<'_>]) -> Result<(), DatabaseError> {
    let lock_keys: BTreeSet<i64> = issues.iter().map(|issue| issue.owner.lock_key()).collect();
    if lock_keys.is_empty() {
        return Ok(());
    }
    work.lock(&lock_keys.into_iter().collect::<Vec<_>>()).await
}

/// The live tickets and sealed bytes of the callers of these tickets. A caller without an entry has none.
async fn query_usages(
    work: &mut UnitOfWork,
    issues: &[IssueRow<'_>],
) -> Result<BTreeMap<OwnerDigest, CallerUsage>, DatabaseError> {
    const COUNT: &str = "SELECT owner, count(*) FILTER (WHERE state = 0), CAST(sum(bundle_bytes) AS BIGINT) FROM tickets \
             WHERE owner IN (SELECT value FROM json_each($1)) AND bundle_bytes > 0 GROUP BY owner";
    let owners_by_text: BTreeMap<String, OwnerDigest> =
        issues.iter().map(|issue| (issue.owner.to_text(), issue.owner)).collect();
    let texts: Vec<&str> = owners_by_text.keys().map(String::as_str).collect();
    let mut usages = BTreeMap::new();
    for row in work.run(COUNT, &[Param::Texts(&texts)]).await? {
        let to_usize = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let usage = CallerUsage { live: to_usize(row.number(1)?), bytes: to_usize(row.number(2)?) };
        if let Some(owner) = owners_by_text.get(&row.text(0)?) {
            usages.insert(*owner, usage);
        }
    }
    Ok(usages)
}

/// Ends the tickets that are waiting, with one statement each, because SQLite has no round trips. Returns the indices of their
/// steps.
async fn end_waiting_tickets(work: &mut UnitOfWork, ends: &[EndRow<'_>]) -> Result<Vec<usize>, DatabaseError> {
    const END: &str = "UPDATE tickets SET state = $2, ended_at = $3, replay = $4, \
             bundle = CASE WHEN $4 IS NULL THEN NULL ELSE bundle END, \
             bundle_bytes = CASE WHEN $4 IS NULL THEN 0 ELSE bundle_bytes END \
         WHERE id = $1 AND state = 0 RETURNING id";
    let mut ended = Vec::new();
    for end in ends {
        let id = end.id.to_string();
        let replay = replay_column(end.final_state).map_or(Param::NoBytes, |digest| Param::Bytes(digest));
        let state = state_column(end.final_state);
        let rows =
            work.run(END, &[(&id).into(), state.into(), ended_at_column(end.final_state).into(), replay]).await?;
        if !rows.is_empty() {
            ended.push(end.step_index);
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::database::Url;
    use crate::database::Database;
    use crate::model::caller::Identity;
    use crate::model::ticket::TicketId;
    use crate::tickets::sealed_bundle::SealedBundle;
    use std::sync::Arc;

    const SIZE: usize = 40;

    async fn database() -> Database {
        Database::open(&Url::SqliteMemory).await.expect("opens")
    }

    /// A runner with room for two bundles of all callers, and one ticket of each caller.
    fn runner() -> Arc<TicketStepRunner> {
        Arc::new(TicketStepRunner { max_live_per_caller: 1, sealed_bytes: SealedBytesLimit::new(2 * SIZE) })
    }

    fn issue(runner: &Arc<TicketStepRunner>, id: u8, caller: &str) -> Step {
        let identity = Identity::Token { issuer: "ci".into(), subject: caller.into(), jti: None };
        let owner = OwnerDigest::from_identity(&identity);
        let sealed = SealedBundle { verifier: [0; 32], encoded_ticket: [0; 4].into(), ciphertext: [0; SIZE].into() };
        let change = TicketChange::Issue {
            id: TicketId::from_bytes([id; 16]),
            owner,
            quota_owner: owner,
            issued_at: 0,
            expires_at: 1,
            sealed,
            limits: None,
        };
        Step::new(runner.clone(), change)
    }

    async fn run(runner: &TicketStepRunner, database: &Database, steps: &[&Step], commits: bool) -> Vec<bool> {
        let mut work = database.begin().await.expect("begins");
        let outcomes = runner.run(&mut work, steps).await.expect("runs");
        if commits {
            work.commit().await.expect("commits");
        }
        let accepted: Vec<&Step> = steps.iter().zip(&outcomes).filter(|(_, is)| **is).map(|(step, _)| *step).collect();
        runner.on_end(&accepted, commits);
        outcomes
    }

    #[tokio::test]
    async fn refused_tickets_do_not_count_in_the_limit_of_all_callers() {
        let (runner, database) = (runner(), database().await);
        let [first, second, third] = [1, 2, 3].map(|id| issue(&runner, id, "a"));
        assert_eq!(run(&runner, &database, &[&first, &second], true).await, [true, false]);
        assert_eq!(run(&runner, &database, &[&third], true).await, [false]);
        let other = issue(&runner, 4, "b");
        assert_eq!(run(&runner, &database, &[&other], true).await, [true]);
        assert_eq!(run(&runner, &database, &[&issue(&runner, 5, "c")], true).await, [false], "the limit is reached");
    }

    #[tokio::test]
    async fn tickets_that_were_not_stored_do_not_count_in_the_limit_of_all_callers() {
        let (runner, database) = (runner(), database().await);
        for id in 1..5 {
            let step = issue(&runner, id, "a");
            assert_eq!(run(&runner, &database, &[&step], false).await, [true], "rolled back");
        }
        database.run("ALTER TABLE tickets RENAME TO hidden", &[]).await.expect("renamed");
        for id in 1..5 {
            let mut work = database.begin().await.expect("begins");
            assert!(runner.run(&mut work, &[&issue(&runner, id, "a")]).await.is_err());
        }
        database.run("ALTER TABLE hidden RENAME TO tickets", &[]).await.expect("renamed");
        assert_eq!(run(&runner, &database, &[&issue(&runner, 9, "a")], true).await, [true]);
    }
}

//! Changes of tickets within the unit of work of the audit log: all changes of a group in a few statements. `together` has the
//! single statement for PostgreSQL.
//!
//! Replicas change tickets concurrently. Locks are taken in one order (callers by number, then tickets by id), so two groups
//! never deadlock.

use super::counted::{count, retain_within_limits};
use super::sealed_bytes::SealedBytes;
use super::together::change_together;
use super::values::{End, Issue, bytes, replay, state, time};
use crate::database::{Failed, Param, Step, StepRunner, Work};
use crate::tickets::change::Change;
use crate::tickets::owner::Owner;
use crate::tickets::port::MAX_BYTES_PER_CALLER;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The runner of the steps.
pub struct Steps {
    pub max_live_per_caller: usize,
    /// The total size over all callers.
    pub sealed: SealedBytes,
}

/// The tickets and bytes of a caller.
#[derive(Default, Clone, Copy)]
struct Share {
    live: usize,
    bytes: usize,
}

#[async_trait]
impl StepRunner for Steps {
    async fn run(&self, work: &mut Work, steps: &[&Step]) -> Result<Vec<bool>, Failed> {
        let (mut issues, mut ends) = (Vec::new(), Vec::new());
        for (place, step) in steps.iter().enumerate() {
            match step.what() {
                // The step is rejected.
                Some(Change::Issue { sealed, .. }) if !self.sealed.add(sealed.size()) => {}
                Some(Change::Issue { id, owner, issued_at, expires_at, sealed, limits, .. }) => issues.push(Issue {
                    place,
                    id: id.to_string(),
                    owner: *owner,
                    issued_at: *issued_at,
                    expires_at: *expires_at,
                    sealed,
                    limits: limits.as_deref(),
                }),
                Some(Change::End { id, ending }) => ends.push(End { place, id: *id, ending }),
                None => {}
            }
        }
        // If a group has several endings of one ticket, the first is tried.
        let mut seen = HashSet::new();
        ends.retain(|end| seen.insert(end.id));
        lock_callers(work, &issues).await?;
        retain_within_limits(work, &mut issues).await?;
        let places: HashSet<usize> = if work.is_remote() {
            change_together(work, self.max_live_per_caller, &issues, &ends).await?
        } else {
            let mut places = self.issue(work, &issues).await?;
            places.extend(end(work, &ends).await?);
            places
        }
        .into_iter()
        .collect();
        count(work, &issues, &places).await?;
        let mut done = vec![false; steps.len()];
        for place in places {
            done[place] = true;
        }
        Ok(done)
    }

    /// The database needs no notification.
    fn ended(&self, _steps: &[&Step], _committed: bool) {}
}

impl Steps {
    /// Inserts those for which their callers have room. Returns the places of these.
    async fn issue(&self, work: &mut Work, all: &[Issue<'_>]) -> Result<Vec<usize>, Failed> {
        const COLUMNS: usize = 8;
        const INTO: &str = "tickets (id, owner, issued_at, expires_at, details, verifier, bundle, bundle_bytes)";
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let mut shares = shares(work, all).await?;
        let mut issues: Vec<&Issue<'_>> = all.iter().collect();
        issues.retain(|issue| {
            let share = shares.entry(issue.owner).or_default();
            let bytes = share.bytes + issue.sealed.size();
            let fits = share.live < self.max_live_per_caller && bytes <= MAX_BYTES_PER_CALLER;
            if fits {
                *share = Share { live: share.live + 1, bytes };
            }
            fits
        });
        if issues.is_empty() {
            return Ok(Vec::new());
        }
        let owners: Vec<String> = issues.iter().map(|issue| issue.owner.to_text()).collect();
        let mut params: Vec<Param> = Vec::with_capacity(issues.len() * COLUMNS);
        for (issue, owner) in issues.iter().zip(&owners) {
            let row: [Param; COLUMNS] = [
                (&issue.id).into(),
                owner.into(),
                issue.issued_at.into(),
                issue.expires_at.into(),
                (*issue.sealed.details).into(),
                issue.sealed.verifier.as_slice().into(),
                (*issue.sealed.blob).into(),
                bytes(issue.sealed).into(),
            ];
            params.extend(row);
        }
        work.insert(INTO, COLUMNS, &params).await?;
        Ok(issues.iter().map(|issue| issue.place).collect())
    }
}

/// Takes the locks of the callers, before anything is read that depends on what they have. A no-op for SQLite.
async fn lock_callers(work: &mut Work, issues: &[Issue<'_>]) -> Result<(), Failed> {
    let locks: BTreeSet<i64> = issues.iter().map(|issue| issue.owner.lock()).collect();
    if locks.is_empty() {
        return Ok(());
    }
    work.lock(&locks.into_iter().collect::<Vec<_>>()).await
}

/// What the callers have.
async fn shares(work: &mut Work, issues: &[Issue<'_>]) -> Result<BTreeMap<Owner, Share>, Failed> {
    const COUNT: &str = "SELECT owner, count(*) FILTER (WHERE state = 0), CAST(sum(bundle_bytes) AS BIGINT) FROM tickets \
             WHERE owner IN (SELECT value FROM json_each($1)) AND bundle_bytes > 0 GROUP BY owner";
    let by_text: BTreeMap<String, Owner> = issues.iter().map(|issue| (issue.owner.to_text(), issue.owner)).collect();
    let texts: Vec<&str> = by_text.keys().map(String::as_str).collect();
    let mut shares = BTreeMap::new();
    for row in work.run(COUNT, &[Param::Texts(&texts)]).await? {
        let whole = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let share = Share { live: whole(row.number(1)?), bytes: whole(row.number(2)?) };
        if let Some(owner) = by_text.get(&row.text(0)?) {
            shares.insert(*owner, share);
        }
    }
    Ok(shares)
}

/// Ends those that are unredeemed, with one statement each, because SQLite has no round trips. Returns the indices
/// of these.
async fn end(work: &mut Work, ends: &[End<'_>]) -> Result<Vec<usize>, Failed> {
    const END: &str = "UPDATE tickets SET state = $2, ended_at = $3, replay = $4, \
             bundle = CASE WHEN $4 IS NULL THEN NULL ELSE bundle END, \
             bundle_bytes = CASE WHEN $4 IS NULL THEN 0 ELSE bundle_bytes END \
         WHERE id = $1 AND state = 0 RETURNING id";
    let mut ended = Vec::new();
    for end in ends {
        let id = end.id.to_string();
        let replay = replay(end.ending).map_or(Param::NoBytes, |replay| Param::Bytes(replay));
        let rows = work.run(END, &[(&id).into(), state(end.ending).into(), time(end.ending).into(), replay]).await?;
        if !rows.is_empty() {
            ended.push(end.place);
        }
    }
    Ok(ended)
}

//! Changes of tickets, within the unit of work of the audit log: all of a group in a few statements, however many they are.
//!
//! Replicas do the same at the same time. So whatever is locked is locked in one order (callers by their number, then
//! tickets by their id), and two groups can wait for each other's end but never for each other.

use super::{EXPIRED, REDEEMED, REVOKED};
use crate::database::{Failed, Param, Sql, Step, StepRunner, Work};
use crate::model::ticket::TicketId;
use crate::tickets::owner::Owner;
use crate::tickets::{Change, Ending, MAX_BYTES_PER_CALLER, Sealed, microseconds};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Who does them.
pub struct Steps {
    pub max_live_per_caller: usize,
}

/// A ticket to be issued, and its place among the steps.
struct Issue<'a> {
    place: usize,
    id: String,
    owner: Owner,
    issued_at: i64,
    expires_at: i64,
    sealed: &'a Sealed,
}

/// A ticket to be ended, and its place among the steps.
struct End<'a> {
    place: usize,
    id: TicketId,
    ending: &'a Ending,
}

/// What a caller has.
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
                Some(Change::Issue { id, owner, issued_at, expires_at, sealed }) => issues.push(Issue {
                    place,
                    id: id.to_string(),
                    owner: *owner,
                    issued_at: *issued_at,
                    expires_at: *expires_at,
                    sealed,
                }),
                Some(Change::End { id, ending }) => ends.push(End { place, id: *id, ending }),
                None => {}
            }
        }
        let mut done = vec![false; steps.len()];
        for place in self.issue(work, issues).await? {
            done[place] = true;
        }
        for place in end(work, ends).await? {
            done[place] = true;
        }
        Ok(done)
    }

    /// What is in the database needs not be told.
    fn ended(&self, _steps: &[&Step], _committed: bool) {}
}

impl Steps {
    /// Inserts those for which their callers have room. Returns the places of these.
    async fn issue(&self, work: &mut Work, mut issues: Vec<Issue<'_>>) -> Result<Vec<usize>, Failed> {
        const COLUMNS: usize = 8;
        const INTO: &str = "tickets (id, owner, issued_at, expires_at, details, verifier, bundle, bundle_bytes)";
        if issues.is_empty() {
            return Ok(Vec::new());
        }
        let mut shares = shares(work, &issues).await?;
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

fn bytes(sealed: &Sealed) -> i64 {
    i64::try_from(sealed.size()).unwrap_or(i64::MAX)
}

/// What the callers have, locked: nobody else issues anything to them until the work is done.
async fn shares(work: &mut Work, issues: &[Issue<'_>]) -> Result<BTreeMap<Owner, Share>, Failed> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(lock) FROM unnest($1::bigint[]) AS lock";
    const COUNT: Sql = Sql {
        sqlite: "SELECT owner, count(*) FILTER (WHERE state = 0), CAST(sum(bundle_bytes) AS BIGINT) FROM tickets \
             WHERE owner IN (SELECT value FROM json_each($1)) AND bundle_bytes > 0 GROUP BY owner",
        postgres: "SELECT owner, count(*) FILTER (WHERE state = 0), CAST(sum(bundle_bytes) AS BIGINT) FROM tickets \
             WHERE owner = ANY($1) AND bundle_bytes > 0 GROUP BY owner",
    };
    let owners: BTreeSet<Owner> = issues.iter().map(|issue| issue.owner).collect();
    // SQLite has one writer at a time anyway.
    if work.is_remote() {
        let locks: BTreeSet<i64> = owners.iter().map(|owner| owner.lock()).collect();
        let locks: Vec<i64> = locks.into_iter().collect();
        work.run(LOCK, &[Param::Numbers(&locks)]).await?;
    }
    let by_text: BTreeMap<String, Owner> = owners.into_iter().map(|owner| (owner.to_text(), owner)).collect();
    let texts: Vec<&str> = by_text.keys().map(String::as_str).collect();
    // A statement of its own: it has to see what those did for whose locks the first one waited.
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

/// Ends those that still wait. Returns the places of these.
async fn end(work: &mut Work, mut ends: Vec<End<'_>>) -> Result<Vec<usize>, Failed> {
    // Of several endings of one ticket the first is tried.
    let mut seen = HashSet::new();
    ends.retain(|end| seen.insert(end.id));
    let ids: Vec<String> = ends.iter().map(|end| end.id.to_string()).collect();
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let ended =
        if work.is_remote() { end_together(work, &ends, &ids).await? } else { end_singly(work, &ends, &ids).await? };
    Ok(ends.iter().zip(&ids).filter(|(_, id)| ended.contains(*id)).map(|(end, _)| end.place).collect())
}

/// One statement, which waits for whoever else is about to end one of them, and then finds it ended or not.
async fn end_together(work: &mut Work, ends: &[End<'_>], ids: &[String]) -> Result<HashSet<String>, Failed> {
    const END: &str = "UPDATE tickets SET state = change.state, ended_at = change.at, \
             replay = decode(nullif(change.replay, ''), 'hex'), \
             bundle = CASE WHEN change.replay = '' THEN NULL ELSE bundle END, \
             bundle_bytes = CASE WHEN change.replay = '' THEN 0 ELSE bundle_bytes END \
         FROM (SELECT tickets.id, wanted.state, wanted.at, wanted.replay FROM tickets \
             JOIN unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS wanted (id, state, at, replay) ON wanted.id = tickets.id \
             WHERE tickets.state = 0 ORDER BY tickets.id FOR UPDATE OF tickets) AS change \
         WHERE tickets.id = change.id AND tickets.state = 0 RETURNING tickets.id";
    let states: Vec<i64> = ends.iter().map(|end| state(end.ending)).collect();
    let times: Vec<i64> = ends.iter().map(|end| time(end.ending)).collect();
    let replays: Vec<String> = ends.iter().map(|end| replay(end.ending).map_or(String::new(), hex)).collect();
    let [ids, replays] = [ids, &replays].map(|texts| texts.iter().map(String::as_str).collect::<Vec<_>>());
    let params = [Param::Texts(&ids), Param::Numbers(&states), Param::Numbers(&times), Param::Texts(&replays)];
    work.run(END, &params).await?.iter().map(|row| row.text(0)).collect()
}

/// A statement each: they cost no journey.
async fn end_singly(work: &mut Work, ends: &[End<'_>], ids: &[String]) -> Result<HashSet<String>, Failed> {
    const END: &str = "UPDATE tickets SET state = $2, ended_at = $3, replay = $4, \
             bundle = CASE WHEN $4 IS NULL THEN NULL ELSE bundle END, \
             bundle_bytes = CASE WHEN $4 IS NULL THEN 0 ELSE bundle_bytes END \
         WHERE id = $1 AND state = 0 RETURNING id";
    let mut ended = HashSet::new();
    for (end, id) in ends.iter().zip(ids) {
        let replay = replay(end.ending).map_or(Param::NoBytes, |replay| Param::Bytes(replay));
        let rows = work.run(END, &[id.into(), state(end.ending).into(), time(end.ending).into(), replay]).await?;
        if !rows.is_empty() {
            ended.insert(id.clone());
        }
    }
    Ok(ended)
}

const fn state(ending: &Ending) -> i64 {
    match ending {
        Ending::Redeemed { .. } => REDEEMED,
        Ending::Expired => EXPIRED,
        Ending::Revoked => REVOKED,
    }
}

/// Of what nobody is told a time, none is kept.
fn time(ending: &Ending) -> i64 {
    match ending {
        Ending::Redeemed { at, .. } => microseconds(*at),
        Ending::Expired | Ending::Revoked => 0,
    }
}

const fn replay(ending: &Ending) -> Option<&[u8; 32]> {
    match ending {
        Ending::Redeemed { replay, .. } => replay.as_ref(),
        Ending::Expired | Ending::Revoked => None,
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

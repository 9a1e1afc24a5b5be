//! The table `policy_usage`: filled from the log page by page, and read for the inventory.

use super::event::UsageEvent;
use super::used::{Use, UseKind};
use crate::audit::reader::Reader;
use crate::database::{Database, Failed, Param, Query, Row, Sql};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Events of one statement.
const PAGE: i64 = 1000;
/// Later than this, no event becomes visible behind newer ones on PostgreSQL, where replicas write side by side.
const LATE: SignedDuration = SignedDuration::from_secs(20);
/// How long a use is remembered.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(24 * 400);
/// The maximum number of callers and of repos that are remembered for one secret of a policy.
const MAX_NAMES: i64 = 1000;
/// The policies of one statement.
const POLICIES_AT_ONCE: usize = 1000;
/// The maximum number of secrets whose names are cut in one round.
const CUT_AT_ONCE: i64 = 100;

/// The next events. Redemptions use nothing that was not used before, and are half of the log: their text is not read.
const EVENTS: &str = "SELECT rowid, time, CASE WHEN type IN ('ticket.issued', 'secrets.read', 'ticket.denied', 'ticket.failed') \
     THEN event END FROM audit_events WHERE rowid > ";
const HEAD: &str = "SELECT last_row FROM policy_usage_head";
const SET_HEAD: &str = "UPDATE policy_usage_head SET last_row = $1 WHERE last_row < $1";
const NOTE: Sql = Sql {
    sqlite: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
         SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), \
             json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]') FROM json_each($1) WHERE true \
         ON CONFLICT (policy, store, path, kind, name) DO UPDATE SET last_at = excluded.last_at \
             WHERE policy_usage.last_at < excluded.last_at",
    postgres: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM jsonb_array_elements($1::jsonb) AS uses (value) \
         ON CONFLICT (policy, store, path, kind, name) DO UPDATE SET last_at = excluded.last_at \
             WHERE policy_usage.last_at < excluded.last_at",
};

/// The table cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UsageError(#[from] Failed);

/// How far the log was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// To its end.
    Whole,
    /// More can be counted at once.
    Partly,
    /// What is left is so young that events may still appear among it; it is counted later.
    Settled,
}

/// Fills and reads the table.
#[derive(Debug, Clone)]
pub struct Usage {
    reader: Reader,
}

/// When a policy last matched (the path is empty), or one of its secrets was last read, as RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageTimes {
    /// The policy.
    pub policy: String,
    /// The store, or empty.
    pub store: String,
    /// The path template, or empty.
    pub path: String,
    /// The time.
    pub at: String,
}

/// Who used a secret of a policy, or a policy without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsedBy {
    /// The number of callers.
    pub callers: u64,
    /// The number of repos.
    pub repos: u64,
    /// The repos that were last built, in order of that, at most as many as asked for.
    pub names: Vec<String>,
}

/// By policy, store and path template.
pub type ByKey = BTreeMap<(String, String, String), UsedBy>;

impl Reader {
    /// The table of uses.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage { reader: self.clone() }
    }
}

impl Usage {
    pub(super) fn database(&self) -> &Database {
        &self.reader.database
    }

    /// Counts the events that are not counted yet, a thousand in each page, up to the given number of pages.
    ///
    /// # Errors
    /// When the database fails. What was counted stays counted.
    pub async fn catch_up(
        &self,
        now: Timestamp,
        pages: usize,
        uses: &(dyn Fn(&UsageEvent<'_>) -> Vec<Use> + Sync),
    ) -> Result<Counted, UsageError> {
        let late = if self.database().is_remote() { LATE } else { SignedDuration::ZERO };
        let settled = format!("{:.6}", now.checked_sub(late).unwrap_or(now));
        let head = self.database().read(&Query::new(HEAD)).await?;
        let mut from = head.first().map_or(Ok(0), |row| row.number(0))?;
        let mut is_settled = true;
        for _ in 0..pages {
            let query = Query::new(EVENTS).value(from);
            let rows = self.database().read(&query.then(" ORDER BY rowid LIMIT ").value(PAGE)).await?;
            let mut noted: BTreeMap<Use, String> = BTreeMap::new();
            let mut settled_row = None;
            for row in &rows {
                from = row.number(0)?;
                is_settled &= row.str(1)? <= settled.as_str();
                if is_settled {
                    settled_row = Some(from);
                }
                for (one, time) in uses_of(row, uses)? {
                    let last = noted.entry(one).or_default();
                    if *last < time {
                        *last = time;
                    }
                }
            }
            self.note(&noted, settled_row).await?;
            if i64::try_from(rows.len()).is_ok_and(|rows| rows < PAGE) {
                return Ok(Counted::Whole);
            }
            tokio::task::yield_now().await;
        }
        Ok(if is_settled { Counted::Partly } else { Counted::Settled })
    }

    async fn note(&self, noted: &BTreeMap<Use, String>, settled_row: Option<i64>) -> Result<(), Failed> {
        if noted.is_empty() && settled_row.is_none() {
            return Ok(());
        }
        let mut work = self.database().begin().await?;
        if !noted.is_empty() {
            // In order of their keys, so that replicas lock rows in one order.
            let rows: Vec<[&str; 6]> = noted
                .iter()
                .map(|(one, time)| [&one.policy, &one.store, &one.path, one.kind.as_str(), &one.name, time])
                .collect();
            let json = serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned());
            work.run(NOTE, &[(&json).into()]).await?;
        }
        if let Some(row) = settled_row {
            work.run(SET_HEAD, &[row.into()]).await?;
        }
        work.commit().await
    }

    /// Deletes uses that were long ago, and the oldest names of secrets with very many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), UsageError> {
        const OLD: &str = "DELETE FROM policy_usage WHERE last_at < $1";
        const CROWDED: &str = "SELECT policy, store, path, kind FROM policy_usage WHERE kind IN ('caller', 'repo') \
             GROUP BY policy, store, path, kind HAVING count(*) > $1 LIMIT $2";
        const CUT: &str = "DELETE FROM policy_usage WHERE policy = $1 AND store = $2 AND path = $3 AND kind = $4 AND name NOT IN \
             (SELECT name FROM policy_usage WHERE policy = $1 AND store = $2 AND path = $3 AND kind = $4 \
              ORDER BY last_at DESC, name LIMIT $5)";
        let before = format!("{:.6}", now.checked_sub(REMEMBERED_FOR).unwrap_or(Timestamp::MIN));
        self.database().run(OLD, &[(&before).into()]).await?;
        for row in self.database().run(CROWDED, &[MAX_NAMES.into(), CUT_AT_ONCE.into()]).await? {
            let [policy, store, path, kind] = [row.str(0)?, row.str(1)?, row.str(2)?, row.str(3)?];
            let params: [Param; 5] = [policy.into(), store.into(), path.into(), kind.into(), MAX_NAMES.into()];
            self.database().run(CUT, &params).await?;
        }
        Ok(())
    }

    /// When each of these policies last matched, and each of their secrets was last read. The table holds others, which are gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn times(&self, policies: &[&str]) -> Result<Vec<UsageTimes>, UsageError> {
        let time = |row: Row| -> Result<UsageTimes, UsageError> {
            Ok(UsageTimes { policy: row.text(0)?, store: row.text(1)?, path: row.text(2)?, at: row.text(3)? })
        };
        let mut times = Vec::new();
        for some in policies.chunks(POLICIES_AT_ONCE) {
            let query = "SELECT policy, store, path, last_at FROM policy_usage WHERE kind IN ('matched', 'read')";
            let rows = self.database().read(&self.among(Query::new(query), some)).await?;
            for row in rows {
                times.push(time(row)?);
            }
        }
        Ok(times)
    }

    /// Who used the secrets of these policies since a time, with so many names of repos each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn used_by(&self, policies: &[&str], since: Timestamp, names: i64) -> Result<ByKey, UsageError> {
        let since = format!("{since:.6}");
        let mut found = ByKey::new();
        let counts = "SELECT policy, store, path, kind, count(*) FROM policy_usage WHERE kind IN ('caller', 'repo') AND last_at >= ";
        let counts = self.among(Query::new(counts).value(&since), policies).then(" GROUP BY policy, store, path, kind");
        for row in self.database().read(&counts).await? {
            let used = found.entry((row.text(0)?, row.text(1)?, row.text(2)?)).or_default();
            let count = u64::try_from(row.number(4)?).unwrap_or_default();
            *(if row.str(3)? == UseKind::Caller.as_str() { &mut used.callers } else { &mut used.repos }) = count;
        }
        let ranked = "SELECT policy, store, path, name FROM (SELECT policy, store, path, name, \
             row_number() OVER (PARTITION BY policy, store, path ORDER BY last_at DESC, name) AS nth \
             FROM policy_usage WHERE kind = 'repo' AND last_at >= ";
        let ranked = self.among(Query::new(ranked).value(&since), policies);
        let ranked = ranked.then(") AS ranked WHERE nth <= ").value(names).then(" ORDER BY policy, store, path, nth");
        for row in self.database().read(&ranked).await? {
            found.entry((row.text(0)?, row.text(1)?, row.text(2)?)).or_default().names.push(row.text(3)?);
        }
        Ok(found)
    }

    pub(super) fn among<'a>(&self, query: Query<'a>, policies: &'a [&'a str]) -> Query<'a> {
        if self.database().is_remote() {
            query.then(" AND policy = ANY(").value(Param::Texts(policies)).then(")")
        } else {
            query.then(" AND policy IN (SELECT value FROM json_each(").value(Param::Texts(policies)).then("))")
        }
    }
}

/// The uses of a row's event. Events of other kinds have none.
fn uses_of(row: &Row, uses: &dyn Fn(&UsageEvent<'_>) -> Vec<Use>) -> Result<Vec<(Use, String)>, Failed> {
    let Some(event) = row.str_if_any(2)?.and_then(UsageEvent::read) else { return Ok(Vec::new()) };
    // Databases hold no NUL in a text.
    let clean = |text: String| if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text };
    let used = uses(&event).into_iter();
    Ok(used.map(|one| (Use { name: clean(one.name), ..one }, event.time.clone().into_owned())).collect())
}

//! The table `policy_usage`: filled from the log page by page, and read for the inventory.

use super::name_list::{MAX_NAMES, NameList};
use super::policy_use::{PolicyUse, UseKind};
use super::usage_event::UsageEvent;
use super::usage_parts::UsageParts;
use crate::audit::reader::Reader;
use crate::database::{Database, DatabaseError, Param, Query, Row, Sql};
use crate::model::clock::format_time;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Maximum number of events that one statement reads.
const PAGE_EVENTS: i64 = 1000;
/// Age from which on an event in PostgreSQL is settled: no replica commits an event with a lower row number any more.
const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(20);
/// Maximum number of policies in one statement.
const BATCH_POLICIES: usize = 1000;

/// Selects the next events. The text is NULL for events of other types than [`super::recent_uses`] has.
pub(super) const EVENTS: &str = "SELECT rowid, time, CASE WHEN type IN ('ticket.issued', 'secrets.read', 'ticket.denied', 'ticket.failed') \
     THEN event END FROM audit_events WHERE rowid > ";
const HEAD: &str = "SELECT last_row FROM policy_usage_head";
const SET_HEAD: &str = "UPDATE policy_usage_head SET last_row = $1 WHERE last_row < $1";
const UPSERT: Sql = Sql {
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

/// The table or the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UsageError(#[from] DatabaseError);

/// How far the events of the log were added to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageProgress {
    /// All events were added.
    Complete,
    /// There are more settled events, which can be added at once.
    Partial,
    /// The remaining events are not settled yet: events with lower row numbers may still become visible.
    Unsettled,
}

/// Fills and reads the table.
#[derive(Debug, Clone)]
pub struct UsageTable {
    reader: Reader,
}

/// The time at which a policy last matched (then store and path are empty) or one of its secrets was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The policy.
    pub policy: String,
    /// The store, or empty.
    pub store: String,
    /// The path template, or empty.
    pub path: String,
    /// The time, as RFC 3339.
    pub last_at: String,
}

/// Who used a secret of a policy, or a policy without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageSummary {
    /// The number of callers.
    pub callers: u64,
    /// The number of repos.
    pub repos: u64,
    /// The names of the repos that used it last, newest first.
    pub repo_names: Vec<String>,
}

/// Summaries by policy, store and path template.
pub type UsageByKey = BTreeMap<(String, String, String), UsageSummary>;

impl Reader {
    /// The table `policy_usage`.
    #[must_use]
    pub fn usage(&self) -> UsageTable {
        UsageTable { reader: self.clone() }
    }
}

impl UsageTable {
    pub(super) fn database(&self) -> &Database {
        &self.reader.database
    }

    /// Adds the uses of the events that were not added before, at most `pages` pages of a thousand events. `uses` returns the
    /// uses of an event. Of the callers and repos of one secret, only the last [`MAX_NAMES`] are kept.
    ///
    /// # Errors
    /// When the database fails. Uses that were added before stay in the table.
    pub async fn add_new_events(
        &self,
        now: Timestamp,
        pages: usize,
        uses: &(dyn Fn(&UsageEvent<'_>) -> Vec<PolicyUse> + Sync),
    ) -> Result<UsageProgress, UsageError> {
        let mut written = BTreeSet::new();
        let result = self.add_pages(now, pages, uses, &mut written).await;
        self.delete_excess_names(&written.into_iter().collect::<Vec<_>>()).await;
        Ok(result?)
    }

    /// Adds the uses of at most `pages` pages of events, and the written lists of names to `written`.
    async fn add_pages(
        &self,
        now: Timestamp,
        pages: usize,
        uses: &(dyn Fn(&UsageEvent<'_>) -> Vec<PolicyUse> + Sync),
        written: &mut BTreeSet<NameList>,
    ) -> Result<UsageProgress, DatabaseError> {
        let settle_time = if self.database().is_remote() { SETTLE_TIME } else { SignedDuration::ZERO };
        let settled = format_time(now.checked_sub(settle_time).unwrap_or(now));
        let head = self.database().read(&Query::new(HEAD)).await?;
        let mut from = head.first().map_or(Ok(0), |row| row.number(0))?;
        let recent = self.reader.recent.take_usage_events();
        if (recent.after()..recent.last_row()).contains(&from) {
            self.upsert(&last_times(recent.texts(), uses), Some(recent.last_row()), written).await?;
            from = recent.last_row();
        }
        let mut is_settled = true;
        for _ in 0..pages {
            let query = Query::new(EVENTS).value(from);
            let rows = self.database().read(&query.sql(" ORDER BY rowid LIMIT ").value(PAGE_EVENTS)).await?;
            let mut settled_row = None;
            // The time and text of the last event of each use.
            let mut last_events: HashMap<UsageParts<'_>, (&str, &str)> = HashMap::new();
            for row in &rows {
                let time = row.str(1)?;
                from = row.number(0)?;
                is_settled &= time <= settled.as_str();
                if is_settled {
                    settled_row = Some(from);
                }
                if let Some(text) = row.optional_str(2)? {
                    let last = last_events.entry(UsageParts::of(text)).or_insert((time, text));
                    *last = (*last).max((time, text));
                }
            }
            let texts = last_events.into_values().map(|(_, text)| text);
            self.upsert(&last_times(texts, uses), settled_row, written).await?;
            if i64::try_from(rows.len()).is_ok_and(|rows| rows < PAGE_EVENTS) {
                return Ok(UsageProgress::Complete);
            }
            tokio::task::yield_now().await;
        }
        Ok(if is_settled { UsageProgress::Partial } else { UsageProgress::Unsettled })
    }

    /// Stores the times of uses, and the last row whose events need not be read again. Adds the written lists of names to
    /// `written`.
    async fn upsert(
        &self,
        last_times: &BTreeMap<PolicyUse, String>,
        settled_row: Option<i64>,
        written: &mut BTreeSet<NameList>,
    ) -> Result<(), DatabaseError> {
        if last_times.is_empty() && settled_row.is_none() {
            return Ok(());
        }
        let mut work = self.database().begin().await?;
        if !last_times.is_empty() {
            // Sorted by key, so that all replicas lock the rows in the same order.
            let rows: Vec<[&str; 6]> = last_times
                .iter()
                .map(|(used, time)| {
                    [&used.policy, &used.store, &used.path, used.kind.as_str(), &used.caller_or_repo, time]
                })
                .collect();
            let json = serde_json::to_string(&rows).unwrap_or_else(|_| "[]".to_owned());
            work.run(UPSERT, &[(&json).into()]).await?;
        }
        if let Some(row) = settled_row {
            work.run(SET_HEAD, &[row.into()]).await?;
        }
        work.commit().await?;
        written.extend(last_times.keys().filter_map(NameList::of));
        Ok(())
    }

    /// Returns when each of these policies last matched, and when each of their secrets was last read. The table may have
    /// secrets that are no longer in the policy.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_uses(&self, policies: &[&str]) -> Result<Vec<LastUse>, UsageError> {
        let last_use = |row: Row| -> Result<LastUse, UsageError> {
            Ok(LastUse { policy: row.text(0)?, store: row.text(1)?, path: row.text(2)?, last_at: row.text(3)? })
        };
        let mut last_uses = Vec::new();
        for batch in policies.chunks(BATCH_POLICIES) {
            let query = "SELECT policy, store, path, last_at FROM policy_usage WHERE kind IN ('matched', 'read')";
            let rows = self.database().read(&self.append_policies(Query::new(query), batch)).await?;
            for row in rows {
                last_uses.push(last_use(row)?);
            }
        }
        Ok(last_uses)
    }

    /// Summarises who has used the secrets of these policies since a time, with at most `max_repo_names` names of repos each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn summarise(
        &self,
        policies: &[&str],
        since: Timestamp,
        max_repo_names: i64,
    ) -> Result<UsageByKey, UsageError> {
        let since = format_time(since);
        let mut summaries = UsageByKey::new();
        let counts = "SELECT policy, store, path, kind, count(*) FROM policy_usage WHERE kind IN ('caller', 'repo') AND last_at >= ";
        let counts =
            self.append_policies(Query::new(counts).value(&since), policies).sql(" GROUP BY policy, store, path, kind");
        for row in self.database().read(&counts).await? {
            let summary = summaries.entry((row.text(0)?, row.text(1)?, row.text(2)?)).or_default();
            let is_caller = row.str(3)? == UseKind::Caller.as_str();
            let count = if is_caller { &mut summary.callers } else { &mut summary.repos };
            // There may be more until the next round deletes them.
            *count = u64::try_from(row.number(4)?.min(MAX_NAMES)).unwrap_or_default();
        }
        let ranked = "SELECT policy, store, path, name FROM (SELECT policy, store, path, name, \
             row_number() OVER (PARTITION BY policy, store, path ORDER BY last_at DESC, name) AS nth \
             FROM policy_usage WHERE kind = 'repo' AND last_at >= ";
        let ranked = self.append_policies(Query::new(ranked).value(&since), policies);
        let ranked =
            ranked.sql(") AS ranked WHERE nth <= ").value(max_repo_names).sql(" ORDER BY policy, store, path, nth");
        for row in self.database().read(&ranked).await? {
            let key = (row.text(0)?, row.text(1)?, row.text(2)?);
            summaries.entry(key).or_default().repo_names.push(row.text(3)?);
        }
        Ok(summaries)
    }

    /// Appends the condition that the policy is one of these.
    pub(super) fn append_policies<'a>(&self, query: Query<'a>, policies: &'a [&'a str]) -> Query<'a> {
        if self.database().is_remote() {
            query.sql(" AND policy = ANY(").value(Param::Texts(policies)).sql(")")
        } else {
            query.sql(" AND policy IN (SELECT value FROM json_each(").value(Param::Texts(policies)).sql("))")
        }
    }
}

/// The uses of some events, each with its last time.
fn last_times<'a>(
    texts: impl Iterator<Item = &'a str>,
    uses: &dyn Fn(&UsageEvent<'_>) -> Vec<PolicyUse>,
) -> BTreeMap<PolicyUse, String> {
    let mut last_times: BTreeMap<PolicyUse, String> = BTreeMap::new();
    for (policy_use, time) in texts.flat_map(|text| uses_in_text(text, uses)) {
        let last = last_times.entry(policy_use).or_default();
        if *last < time {
            *last = time;
        }
    }
    last_times
}

/// Returns the uses of an event, with their time. An altered text may have none.
fn uses_in_text(text: &str, uses: &dyn Fn(&UsageEvent<'_>) -> Vec<PolicyUse>) -> Vec<(PolicyUse, String)> {
    let Some(event) = UsageEvent::parse(text) else { return Vec::new() };
    // PostgreSQL cannot store NUL in a text.
    let replace_nul = |text: String| if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text };
    let uses =
        uses(&event).into_iter().map(|used| PolicyUse { caller_or_repo: replace_nul(used.caller_or_repo), ..used });
    uses.map(|used| (used, event.time.clone().into_owned())).collect()
}

//! Deletes the uses of deleted policies after a month. Their number must be bounded, because tenants create and delete policies
//! under any name.

use super::table::{UsageError, UsageTable};
use crate::database::{Database, DatabaseError, Param, Query, Row, Sql};
use crate::model::clock::format_time;
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How long the uses of a deleted policy are kept, because it may have been deleted by mistake and be created again.
const RETENTION: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Maximum number of deleted policies whose uses are kept. Beyond it, the uses of those deleted first are deleted.
const MAX_DELETED_POLICIES: usize = 10_000;
/// Maximum number of policies that one statement reads.
const PAGE_POLICIES: usize = 500;
/// Maximum number of policies whose uses one statement deletes. Each has thousands of rows at most.
const BATCH_POLICIES: usize = 50;

/// The time at which a policy was first found to be deleted, and its name.
type DeletedPolicy = (String, String);

impl UsageTable {
    /// Stores the deletion times of policies that were deleted since the last call. Deletes the uses of policies that were
    /// deleted more than [`RETENTION`] ago and, beyond [`MAX_DELETED_POLICIES`], of those that were deleted first.
    ///
    /// # Errors
    /// When the database fails. Uses that were deleted before stay deleted.
    pub async fn tidy_deleted_policies(
        &self,
        now: Timestamp,
        is_live: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), UsageError> {
        let now_text = format_time(now);
        let oldest_kept = format_time(now.checked_sub(RETENTION).unwrap_or(Timestamp::MIN));
        let mut kept: BinaryHeap<Reverse<DeletedPolicy>> = BinaryHeap::new();
        let mut to_delete: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let names = self.query_policies_after(&after).await?;
            let Some(last) = names.last() else { break };
            after.clone_from(last);
            let deletion_times = self.query_deletion_times(&names).await?;
            let restored: Vec<&str> = deletion_times.keys().map(String::as_str).filter(|name| is_live(name)).collect();
            self.remove_deletion_times(&restored).await?;
            let deleted: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_live(name)).collect();
            self.insert_deletion_times(&deleted, &now_text).await?;
            for name in deleted {
                let since = deletion_times.get(name).unwrap_or(&now_text);
                if *since < oldest_kept {
                    to_delete.push(name.to_owned());
                    continue;
                }
                kept.push(Reverse((since.clone(), name.to_owned())));
                if kept.len() > MAX_DELETED_POLICIES {
                    to_delete.extend(kept.pop().map(|Reverse((_, name))| name));
                }
            }
            if to_delete.len() >= BATCH_POLICIES {
                self.delete_uses(&std::mem::take(&mut to_delete)).await?;
            }
        }
        self.delete_uses(&to_delete).await
    }

    /// The next policies with uses, sorted by name. Each such policy has a row of kind `matched` or `read`.
    async fn query_policies_after(&self, after: &str) -> Result<Vec<String>, DatabaseError> {
        let query = "SELECT policy FROM policy_usage WHERE kind IN ('matched', 'read') AND policy > ";
        let query = Query::new(query).value(after).sql(" GROUP BY policy ORDER BY policy LIMIT ");
        let rows = self.database().read(&query.value(i64::try_from(PAGE_POLICIES).unwrap_or(i64::MAX))).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// The stored deletion times, by name of the policy. A policy that was not deleted at the last call has none.
    async fn query_deletion_times(&self, names: &[String]) -> Result<BTreeMap<String, String>, DatabaseError> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let query = Query::new(
            "SELECT policy, last_at FROM policy_usage WHERE store = '' AND path = '' AND kind = 'gone' AND name = ''",
        );
        let rows = self.database().read(&self.append_policies(query, &names)).await?;
        rows.iter().map(|row: &Row| Ok((row.text(0)?, row.text(1)?))).collect()
    }

    /// Stores `now` as the deletion time of the policies that have none.
    async fn insert_deletion_times(&self, names: &[&str], now: &str) -> Result<(), DatabaseError> {
        const INSERT: Sql = Sql {
            sqlite: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
                 SELECT value, '', '', 'gone', '', $2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
            postgres: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
                 SELECT value, '', '', 'gone', '', $2 FROM unnest($1) AS gone (value) ORDER BY value ON CONFLICT DO NOTHING",
        };
        run_for_policies(self.database(), INSERT, names, Some(now)).await
    }

    async fn remove_deletion_times(&self, names: &[&str]) -> Result<(), DatabaseError> {
        const DELETE: Sql = Sql {
            sqlite: "DELETE FROM policy_usage WHERE store = '' AND path = '' AND kind = 'gone' AND name = '' \
                 AND policy IN (SELECT value FROM json_each($1))",
            postgres: "DELETE FROM policy_usage WHERE store = '' AND path = '' AND kind = 'gone' AND name = '' \
                 AND policy = ANY($1)",
        };
        run_for_policies(self.database(), DELETE, names, None).await
    }

    async fn delete_uses(&self, names: &[String]) -> Result<(), UsageError> {
        const DELETE: Sql = Sql {
            sqlite: "DELETE FROM policy_usage WHERE policy IN (SELECT value FROM json_each($1))",
            postgres: "DELETE FROM policy_usage WHERE policy = ANY($1)",
        };
        for batch in names.chunks(BATCH_POLICIES) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            run_for_policies(self.database(), DELETE, &batch, None).await?;
        }
        Ok(())
    }
}

async fn run_for_policies(
    database: &Database,
    sql: Sql,
    names: &[&str],
    time: Option<&str>,
) -> Result<(), DatabaseError> {
    if names.is_empty() {
        return Ok(());
    }
    let params: Vec<Param<'_>> = [Some(Param::Texts(names)), time.map(Param::from)].into_iter().flatten().collect();
    database.run(sql, &params).await.map(drop)
}

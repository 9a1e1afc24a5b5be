//! Deletes old uses. Of the callers, and of the repos, of one secret of a policy only the last ones are kept.

use super::name_list::{MAX_NAMES, NameList};
use super::table::{UsageError, UsageTable};
use crate::database::{DatabaseError, Param, Query, Sql};
use crate::model::clock::format_time;
use jiff::{SignedDuration, Timestamp};

/// How long a use is kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(24 * 400);
/// Maximum number of rows that one statement deletes.
const MAX_DELETED_ROWS: i64 = 1000;
/// Maximum number of lists that one statement counts. Each has [`MAX_NAMES`] rows, and those of the last round.
const BATCH_LISTS: usize = 100;
/// Number of errors after which a round ends: the database is probably unavailable.
const MAX_ERRORS: usize = 10;

impl UsageTable {
    /// Deletes old uses.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self, now: Timestamp) -> Result<(), UsageError> {
        const DELETE: Sql = Sql {
            sqlite: "DELETE FROM policy_usage WHERE rowid IN (SELECT rowid FROM policy_usage WHERE last_at < $1 LIMIT $2) RETURNING 1",
            postgres: "DELETE FROM policy_usage WHERE ctid = ANY(ARRAY(SELECT ctid FROM policy_usage WHERE last_at < $1 LIMIT $2)) \
                 RETURNING 1::BIGINT",
        };
        let before = format_time(now.checked_sub(RETENTION).unwrap_or(Timestamp::MIN));
        loop {
            let deleted = self.database().run(DELETE, &[(&before).into(), MAX_DELETED_ROWS.into()]).await?;
            if i64::try_from(deleted.len()).is_ok_and(|deleted| deleted < MAX_DELETED_ROWS) {
                return Ok(());
            }
        }
    }

    /// Deletes the names beyond [`MAX_NAMES`] that were used least recently. An error of one list is logged, and the others are
    /// still processed: the list is processed again when a use is added to it.
    pub(super) async fn delete_excess_names(&self, lists: &[NameList]) {
        let mut errors = Vec::new();
        for batch in lists.chunks(BATCH_LISTS) {
            let excess = self.count_excess_names(batch).await.unwrap_or_else(|error| {
                errors.push(error);
                Vec::new()
            });
            for (list, count) in excess {
                errors.extend(self.delete_last_names(list, count).await.err());
                if errors.len() >= MAX_ERRORS {
                    break;
                }
            }
            if errors.len() >= MAX_ERRORS {
                break;
            }
        }
        if let Some(error) = errors.first() {
            tracing::warn!(%error, errors = errors.len(), "old callers or repos of policies could not be deleted");
        }
    }

    /// The lists with more than [`MAX_NAMES`] names, each with the number of those beyond.
    async fn count_excess_names<'a>(&self, lists: &'a [NameList]) -> Result<Vec<(&'a NameList, i64)>, DatabaseError> {
        let keys: Vec<[&str; 4]> = lists.iter().map(NameList::columns).collect();
        let json = serde_json::to_string(&keys).unwrap_or_else(|_| "[]".to_owned());
        let query = if self.database().is_remote() {
            Query::new(
                "SELECT nth, names FROM (SELECT nth - 1 AS nth, (SELECT count(*) FROM policy_usage WHERE policy = value->>0 \
                 AND store = value->>1 AND path = value->>2 AND kind = value->>3) AS names FROM jsonb_array_elements(",
            )
            .value(&json)
            .sql("::jsonb) WITH ORDINALITY AS lists (value, nth)) AS counted WHERE names > ")
        } else {
            Query::new(
                "SELECT nth, names FROM (SELECT key AS nth, (SELECT count(*) FROM policy_usage \
                 WHERE policy = json_extract(value, '$[0]') AND store = json_extract(value, '$[1]') \
                 AND path = json_extract(value, '$[2]') AND kind = json_extract(value, '$[3]')) AS names FROM json_each(",
            )
            .value(&json)
            .sql(")) AS counted WHERE names > ")
        };
        let rows = self.database().read(&query.value(MAX_NAMES)).await?;
        let mut excess = Vec::new();
        for row in rows {
            let list = usize::try_from(row.number(0)?).ok().and_then(|nth| lists.get(nth));
            excess.extend(list.zip(Some(row.number(1)? - MAX_NAMES)));
        }
        Ok(excess)
    }

    /// Deletes `count` names beyond the first [`MAX_NAMES`], in statements of at most [`MAX_DELETED_ROWS`].
    async fn delete_last_names(&self, list: &NameList, count: i64) -> Result<(), DatabaseError> {
        const DELETE: &str = "DELETE FROM policy_usage WHERE policy = $1 AND store = $2 AND path = $3 AND kind = $4 AND name IN \
             (SELECT name FROM policy_usage WHERE policy = $1 AND store = $2 AND path = $3 AND kind = $4 \
              ORDER BY last_at DESC, name LIMIT $5 OFFSET $6)";
        let mut remaining = count;
        while remaining > 0 {
            let [policy, store, path, kind] = list.columns();
            let params: [Param; 6] =
                [policy.into(), store.into(), path.into(), kind.into(), MAX_DELETED_ROWS.into(), MAX_NAMES.into()];
            self.database().run(DELETE, &params).await?;
            remaining -= MAX_DELETED_ROWS;
        }
        Ok(())
    }
}

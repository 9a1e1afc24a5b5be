//! Uses of policies that are gone are forgotten after a while. Tenants make and delete policies, and choose their names.

use super::table::{Usage, UsageError};
use crate::database::{Database, Failed, Param, Query, Row, Sql};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How long the uses of a policy that is gone are kept: it may be a mistake, or come back with another version of the configuration.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);
/// The maximum number of policies that are gone whose uses are kept: of those that went last.
const MAX_GONE: usize = 10_000;
/// Policies in one statement.
const PAGE: usize = 500;
/// Policies whose uses are deleted in one statement. Each has thousands of rows at most.
const DELETED_AT_ONCE: usize = 50;

/// Time of being missed for the first time, and name.
type Gone = (String, String);

impl Usage {
    /// Notes which policies are gone since when, and deletes the uses of those that have been gone for long, or of the first that went
    /// if there are very many.
    ///
    /// # Errors
    /// When the database fails. What was deleted stays deleted.
    pub async fn forget_gone(&self, now: Timestamp, is_live: &(dyn Fn(&str) -> bool + Sync)) -> Result<(), UsageError> {
        let now_text = format!("{now:.6}");
        let long_ago = format!("{:.6}", now.checked_sub(KEPT_FOR).unwrap_or(Timestamp::MIN));
        let mut kept: BinaryHeap<Reverse<Gone>> = BinaryHeap::new();
        let mut forgotten: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let names = self.names_after(&after).await?;
            let Some(last) = names.last() else { break };
            after.clone_from(last);
            let missed = self.missed(&names).await?;
            let back: Vec<&str> = missed.keys().map(String::as_str).filter(|name| is_live(name)).collect();
            self.set_back(&back).await?;
            let gone: Vec<&str> = names.iter().map(String::as_str).filter(|name| !is_live(name)).collect();
            self.set_gone(&gone, &now_text).await?;
            for name in gone {
                let since = missed.get(name).unwrap_or(&now_text);
                if *since < long_ago {
                    forgotten.push(name.to_owned());
                    continue;
                }
                kept.push(Reverse((since.clone(), name.to_owned())));
                if kept.len() > MAX_GONE {
                    forgotten.extend(kept.pop().map(|Reverse((_, name))| name));
                }
            }
            if forgotten.len() >= DELETED_AT_ONCE {
                self.delete(&std::mem::take(&mut forgotten)).await?;
            }
        }
        self.delete(&forgotten).await
    }

    /// The next policies that were used. Each has a row about the last time that it matched.
    async fn names_after(&self, after: &str) -> Result<Vec<String>, Failed> {
        let query = "SELECT policy FROM policy_usage WHERE kind IN ('matched', 'read') AND policy > ";
        let query = Query::new(query).value(after).then(" GROUP BY policy ORDER BY policy LIMIT ");
        let rows = self.database().read(&query.value(i64::try_from(PAGE).unwrap_or(i64::MAX))).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Since when each of these is gone, of those that were missed before.
    async fn missed(&self, names: &[String]) -> Result<BTreeMap<String, String>, Failed> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let query = Query::new(
            "SELECT policy, last_at FROM policy_usage WHERE store = '' AND path = '' AND kind = 'gone' AND name = ''",
        );
        let rows = self.database().read(&self.among(query, &names)).await?;
        rows.iter().map(|row: &Row| Ok((row.text(0)?, row.text(1)?))).collect()
    }

    async fn set_gone(&self, names: &[&str], now: &str) -> Result<(), Failed> {
        const NOTE: Sql = Sql {
            sqlite: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
                 SELECT value, '', '', 'gone', '', $2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
            postgres: "INSERT INTO policy_usage (policy, store, path, kind, name, last_at) \
                 SELECT value, '', '', 'gone', '', $2 FROM unnest($1) AS gone (value) ORDER BY value ON CONFLICT DO NOTHING",
        };
        change(self.database(), NOTE, names, Some(now)).await
    }

    async fn set_back(&self, names: &[&str]) -> Result<(), Failed> {
        const BACK: Sql = Sql {
            sqlite: "DELETE FROM policy_usage WHERE store = '' AND path = '' AND kind = 'gone' AND name = '' \
                 AND policy IN (SELECT value FROM json_each($1))",
            postgres: "DELETE FROM policy_usage WHERE store = '' AND path = '' AND kind = 'gone' AND name = '' \
                 AND policy = ANY($1)",
        };
        change(self.database(), BACK, names, None).await
    }

    async fn delete(&self, names: &[String]) -> Result<(), UsageError> {
        const DELETE: Sql = Sql {
            sqlite: "DELETE FROM policy_usage WHERE policy IN (SELECT value FROM json_each($1))",
            postgres: "DELETE FROM policy_usage WHERE policy = ANY($1)",
        };
        for some in names.chunks(DELETED_AT_ONCE) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            change(self.database(), DELETE, &some, None).await?;
        }
        Ok(())
    }
}

async fn change(database: &Database, sql: Sql, names: &[&str], time: Option<&str>) -> Result<(), Failed> {
    if names.is_empty() {
        return Ok(());
    }
    let params: Vec<Param<'_>> = [Some(Param::Texts(names)), time.map(Param::from)].into_iter().flatten().collect();
    database.run(sql, &params).await.map(drop)
}

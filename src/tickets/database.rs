//! The ticket store in the database: every replica can redeem every ticket. `step_runner` changes tickets.

mod caller_counts;
mod change_statement;
mod look_ups;
mod row_values;
mod sealed_bytes_limit;
mod step_runner;
mod stored_ticket;

use super::caller_limits::{COUNT_RETENTION, CallerLimits};
use super::owner_digest::OwnerDigest;
use super::port::{FinalState, REPLAY_WINDOW, StoredTicket, TicketStore, TicketStoreError};
use super::sealed_bundle::SealedBundle;
use super::ticket::{ListPosition, Ticket, to_microseconds};
use super::ticket_change::TicketChange;
use crate::database::{Database, Param, Row, Sql, Step};
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use crate::model::ticket_limit::TicketLimit;
use async_trait::async_trait;
use jiff::Timestamp;
use look_ups::{LookUps, find_ticket};
use sealed_bytes_limit::SealedBytesLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use step_runner::TicketStepRunner;
use stored_ticket::{decode, unavailable};

const STATE_RETENTION: Duration = Duration::from_hours(1);
/// Maximum total size of unredeemed bundles, in bytes.
const MAX_SEALED_BYTES: usize = 1024 * 1024 * 1024;
/// Maximum number of rows that one statement of `list_overdue` or `tidy` returns or changes.
const MAX_ROWS: i64 = 1000;
/// Maximum number of executions of one statement in one call of `tidy`.
const MAX_EXECUTIONS: usize = 10;

/// While the database has this many ended tickets, the ended tickets of callers with more than [`MANY_ENDED_OF_CALLER`] are kept
/// only for [`SHORT_STATE_RETENTION`].
const MANY_ENDED: i64 = 100_000;
const MANY_ENDED_OF_CALLER: i64 = 1024;
const SHORT_STATE_RETENTION: Duration = Duration::from_mins(5);
/// Minimum time between two checks of the number of ended tickets, which also delete old counts.
const ENDED_CHECK_INTERVAL_SECONDS: u64 = 60;

/// Stores tickets in the database.
pub struct DatabaseTicketStore {
    database: Database,
    /// Only for PostgreSQL.
    look_ups: Option<LookUps>,
    step_runner: Arc<TicketStepRunner>,
    /// Time of the last check of the number of ended tickets, in seconds since 1970.
    last_ended_check: AtomicI64,
}

impl DatabaseTicketStore {
    /// With a maximum number of live tickets for each caller.
    pub fn new(database: Database, max_live_per_caller: usize) -> Self {
        let sealed_bytes = SealedBytesLimit::new(MAX_SEALED_BYTES);
        let step_runner = Arc::new(TicketStepRunner { max_live_per_caller, sealed_bytes });
        let look_ups = database.is_remote().then(|| LookUps::new(database.clone()));
        Self { database, look_ups, step_runner, last_ended_check: AtomicI64::new(i64::MIN) }
    }

    async fn query(&self, sql: impl Into<Sql>, params: &[Param<'_>]) -> Result<Vec<Row>, TicketStoreError> {
        self.database.run(sql, params).await.map_err(unavailable)
    }

    /// Returns the tickets in the first column, without those that cannot be decoded.
    async fn query_tickets(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Ticket>, TicketStoreError> {
        let mut tickets = Vec::new();
        for row in self.query(sql, params).await? {
            tickets.extend(decode(&row.optional_bytes(0).map_err(unavailable)?.unwrap_or_default()));
        }
        Ok(tickets)
    }
}

#[async_trait]
impl TicketStore for DatabaseTicketStore {
    /// Always true: the step checks the limit, and a query before it would cost every request a round trip.
    fn has_room_for(&self, _caller: &Identity) -> bool {
        true
    }

    fn step_to_issue(&self, ticket: &Ticket, sealed: SealedBundle, limits: Option<Arc<CallerLimits>>) -> Step {
        Step::new(self.step_runner.clone(), TicketChange::issue(ticket, sealed, limits))
    }

    async fn has_reached_limit(&self, caller: &Identity, limits: &[TicketLimit]) -> Result<bool, TicketStoreError> {
        let owner = OwnerDigest::from_identity(caller);
        let rows = self.query(caller_counts::SELECT_COUNTS, &[Param::Texts(&[&owner.to_text()])]).await?;
        let counts = caller_counts::read_counts(&rows).map_err(unavailable)?;
        let count =
            |limit: &TicketLimit| counts.get(&(owner.to_text(), limit.policy.to_string())).copied().unwrap_or_default();
        Ok(limits.iter().any(|limit| count(limit) >= i64::from(limit.max)))
    }

    fn step_to_end(&self, id: TicketId, final_state: FinalState) -> Step {
        Step::new(self.step_runner.clone(), TicketChange::End { id, final_state })
    }

    async fn find(&self, id: TicketId) -> Result<Option<StoredTicket>, TicketStoreError> {
        match &self.look_ups {
            Some(look_ups) => look_ups.find(id).await,
            None => find_ticket(&self.database, id).await,
        }
    }

    /// Reads further rows in place of those that cannot be decoded, so fewer tickets than `limit` mean the end of the list.
    async fn list_waiting(
        &self,
        now: Timestamp,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<Ticket>, TicketStoreError> {
        const FIRST_PAGE: &str = "SELECT details, issued_at, id FROM tickets WHERE state = 0 AND expires_at > $1 \
             ORDER BY issued_at DESC, id DESC LIMIT $2";
        const NEXT_PAGE: &str = "SELECT details, issued_at, id FROM tickets WHERE state = 0 AND expires_at > $1 \
             AND (issued_at, id) < ($3, $4) ORDER BY issued_at DESC, id DESC LIMIT $2";
        let (now, max_rows) = (to_microseconds(now), i64::try_from(limit).unwrap_or(i64::MAX));
        let mut after = after.map(|position| (position.issued_at, position.id.to_string()));
        let mut tickets = Vec::new();
        loop {
            let rows = match &after {
                None => self.query(FIRST_PAGE, &[now.into(), max_rows.into()]).await?,
                Some((issued_at, id)) => {
                    self.query(NEXT_PAGE, &[now.into(), max_rows.into(), (*issued_at).into(), id.into()]).await?
                }
            };
            for row in &rows {
                tickets.extend(decode(&row.optional_bytes(0).map_err(unavailable)?.unwrap_or_default()));
            }
            let Some(last) = rows.last().filter(|_| tickets.len() < limit) else { break };
            after = Some((last.number(1).map_err(unavailable)?, last.text(2).map_err(unavailable)?));
        }
        tickets.truncate(limit);
        Ok(tickets)
    }

    async fn list_overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, TicketStoreError> {
        const OVERDUE: &str =
            "SELECT details FROM tickets WHERE state = 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2";
        self.query_tickets(OVERDUE, &[to_microseconds(now).into(), MAX_ROWS.into()]).await
    }

    async fn tidy(&self, now: Timestamp) -> Result<(), TicketStoreError> {
        // `SKIP LOCKED`, so that concurrent replicas do not wait for each other.
        const DELETE_BUNDLES: Sql = Sql {
            sqlite: "UPDATE tickets SET bundle = NULL, bundle_bytes = 0, replay = NULL WHERE id IN (SELECT id FROM tickets \
                 WHERE state = 1 AND bundle_bytes > 0 AND (ended_at <= $1 OR expires_at <= $2) LIMIT $3) RETURNING id",
            postgres: "UPDATE tickets SET bundle = NULL, bundle_bytes = 0, replay = NULL WHERE id IN (SELECT id FROM tickets \
                 WHERE state = 1 AND bundle_bytes > 0 AND (ended_at <= $1 OR expires_at <= $2) LIMIT $3 \
                 FOR UPDATE SKIP LOCKED) RETURNING id",
        };
        const DELETE_ROWS: Sql = Sql {
            sqlite: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 LIMIT $2) RETURNING id",
            postgres: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id",
        };
        // An error of the count is returned only after the deletions.
        let counted = self.count_sealed_bytes().await;
        let time_before_now =
            |duration: Duration| to_microseconds(now.saturating_sub(duration).unwrap_or(Timestamp::MIN)).into();
        self.run_repeatedly(
            DELETE_BUNDLES,
            &[time_before_now(REPLAY_WINDOW), to_microseconds(now).into(), MAX_ROWS.into()],
        )
        .await?;
        self.run_repeatedly(DELETE_ROWS, &[time_before_now(STATE_RETENTION), MAX_ROWS.into()]).await?;
        if now.as_second().abs_diff(self.last_ended_check.load(Ordering::Relaxed)) >= ENDED_CHECK_INTERVAL_SECONDS {
            self.tidy_callers_with_many_ended(now).await?;
            let old_counts = [time_before_now(COUNT_RETENTION), MAX_ROWS.into()];
            self.run_repeatedly(caller_counts::DELETE_OLD_COUNTS, &old_counts).await?;
            self.last_ended_check.store(now.as_second(), Ordering::Relaxed);
        }
        counted
    }

    async fn count_waiting(&self) -> Result<usize, TicketStoreError> {
        let rows = self.query("SELECT count(*) FROM tickets WHERE state = 0", &[]).await?;
        let row = rows.first().ok_or(TicketStoreError)?;
        Ok(usize::try_from(row.number(0).map_err(unavailable)?).unwrap_or_default())
    }

    fn lost_on_exit(&self) -> usize {
        0
    }

    fn state_retention(&self) -> Duration {
        STATE_RETENTION
    }
}

impl DatabaseTicketStore {
    /// Counts the bytes of all unredeemed bundles for the [`SealedBytesLimit`].
    async fn count_sealed_bytes(&self) -> Result<(), TicketStoreError> {
        const COUNT: &str = "SELECT CAST(coalesce(sum(bundle_bytes), 0) AS BIGINT) FROM tickets WHERE bundle_bytes > 0";
        let sealed_bytes = &self.step_runner.sealed_bytes;
        let issued = sealed_bytes.issued_since_count();
        let rows = self.query(COUNT, &[]).await?;
        let counted = rows.first().ok_or(TicketStoreError)?.number(0).map_err(unavailable)?;
        sealed_bytes.set_count(usize::try_from(counted).unwrap_or(usize::MAX), issued);
        Ok(())
    }

    /// If the database has [`MANY_ENDED`] ended tickets, deletes those of callers with more than [`MANY_ENDED_OF_CALLER`],
    /// [`SHORT_STATE_RETENTION`] after their expiry.
    async fn tidy_callers_with_many_ended(&self, now: Timestamp) -> Result<(), TicketStoreError> {
        const COUNT: &str = "SELECT count(*) FROM (SELECT 1 AS one FROM tickets WHERE state <> 0 LIMIT $1) AS few";
        const SELECT_OWNERS: &str =
            "SELECT owner FROM tickets WHERE state <> 0 GROUP BY owner HAVING count(*) > $1 LIMIT 1000";
        const DELETE_ROWS: Sql = Sql {
            sqlite: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 AND owner IN (SELECT value FROM json_each($3)) LIMIT $2) RETURNING id",
            postgres: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 AND owner = ANY($3) LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id",
        };
        let counted = self.database.look_up(COUNT, &[MANY_ENDED.into()]).await.map_err(unavailable)?;
        if counted.first().ok_or(TicketStoreError)?.number(0).map_err(unavailable)? < MANY_ENDED {
            return Ok(());
        }
        let owners = self.database.look_up(SELECT_OWNERS, &[MANY_ENDED_OF_CALLER.into()]).await.map_err(unavailable)?;
        let owners = owners.iter().map(|row| row.str(0)).collect::<Result<Vec<_>, _>>().map_err(unavailable)?;
        let before = now.saturating_sub(SHORT_STATE_RETENTION).unwrap_or(Timestamp::MIN);
        self.run_repeatedly(DELETE_ROWS, &[to_microseconds(before).into(), MAX_ROWS.into(), Param::Texts(&owners)])
            .await
    }

    /// Repeats a statement until it changes fewer than [`MAX_ROWS`] rows, at most [`MAX_EXECUTIONS`] times.
    async fn run_repeatedly(&self, sql: Sql, params: &[Param<'_>]) -> Result<(), TicketStoreError> {
        for _ in 0..MAX_EXECUTIONS {
            let rows = self.query(sql, params).await?.len();
            if i64::try_from(rows).is_ok_and(|rows| rows < MAX_ROWS) {
                break;
            }
        }
        Ok(())
    }
}

//! Tickets in the database: every replica can redeem all of them. `steps` has the changes.

mod counted;
mod sealed_bytes;
mod steps;
mod together;
mod values;

use super::caller_limits::{COUNTED_FOR, CallerLimits};
use super::change::Change;
use super::owner::Owner;
use super::port::{Ending, Found, REPLAYED_FOR, TicketState, TicketStore, Unavailable};
use super::sealed::Sealed;
use super::ticket::{ListPosition, Ticket, from_microseconds, microseconds};
use super::ticket_codec;
use crate::database::{Database, Failed, Param, Row, Sql, Step};
use crate::model::caller::Identity;
use crate::model::ticket::TicketId;
use crate::model::ticket_limit::TicketLimit;
use async_trait::async_trait;
use jiff::Timestamp;
use sealed_bytes::SealedBytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use steps::Steps;
use values::{EXPIRED, REDEEMED, WAITING};

const REMEMBERED_FOR: Duration = Duration::from_hours(1);
/// Maximum total size of unredeemed bundles, in bytes.
const MAX_SEALED_BYTES: usize = 1024 * 1024 * 1024;
/// The limit of `overdue`, and of rows that one statement deletes.
const AT_ONCE: i64 = 1000;
/// Maximum number of delete statements in one clean-up.
const ROUNDS: usize = 10;

/// Above this number of ended tickets, those of callers with many are kept for a shorter time.
const MANY: i64 = 100_000;
const MANY_OF_CALLER: i64 = 1024;
const REMEMBERED_OF_MANY: Duration = Duration::from_mins(5);
/// The interval of checking that, in seconds.
const CHECK_EVERY: u64 = 60;

/// The ticket store in the database.
pub struct InDatabase {
    database: Database,
    steps: Arc<Steps>,
    /// Time of the last such check, in seconds.
    looked: AtomicI64,
}

impl InDatabase {
    /// A limit of live tickets for each caller, and of 1 GiB for all.
    pub fn new(database: Database, max_live_per_caller: usize) -> Self {
        let sealed = SealedBytes::new(MAX_SEALED_BYTES);
        let steps = Arc::new(Steps { max_live_per_caller, sealed });
        Self { database, steps, looked: AtomicI64::new(i64::MIN) }
    }

    async fn ask(&self, sql: impl Into<Sql>, params: &[Param<'_>]) -> Result<Vec<Row>, Unavailable> {
        self.database.run(sql, params).await.map_err(unavailable)
    }

    async fn tickets(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Ticket>, Unavailable> {
        let mut tickets = Vec::new();
        for row in self.ask(sql, params).await? {
            let details = row.bytes_if_any(0).map_err(unavailable)?.unwrap_or_default();
            tickets.extend(decode(&details));
        }
        Ok(tickets)
    }
}

#[async_trait]
impl TicketStore for InDatabase {
    /// The step checks the limit; a query before it would cost every request a round trip.
    fn has_room_for(&self, _caller: &Identity) -> bool {
        true
    }

    fn issuing(&self, ticket: &Ticket, sealed: Sealed, limits: Option<Arc<CallerLimits>>) -> Step {
        Step::new(self.steps.clone(), Change::issue(ticket, sealed, limits))
    }

    async fn has_reached(&self, caller: &Identity, limits: &[TicketLimit]) -> Result<bool, Unavailable> {
        let owner = Owner::of(caller);
        let rows = self.ask(counted::SELECT, &[Param::Texts(&[&owner.to_text()])]).await?;
        let counts = counted::counts(&rows).map_err(unavailable)?;
        let count =
            |limit: &TicketLimit| counts.get(&(owner.to_text(), limit.policy.to_string())).copied().unwrap_or_default();
        Ok(limits.iter().any(|limit| count(limit) >= i64::from(limit.max)))
    }

    fn ending(&self, id: TicketId, ending: Ending) -> Step {
        Step::new(self.steps.clone(), Change::End { id, ending })
    }

    async fn find(&self, id: TicketId) -> Result<Option<Found>, Unavailable> {
        const FIND: &str = "SELECT details, verifier, bundle, state, ended_at, replay FROM tickets WHERE id = $1";
        let rows = self.database.look_up(FIND, &[(&id.to_string()).into()]).await.map_err(unavailable)?;
        Ok(match rows.first() {
            Some(row) => found(id, row).map_err(unavailable)?,
            None => None,
        })
    }

    /// Skips rows that hold no ticket, so fewer tickets than the limit mean the end of the list.
    async fn list(
        &self,
        now: Timestamp,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Result<Vec<Ticket>, Unavailable> {
        const LIST: &str = "SELECT details, issued_at, id FROM tickets WHERE state = 0 AND expires_at > $1 \
             ORDER BY issued_at DESC, id DESC LIMIT $2";
        const OLDER: &str = "SELECT details, issued_at, id FROM tickets WHERE state = 0 AND expires_at > $1 \
             AND (issued_at, id) < ($3, $4) ORDER BY issued_at DESC, id DESC LIMIT $2";
        let (now, most) = (microseconds(now), i64::try_from(limit).unwrap_or(i64::MAX));
        let mut after = after.map(|place| (place.issued_at, place.id.to_string()));
        let mut tickets = Vec::new();
        loop {
            let rows = match &after {
                None => self.ask(LIST, &[now.into(), most.into()]).await?,
                Some((issued_at, id)) => {
                    self.ask(OLDER, &[now.into(), most.into(), (*issued_at).into(), id.into()]).await?
                }
            };
            for row in &rows {
                tickets.extend(decode(&row.bytes_if_any(0).map_err(unavailable)?.unwrap_or_default()));
            }
            let Some(last) = rows.last().filter(|_| tickets.len() < limit) else { break };
            after = Some((last.number(1).map_err(unavailable)?, last.text(2).map_err(unavailable)?));
        }
        tickets.truncate(limit);
        Ok(tickets)
    }

    async fn overdue(&self, now: Timestamp) -> Result<Vec<Ticket>, Unavailable> {
        const OVERDUE: &str =
            "SELECT details FROM tickets WHERE state = 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2";
        self.tickets(OVERDUE, &[microseconds(now).into(), AT_ONCE.into()]).await
    }

    async fn forget(&self, now: Timestamp) -> Result<(), Unavailable> {
        // Concurrent replicas skip each other's rows.
        const BUNDLES: Sql = Sql {
            sqlite: "UPDATE tickets SET bundle = NULL, bundle_bytes = 0, replay = NULL WHERE id IN (SELECT id FROM tickets \
                 WHERE state = 1 AND bundle_bytes > 0 AND (ended_at <= $1 OR expires_at <= $2) LIMIT $3) RETURNING id",
            postgres: "UPDATE tickets SET bundle = NULL, bundle_bytes = 0, replay = NULL WHERE id IN (SELECT id FROM tickets \
                 WHERE state = 1 AND bundle_bytes > 0 AND (ended_at <= $1 OR expires_at <= $2) LIMIT $3 \
                 FOR UPDATE SKIP LOCKED) RETURNING id",
        };
        const ROWS: Sql = Sql {
            sqlite: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 LIMIT $2) RETURNING id",
            postgres: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id",
        };
        // Deletes even if counting fails.
        let counted = self.count_sealed_bytes().await;
        let before = |duration: Duration| microseconds(now.saturating_sub(duration).unwrap_or(Timestamp::MIN)).into();
        self.in_rounds(BUNDLES, &[before(REPLAYED_FOR), microseconds(now).into(), AT_ONCE.into()]).await?;
        self.in_rounds(ROWS, &[before(REMEMBERED_FOR), AT_ONCE.into()]).await?;
        if now.as_second().abs_diff(self.looked.load(Ordering::Relaxed)) >= CHECK_EVERY {
            self.forget_of_many(now).await?;
            self.in_rounds(counted::FORGET, &[before(COUNTED_FOR), AT_ONCE.into()]).await?;
            self.looked.store(now.as_second(), Ordering::Relaxed);
        }
        counted
    }

    async fn waiting(&self) -> Result<usize, Unavailable> {
        let rows = self.ask("SELECT count(*) FROM tickets WHERE state = 0", &[]).await?;
        let row = rows.first().ok_or(Unavailable)?;
        Ok(usize::try_from(row.number(0).map_err(unavailable)?).unwrap_or_default())
    }

    fn lost_on_exit(&self) -> usize {
        0
    }

    fn remembered_for(&self) -> Duration {
        REMEMBERED_FOR
    }
}

impl InDatabase {
    async fn count_sealed_bytes(&self) -> Result<(), Unavailable> {
        const COUNT: &str = "SELECT CAST(coalesce(sum(bundle_bytes), 0) AS BIGINT) FROM tickets WHERE bundle_bytes > 0";
        let sealed = &self.steps.sealed;
        let issued = sealed.issued();
        let rows = self.ask(COUNT, &[]).await?;
        let counted = rows.first().ok_or(Unavailable)?.number(0).map_err(unavailable)?;
        sealed.counted(usize::try_from(counted).unwrap_or(usize::MAX), issued);
        Ok(())
    }

    /// Deletes ended tickets of callers with many early, while the total is high.
    async fn forget_of_many(&self, now: Timestamp) -> Result<(), Unavailable> {
        const MORE: &str = "SELECT count(*) FROM (SELECT 1 AS one FROM tickets WHERE state <> 0 LIMIT $1) AS few";
        const GREEDY: &str =
            "SELECT owner FROM tickets WHERE state <> 0 GROUP BY owner HAVING count(*) > $1 LIMIT 1000";
        const ROWS: Sql = Sql {
            sqlite: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 AND owner IN (SELECT value FROM json_each($3)) LIMIT $2) RETURNING id",
            postgres: "DELETE FROM tickets WHERE id IN (SELECT id FROM tickets WHERE state <> 0 AND expires_at <= $1 \
                 AND owner = ANY($3) LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id",
        };
        let counted = self.database.look_up(MORE, &[MANY.into()]).await.map_err(unavailable)?;
        if counted.first().ok_or(Unavailable)?.number(0).map_err(unavailable)? < MANY {
            return Ok(());
        }
        let owners = self.database.look_up(GREEDY, &[MANY_OF_CALLER.into()]).await.map_err(unavailable)?;
        let owners = owners.iter().map(|row| row.str(0)).collect::<Result<Vec<_>, _>>().map_err(unavailable)?;
        let before = now.saturating_sub(REMEMBERED_OF_MANY).unwrap_or(Timestamp::MIN);
        self.in_rounds(ROWS, &[microseconds(before).into(), AT_ONCE.into(), Param::Texts(&owners)]).await
    }

    /// Repeats the statement until it affects fewer rows than its limit, at most [`ROUNDS`] times.
    async fn in_rounds(&self, sql: Sql, params: &[Param<'_>]) -> Result<(), Unavailable> {
        for _ in 0..ROUNDS {
            let rows = self.ask(sql, params).await?.len();
            if i64::try_from(rows).is_ok_and(|rows| rows < AT_ONCE) {
                break;
            }
        }
        Ok(())
    }
}

/// The ticket of a row. `None` if the row does not hold a ticket of this id.
fn found(id: TicketId, row: &Row) -> Result<Option<Found>, Failed> {
    let details = row.bytes_if_any(0)?.unwrap_or_default();
    let verifier = row.bytes_if_any(1)?.unwrap_or_default();
    let blob = row.bytes_if_any(2)?.unwrap_or_default();
    let at = row.number_if_any(4)?.map_or(Timestamp::MIN, from_microseconds);
    let replay = row.bytes_if_any(5)?.and_then(|replay| replay.try_into().ok());
    let state = match row.number(3)? {
        WAITING => TicketState::Waiting,
        REDEEMED => TicketState::Redeemed { at, replay },
        EXPIRED => TicketState::Expired,
        _ => TicketState::Revoked,
    };
    let (Some(ticket), Ok(verifier)) = (decode(&details).filter(|ticket| ticket.id == id), verifier.try_into()) else {
        tracing::error!(ticket = %id, "a ticket row in the database was modified");
        return Ok(None);
    };
    let sealed = Sealed { verifier, details: details.into(), blob: blob.into() };
    Ok(Some(Found { ticket, sealed, state }))
}

fn decode(details: &[u8]) -> Option<Ticket> {
    ticket_codec::decode(details).ok()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: Failed) -> Unavailable {
    tracing::error!(kind = error.kind(), "tickets are unavailable");
    Unavailable
}

//! Look-ups of tickets on PostgreSQL: those that wait at the same time share a statement, because each statement costs a round trip.
//!
//! A look-up joins only a statement that was not sent yet, so it sees all changes that were committed before it began.

use super::stored_ticket::{read_ticket, unavailable};
use crate::database::{Database, DatabaseError, Param, Row};
use crate::model::ticket::TicketId;
use crate::tickets::port::{StoredTicket, TicketStoreError};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

/// Maximum number of look-ups in one statement.
const MAX_BATCH: usize = 64;
/// Maximum number of statements at the same time. While one waits for a server that does not answer, the other is used.
const MAX_STATEMENTS: usize = 2;
/// Maximum wait for a statement and its result: that for a connection of the pool and the time limit of a statement, together.
const MAX_WAIT: Duration = Duration::from_secs(6);
/// Maximum size of a bundle in the result of a shared statement, in bytes. A ticket with a larger bundle is read by its own
/// statement, so that no look-up waits for another one's bundle, and the size of a result is bounded.
const MAX_SHARED_BUNDLE_BYTES: i64 = 16 * 1024;

/// Selects tickets, without the bundles that are larger than `$2`.
const FIND_MANY: &str = "SELECT details, verifier, CASE WHEN bundle_bytes <= $2 THEN bundle END, state, ended_at, replay, \
     bundle_bytes, id FROM tickets WHERE id = ANY($1)";

/// Look-ups that wait for a statement, and those that share the next one.
pub struct LookUps {
    database: Database,
    waiting: Mutex<Vec<LookUp>>,
    /// One permit for each statement.
    permits: Semaphore,
}

struct LookUp {
    id: TicketId,
    sender: oneshot::Sender<Result<Found, TicketStoreError>>,
}

/// The result of a shared statement for a ticket.
#[derive(Clone)]
enum Found {
    Ticket(Option<Box<StoredTicket>>),
    /// The ticket must be read by its own statement.
    Unshared,
}

impl LookUps {
    pub fn new(database: Database) -> Self {
        Self { database, waiting: Mutex::default(), permits: Semaphore::new(MAX_STATEMENTS) }
    }

    /// Finds a ticket.
    pub async fn find(&self, id: TicketId) -> Result<Option<StoredTicket>, TicketStoreError> {
        let (sender, mut receiver) = oneshot::channel();
        self.waiting().push(LookUp { id, sender });
        let mut expired = pin!(sleep(MAX_WAIT));
        // Whether the running statement of another look-up includes this one.
        let mut is_taken = false;
        // A sender is dropped without a result if the request that runs the statement ends early.
        let found = loop {
            tokio::select! {
                biased;
                result = &mut receiver => break result.unwrap_or(Ok(Found::Unshared))?,
                permit = self.permits.acquire(), if !is_taken => {
                    let _permit = permit.map_err(|_| TicketStoreError)?;
                    // Other look-ups that are ready to begin join this statement.
                    yield_now().await;
                    match receiver.try_recv() {
                        Ok(result) => break result?,
                        Err(TryRecvError::Closed) => break Found::Unshared,
                        Err(TryRecvError::Empty) => is_taken = !self.run_next().await,
                    }
                }
                () = &mut expired => return Err(TicketStoreError),
            }
        };
        match found {
            Found::Ticket(ticket) => Ok(ticket.map(|ticket| *ticket)),
            Found::Unshared => find_ticket(&self.database, id).await,
        }
    }

    /// Runs one statement for the look-ups that have waited longest, and sends them the result. False if none waits.
    async fn run_next(&self) -> bool {
        let batch: Vec<LookUp> = {
            let mut waiting = self.waiting();
            let count = waiting.len().min(MAX_BATCH);
            if count == 0 {
                return false;
            }
            waiting.drain(..count).filter(|look_up| !look_up.sender.is_closed()).collect()
        };
        if batch.is_empty() {
            return true;
        }
        let found = self.find_many(&batch).await.map_err(unavailable);
        for LookUp { id, sender } in batch {
            let result = found.as_ref().map(|found| found.get(&id).cloned().unwrap_or(Found::Ticket(None)));
            // A look-up whose request has ended has no receiver.
            let _ = sender.send(result.map_err(|_| TicketStoreError));
        }
        true
    }

    async fn find_many(&self, batch: &[LookUp]) -> Result<HashMap<TicketId, Found>, DatabaseError> {
        let ids: HashMap<String, TicketId> = batch.iter().map(|look_up| (look_up.id.to_string(), look_up.id)).collect();
        let texts: Vec<&str> = ids.keys().map(String::as_str).collect();
        let params = [Param::Texts(&texts), MAX_SHARED_BUNDLE_BYTES.into()];
        let mut found = HashMap::with_capacity(ids.len());
        for row in self.database.look_up(FIND_MANY, &params).await? {
            if let Some(id) = ids.get(row.str(7)?) {
                found.insert(*id, read_found(*id, &row)?);
            }
        }
        Ok(found)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<LookUp>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_found(id: TicketId, row: &Row) -> Result<Found, DatabaseError> {
    if row.number(6)? > MAX_SHARED_BUNDLE_BYTES {
        return Ok(Found::Unshared);
    }
    Ok(Found::Ticket(read_ticket(id, row)?.map(Box::new)))
}

/// Finds a ticket by its own statement.
pub async fn find_ticket(database: &Database, id: TicketId) -> Result<Option<StoredTicket>, TicketStoreError> {
    const FIND: &str = "SELECT details, verifier, bundle, state, ended_at, replay FROM tickets WHERE id = $1";
    let rows = database.look_up(FIND, &[(&id.to_string()).into()]).await.map_err(unavailable)?;
    Ok(match rows.first() {
        Some(row) => read_ticket(id, row).map_err(unavailable)?,
        None => None,
    })
}

//! Revokes leases at their store until the store confirms it. Failed revocations are listed, and retried without end.

use super::event_recorder::LeaseEventKind;
use super::lease::{ADMINISTRATOR, LeaseState};
use super::manager::LeaseManager;
use super::revocation_request::RevocationRequest;
use crate::database::DatabaseError;
use crate::metrics::labels::RevocationOutcome;
use crate::model::request_id::RequestId;
use crate::sealing::random::jitter;
use crate::stores::port::ReadError;
use std::time::Duration;
use tokio::time::Instant;

/// Number of failed attempts in a row after which a lease is listed as failed.
pub(super) const ATTEMPTS_BEFORE_FAILED: u32 = 6;
/// The pause after the first failed attempt. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The pause after [`ATTEMPTS_BEFORE_FAILED`] or more failed attempts.
const LONG_PAUSE: Duration = Duration::from_mins(5);
/// The pause after the database could not record that a lease is revoked.
const DATABASE_PAUSE: Duration = Duration::from_secs(5);

/// Maximum number of revoked leases that are kept in memory until the database can delete their records.
const MAX_WAITING_FOR_DATABASE: usize = 8192;

/// The result of a request to revoke leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationProgress {
    /// All leases are revoked.
    Done,
    /// The leases are not issued any more, and their revocation is in progress.
    InProgress,
}

impl LeaseManager {
    /// Tries to revoke a claimed lease. Returns when the lease is due again; `None` if it is revoked.
    pub(super) async fn try_revoke(&self, id: &str) -> Option<Instant> {
        let is_revoked_at_store = self.index().get(id)?.is_revoked_at_store;
        if !is_revoked_at_store && !self.revoke_at_store(id).await {
            return self.handle_failed_revocation(id).await;
        }
        self.delete_record(id).await
    }

    /// Calls the store of a claimed lease. Returns whether the store has confirmed the revocation.
    async fn revoke_at_store(&self, id: &str) -> bool {
        let (store, lease_id, is_new, request) = {
            let mut index = self.index();
            let Some(lease) = index.get(id) else { return false };
            let request = lease.revocation_reason.as_ref().and_then(|reason| reason.request.clone());
            (lease.key.store.clone(), lease.store_id.clone(), lease.attempts == 0, request)
        };
        let calling = async {
            let response = match self.sources.get(&store) {
                Some(source) => source.store.revoke(&lease_id, &RequestId::random()).await,
                // Its store is no longer configured.
                None => Err(ReadError::Misconfigured),
            };
            self.leave_store_queue(id);
            response
        };
        let recording = async {
            if is_new && let Err(error) = self.record_start(id, request.as_ref()).await {
                tracing::warn!(kind = error.kind(), "the start of a lease revocation could not be recorded");
            }
        };
        // Concurrently, because leases are revoked also while the database cannot be reached.
        let (response, ()) = tokio::join!(calling, recording);
        if response.is_ok() {
            self.metrics.count_lease_revocation(&store, RevocationOutcome::Ok);
            if let Some(lease) = self.index().get(id) {
                lease.is_revoked_at_store = true;
            }
        }
        response.is_ok()
    }

    /// Deletes the record of a claimed lease that is revoked at its store. Returns when to try again; `None` if it is deleted.
    async fn delete_record(&self, id: &str) -> Option<Instant> {
        if let Err(error) = self.ledger.remove(id).await {
            tracing::warn!(kind = error.kind(), "the end of a lease could not be recorded");
            if self.index().database_queue_len() > MAX_WAITING_FOR_DATABASE {
                // If the record exists, a heartbeat restores the lease, which is then revoked again.
                self.index().remove(id);
                return None;
            }
            return Some(Instant::now() + DATABASE_PAUSE);
        }
        let lease = self.index().remove(id)?;
        let reason = lease.revocation_reason.as_ref().map(|revocation_reason| revocation_reason.reason);
        self.event_recorder.record_eventually(Self::new_event(&lease, LeaseEventKind::Revoked, reason)).await;
        None
    }

    /// Records that a lease is being revoked, so that a process that adopts it goes on.
    async fn record_start(&self, id: &str, request: Option<&RevocationRequest>) -> Result<(), DatabaseError> {
        let sealed = request.and_then(|request| self.record_sealer.seal_request(id, request));
        self.ledger.set_revoking(id, sealed.as_deref()).await
    }

    /// Counts a failed attempt. Returns when the lease is due again.
    async fn handle_failed_revocation(&self, id: &str) -> Option<Instant> {
        let (attempts, event) = {
            let mut index = self.index();
            let lease = index.get(id)?;
            lease.attempts = lease.attempts.saturating_add(1);
            if lease.attempts >= ATTEMPTS_BEFORE_FAILED {
                lease.state = LeaseState::RevocationFailed;
            }
            (lease.attempts, Self::new_event(lease, LeaseEventKind::Failed, Some("revocation_failed")))
        };
        let outcome =
            if attempts == ATTEMPTS_BEFORE_FAILED { RevocationOutcome::GivenUp } else { RevocationOutcome::Failed };
        self.metrics.count_lease_revocation(&event.secret.store, outcome);
        if attempts == ATTEMPTS_BEFORE_FAILED {
            tracing::error!(store = %event.secret.store, lease = %event.id, "a lease could not be revoked");
            if let Err(error) = self.ledger.set_state(id, LeaseState::RevocationFailed.as_str()).await {
                tracing::warn!(kind = error.kind(), "a failed lease revocation could not be recorded");
            }
            self.event_recorder.record_eventually(event).await;
        }
        let pause = if attempts < ATTEMPTS_BEFORE_FAILED {
            FIRST_PAUSE.saturating_mul(1 << (attempts - 1))
        } else {
            LONG_PAUSE
        };
        Some(Instant::now() + pause.mul_f64(jitter(1.0..1.25)))
    }

    /// Revokes a lease for an administrator: at once if it belongs to this process, otherwise by a mark in the database for the
    /// process that has it. `None` if there is no such lease.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(in crate::stores) async fn revoke(
        &self,
        id: &str,
        request: &RevocationRequest,
    ) -> Result<Option<RevocationProgress>, DatabaseError> {
        if self.index().get(id).is_some() {
            let claimed = self.index().claim(id);
            self.begin_revocation(id, ADMINISTRATOR, Some(request.clone()));
            if !claimed {
                return Ok(Some(RevocationProgress::InProgress));
            }
            self.index().clear_urgent(id);
            return Ok(Some(match self.try_revoke(id).await {
                None => RevocationProgress::Done,
                Some(due) => {
                    self.index().release(id, due);
                    self.wake.notify_one();
                    RevocationProgress::InProgress
                }
            }));
        }
        if self.ledger.get(id).await?.is_none() {
            return Ok(None);
        }
        self.record_start(id, Some(request)).await?;
        Ok(Some(RevocationProgress::InProgress))
    }

    /// Revokes all leases of a store, at one path or at all paths.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(in crate::stores) async fn revoke_all(
        &self,
        store: &str,
        path: Option<&str>,
        request: &RevocationRequest,
    ) -> Result<RevocationProgress, DatabaseError> {
        let mut progress = RevocationProgress::Done;
        for id in self.ledger.ids_of_store(store, path).await? {
            if self.revoke(&id, request).await? == Some(RevocationProgress::InProgress) {
                progress = RevocationProgress::InProgress;
            }
        }
        Ok(progress)
    }
}

//! Taking back: a lease is revoked at its store until the store says that it is gone. What resists is shown, and tried
//! again for ever; nothing is forgotten.

use super::held::LeaseState;
use super::manager::LeaseManager;
use super::witness::LeaseEventKind;
use crate::database::Failed;
use crate::metrics::labels::Revocation;
use crate::model::caller::Caller;
use crate::model::request_id::RequestId;
use crate::sealing::random::jitter;
use crate::stores::port::ReadError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After so many tries in a row it is said that a lease cannot be taken back.
pub(super) const TRIES: u32 = 6;
/// The wait after the first try; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The wait after those tries.
const LONG_WAIT: Duration = Duration::from_mins(5);
/// The wait where the database cannot be told that a lease is gone.
const DATABASE_WAIT: Duration = Duration::from_secs(5);

/// What became of an order to take leases back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// They are gone.
    Done,
    /// They are not handed out any more; taking them back goes on.
    GoesOn,
}

impl LeaseManager {
    /// Tries to take back a lease that was claimed, and says when it is due again; none where it is gone.
    pub(super) async fn take_back(&self, id: &str) -> Option<Instant> {
        let (store, handle, is_new) = {
            let mut book = self.book();
            let held = book.get(id)?;
            (held.key.store.clone(), held.handle.clone(), held.attempts == 0)
        };
        if is_new && let Err(error) = self.ledger.set_state(id, LeaseState::Revoking.as_str()).await {
            tracing::warn!(kind = error.kind(), "the start of a lease revocation could not be recorded");
        }
        let answer = match self.sources.get(&store) {
            Some(source) => source.store.revoke(&handle, &RequestId::random()).await,
            // Its store is configured no more.
            None => Err(ReadError::Misconfigured),
        };
        if answer.is_err() {
            return self.resisted(id).await;
        }
        self.metrics.lease_revocation(&store, Revocation::Ok);
        if let Err(error) = self.ledger.remove(id).await {
            tracing::warn!(kind = error.kind(), "the end of a lease could not be recorded");
            return Some(Instant::now() + DATABASE_WAIT);
        }
        let held = self.book().strike(id)?;
        let reason = held.why.as_ref().map(|why| why.reason);
        self.keep(Self::event(&held, LeaseEventKind::Revoked, reason)).await;
        None
    }

    async fn resisted(&self, id: &str) -> Option<Instant> {
        let (attempts, event) = {
            let mut book = self.book();
            let held = book.get(id)?;
            held.attempts = held.attempts.saturating_add(1);
            if held.attempts >= TRIES {
                held.state = LeaseState::RevocationFailed;
            }
            (held.attempts, Self::event(held, LeaseEventKind::Failed, Some("revocation_failed")))
        };
        let outcome = if attempts == TRIES { Revocation::GivenUp } else { Revocation::Failed };
        self.metrics.lease_revocation(&event.secret.store, outcome);
        if attempts == TRIES {
            tracing::error!(store = %event.secret.store, lease = %event.id, "a lease could not be revoked");
            if let Err(error) = self.ledger.set_state(id, LeaseState::RevocationFailed.as_str()).await {
                tracing::warn!(kind = error.kind(), "a failed lease revocation could not be recorded");
            }
            self.keep(event).await;
        }
        let wait = if attempts < TRIES { FIRST_WAIT.saturating_mul(1 << (attempts - 1)) } else { LONG_WAIT };
        Some(Instant::now() + wait.mul_f64(jitter(1.0..1.25)))
    }

    /// An administrator wants a lease back. Tried at once where this process looks after it; else whoever does is told.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(in crate::stores) async fn revoke(&self, id: &str, by: &Arc<Caller>) -> Result<Option<Revoked>, Failed> {
        if self.book().get(id).is_some() {
            let claimed = self.book().claim(id);
            self.retire(id, "administrator", Some(by.clone()));
            if !claimed {
                return Ok(Some(Revoked::GoesOn));
            }
            self.book().calm(id);
            return Ok(Some(match self.take_back(id).await {
                None => Revoked::Done,
                Some(due) => {
                    self.book().release(id, due);
                    self.sooner.notify_one();
                    Revoked::GoesOn
                }
            }));
        }
        if self.ledger.get(id).await?.is_none() {
            return Ok(None);
        }
        self.ledger.set_state(id, LeaseState::Revoking.as_str()).await?;
        Ok(Some(Revoked::GoesOn))
    }

    /// The same for all leases of a store, at one path or at all.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(in crate::stores) async fn revoke_all(
        &self,
        store: &str,
        path: Option<&str>,
        by: &Arc<Caller>,
    ) -> Result<Revoked, Failed> {
        let mut all = Revoked::Done;
        for id in self.ledger.find(store, path).await? {
            if self.revoke(&id, by).await? == Some(Revoked::GoesOn) {
                all = Revoked::GoesOn;
            }
        }
        Ok(all)
    }
}

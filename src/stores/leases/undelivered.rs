//! Secrets that were created after their request had ended. A repeated request of the same caller gets them. Otherwise their
//! lease is revoked, or they are dropped if they have no lease.

use super::lease::LeaseKey;
use super::manager::{LeaseManager, UndeliveredSecrets};
use crate::model::caller::Identity;
use crate::model::secret::Secret;
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an undelivered lease is kept: longer than clients wait between two attempts.
pub(super) const LEASE_RETENTION: Duration = Duration::from_secs(30);
/// How long a secret without a lease is kept. Shorter, because some, such as one-time codes, expire soon.
const UNLEASED_RETENTION: Duration = Duration::from_secs(10);
/// Maximum number of secrets without a lease. Further ones are not kept.
const MAX_UNLEASED: usize = 1024;
/// Maximum number of concurrent creations for one caller: as many as one request reads concurrently.
const MAX_CONCURRENT_CREATIONS: usize = 16;

/// Counts one creation for a caller until it is dropped.
pub(super) struct CreationSlot<'a> {
    manager: &'a LeaseManager,
    caller: Identity,
}

impl LeaseManager {
    /// Keeps an undelivered secret without a lease.
    pub(super) fn keep_undelivered(&self, key: &LeaseKey, secret: &Secret) {
        if key.write.is_some() && key.holder.is_none() {
            // The response to a write is only for the caller that made the call, and this key does not name the caller.
            return;
        }
        let Some(sealed) = self.secret_sealer.seal(&key.path, secret) else { return };
        let mut undelivered = self.undelivered();
        if undelivered.len() < MAX_UNLEASED {
            undelivered.insert(key.clone(), (Instant::now() + UNLEASED_RETENTION, sealed));
        }
    }

    /// Removes and returns the undelivered secret of a key.
    pub(super) fn take_undelivered(&self, key: &LeaseKey) -> Option<Arc<Secret>> {
        let (until, sealed) = self.undelivered().remove(key)?;
        (Instant::now() < until).then(|| self.secret_sealer.open(&key.path, &sealed)).flatten().map(Arc::new)
    }

    /// Drops expired secrets.
    pub(super) fn drop_undelivered(&self) {
        let now = Instant::now();
        self.undelivered().retain(|_, (until, _)| now < *until);
    }

    /// Begins a creation for a caller. `None` at [`MAX_CONCURRENT_CREATIONS`].
    pub(super) fn begin_creation(&self, caller: Identity) -> Option<CreationSlot<'_>> {
        let mut creations = self.lock_creations();
        let count = creations.entry(caller.clone()).or_default();
        if *count >= MAX_CONCURRENT_CREATIONS {
            return None;
        }
        *count += 1;
        Some(CreationSlot { manager: self, caller })
    }

    fn undelivered(&self) -> MutexGuard<'_, UndeliveredSecrets> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_creations(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        self.creations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CreationSlot<'_> {
    fn drop(&mut self) {
        let mut creations = self.manager.lock_creations();
        if let Some(count) = creations.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                creations.remove(&self.caller);
            }
        }
    }
}

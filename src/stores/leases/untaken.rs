//! What was made and is not taken yet: a request may end before what it has asked for is made. A repeat by the same caller
//! takes it; what nobody takes is revoked, or forgotten where it has no lease.

use super::held::Key;
use super::manager::{LeaseManager, Untaken};
use crate::model::caller::Identity;
use crate::model::lease::Lease;
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a lease waits for a repeat: longer than clients wait between two tries.
pub(super) const KEPT: Duration = Duration::from_secs(30);
/// How long what has no lease waits: some of it, such as a one-time code, is soon too old.
const KEPT_WITHOUT_LEASE: Duration = Duration::from_secs(10);
/// The most that waits without a lease. One more is not kept.
const MOST: usize = 1024;
/// The most that is made for one caller at once: as much as one request reads at once.
const MADE_AT_ONCE: usize = 16;

/// Something is being made for a caller until this is dropped.
pub(super) struct Making<'a> {
    manager: &'a LeaseManager,
    caller: Identity,
}

impl LeaseManager {
    /// Keeps what has no lease until somebody takes it.
    pub(super) fn keep_untaken(&self, key: &Key, lease: &Lease) {
        if key.write.is_some() && key.holder.is_none() {
            // The answer to a write is for the caller who asked, whom this key does not tell.
            return;
        }
        let Some(sealed) = self.values.seal(&key.path, lease) else { return };
        let mut untaken = self.untaken();
        if untaken.len() < MOST {
            untaken.insert(key.clone(), (Instant::now() + KEPT_WITHOUT_LEASE, sealed));
        }
    }

    /// What waits for whoever asks with this key.
    pub(super) fn take_untaken(&self, key: &Key) -> Option<Arc<Lease>> {
        let (until, sealed) = self.untaken().remove(key)?;
        (Instant::now() < until).then(|| self.values.open(&key.path, &sealed)).flatten().map(Arc::new)
    }

    /// Forgets what has waited long enough.
    pub(super) fn drop_untaken(&self) {
        let now = Instant::now();
        self.untaken().retain(|_, (until, _)| now < *until);
    }

    /// The permission to have something made for a caller; none where as much is under way as one may have.
    pub(super) fn making(&self, caller: Identity) -> Option<Making<'_>> {
        let mut making = self.under_way();
        let count = making.entry(caller.clone()).or_default();
        if *count >= MADE_AT_ONCE {
            return None;
        }
        *count += 1;
        Some(Making { manager: self, caller })
    }

    fn untaken(&self) -> MutexGuard<'_, Untaken> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut making = self.manager.under_way();
        if let Some(count) = making.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                making.remove(&self.caller);
            }
        }
    }
}

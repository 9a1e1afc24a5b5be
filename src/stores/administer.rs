//! For administrators: lists and ends the leases of all processes and the cached secrets of this process.

use super::leases::{LeaseView, PageStart, RevocationProgress, RevocationRequest};
use super::registry::{OpenedStore, Stores};
use super::store_path::StorePath;
use crate::database::DatabaseError;
use crate::model::caller::{Caller, Identity};
use crate::model::secret_ref::SecretRef;
use std::sync::Arc;

/// What ended: a cached secret or a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedLease {
    /// The cached secret is evicted.
    Evicted(SecretRef),
    /// The lease is revoked, or is being revoked.
    Revoked(RevocationProgress),
}

impl Stores {
    /// A page of leases and cached secrets, newest first.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn list_leases(&self, after: Option<&PageStart>, limit: usize) -> Result<Vec<LeaseView>, DatabaseError> {
        let mut views = match &self.leases {
            Some(leases) => leases.manager.page(after, limit).await?,
            None => Vec::new(),
        };
        views.extend(self.cached_secrets(|view| after.is_none_or(|after| view.position() < *after)));
        views.sort_unstable_by_key(|view| std::cmp::Reverse(view.position()));
        views.truncate(limit);
        Ok(views)
    }

    /// Revokes a lease, or evicts a secret from this process's cache. `None` for an unknown id.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn end_lease(&self, id: &str, request: &RevocationRequest) -> Result<Option<EndedLease>, DatabaseError> {
        if let Some(view) = self.cached_secrets(|view| view.id == id).pop() {
            let secret = SecretRef { store: view.store.as_str().into(), path: view.path };
            self.evict(&secret.store, Some(&secret.path)).await;
            return Ok(Some(EndedLease::Evicted(secret)));
        }
        let Some(leases) = &self.leases else { return Ok(None) };
        Ok(leases.manager.revoke(id, request).await?.map(EndedLease::Revoked))
    }

    /// Revokes the leases of a store and evicts its cached secrets, at one path or at all paths. Returns the evicted secrets,
    /// and whether all these leases are revoked: an error if the database cannot be reached. The secrets are evicted even then.
    pub async fn end_leases(
        &self,
        store: &str,
        path: Option<&str>,
        request: &RevocationRequest,
    ) -> (Vec<SecretRef>, Result<RevocationProgress, DatabaseError>) {
        let evicted = self.evict(store, path).await;
        let revoked = match &self.leases {
            Some(leases) => leases.manager.revoke_all(store, path, request).await,
            None => Ok(RevocationProgress::Done),
        };
        (evicted, revoked)
    }

    /// The pods that hold leases.
    #[must_use]
    pub fn holders(&self) -> Vec<Arc<Caller>> {
        self.leases.as_ref().map(|leases| leases.manager.pods()).unwrap_or_default()
    }

    /// Revokes the leases of a pod that ended.
    pub fn revoke_leases_of(&self, identity: &Identity) {
        if let Some(leases) = &self.leases {
            leases.manager.revoke_leases_of(identity);
        }
    }

    /// Stops maintaining leases. Another process adopts them: see docs/OPERATIONS.md.
    pub async fn stop_leases(&self) {
        if let Some(leases) = &self.leases {
            leases.stop().await;
        }
    }

    /// Evicts the cached secrets of a store, at one path or at all paths. Returns them.
    async fn evict(&self, store: &str, path: Option<&str>) -> Vec<SecretRef> {
        let read_path = path.map(StorePath::try_from);
        if let Some(OpenedStore { cached: Some(cached), .. }) = self.by_name.get(store)
            && let Ok(read_path) = read_path.transpose()
        {
            // First, because a read in progress may return what is to be evicted, and is not cached yet.
            cached.forget_reads(read_path.as_ref()).await;
        }
        let matches = |view: &LeaseView| view.store == store && path.is_none_or(|path| view.path == path);
        let mut evicted = Vec::new();
        for view in self.cached_secrets(matches) {
            if let Some((name, OpenedStore { cached: Some(cached), .. })) = self.by_name.get_key_value(&*view.store)
                && let Ok(path) = StorePath::try_from(view.path.as_str())
            {
                cached.evict(&path).await;
                evicted.push(SecretRef { store: name.clone(), path: view.path });
            }
        }
        evicted
    }

    fn cached_secrets(&self, matches: impl Fn(&LeaseView) -> bool) -> Vec<LeaseView> {
        let Some(ids) = &self.secret_ids else { return Vec::new() };
        let mut views = Vec::new();
        for (store, opened) in &self.by_name {
            let Some(cached) = &opened.cached else { continue };
            cached.for_each_secret(|path, read_at, ttl| {
                let view = ids.view(store, path, read_at, ttl);
                if matches(&view) {
                    views.push(view);
                }
            });
        }
        views
    }
}

//! Reports leases that cannot be renewed, because their pods belong to an authenticator that was renamed or removed.

use super::manager::LeaseManager;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl LeaseManager {
    /// Sets the metric, and logs each missing authenticator once: `reported` has those that were logged.
    pub(super) fn report_unrenewable(&self, reported: &mut BTreeSet<Arc<str>>) {
        let mut by_store: BTreeMap<Arc<str>, usize> = self.sources.keys().map(|store| (store.clone(), 0)).collect();
        let mut by_issuer: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (store, issuer) in self.index().stores_and_issuers().filter(|(_, issuer)| !self.clusters.contains(*issuer))
        {
            if let Some(count) = by_store.get_mut(store) {
                *count += 1;
            }
            *by_issuer.entry(issuer.clone()).or_default() += 1;
        }
        for (store, count) in by_store {
            self.metrics.set_leases_orphaned(&store, count);
        }
        for (issuer, leases) in by_issuer {
            if reported.insert(issuer.clone()) {
                tracing::warn!(
                    authenticator = &*issuer,
                    leases,
                    "leases belong to pods of an authenticator that is not configured; they are not renewed"
                );
            }
        }
    }
}

//! The cache of unverified `PipelineRun`s, by which a run is read once for all its pods.

use super::error::AttestError;
use super::fact_cache::{CachedFact, FactCache, FactState, LookupResult};
use super::sizes::run_bytes;
use crate::cluster::tekton::{PipelineRun, Version};
use crate::cluster::{Cluster, Owner};
use std::sync::Arc;
use tokio::time::Instant;

/// The `PipelineRun`s of one cluster that were read in the last seconds. A clone shares the cache.
#[derive(Clone)]
pub struct SharedRuns {
    name: Arc<str>,
    cluster: Arc<Cluster>,
    cache: Arc<FactCache<PipelineRun>>,
}

impl SharedRuns {
    /// An empty cache. `name` is the authenticator's, for the log.
    pub fn new(name: Arc<str>, cluster: Arc<Cluster>) -> Self {
        let bytes = |run: &PipelineRun| {
            let children: usize = run.children.iter().map(|child| 96 + child.name.len()).sum();
            run_bytes(&run.facts) + children + 256 * run.tasks.len()
        };
        Self { name, cluster, cache: FactCache::new(bytes) }
    }

    /// The run that an object claims as its owner; absent if its uid is not the claimed one. A cached run that was read before
    /// `not_before` is not used.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn find(
        &self,
        version: Version,
        namespace: &str,
        claimed: &Owner,
        not_before: Option<Instant>,
    ) -> LookupResult<PipelineRun> {
        // Name and uid are only claims. The key contains both, so that a false claim does not affect the entry of a true one.
        let key = format!("{version:?}/{namespace}/{}/{}", claimed.name, claimed.uid);
        let lookup = || {
            let (shared, namespace, claimed) = (self.clone(), namespace.to_owned(), claimed.clone());
            async move {
                let started_at = Instant::now();
                let found = shared.cluster.pipeline_run(version, &namespace, &claimed.name).await;
                let found = found.map_err(|error| AttestError::log_unavailable(&shared.name, "run", error))?;
                let run = found.filter(|run| run.uid == claimed.uid);
                Ok(CachedFact::new(run.map_or(FactState::Absent, |run| FactState::Present(Arc::new(run))), started_at))
            }
        };
        self.cache.find_not_before(&key, not_before, lookup).await
    }
}

//! The `PipelineRun`s, read once for all pods of a run.

use super::error::AttestError;
use super::recent::{CachedFact, FactState, LookupResult, Recent};
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
    recent: Arc<Recent<PipelineRun>>,
}

impl SharedRuns {
    /// None is read yet. `name` is the authenticator's, for the log.
    pub fn new(name: Arc<str>, cluster: Arc<Cluster>) -> Self {
        let bytes = |run: &PipelineRun| {
            let children: usize = run.children.iter().map(|child| 96 + child.name.len()).sum();
            run_bytes(&run.facts) + children + 256 * run.tasks.len()
        };
        Self { name, cluster, recent: Recent::new(bytes) }
    }

    /// The run that an object claims as its owner, if its uid is the claimed one. With `from`, it was read then or later.
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn find(
        &self,
        version: Version,
        namespace: &str,
        claimed: &Owner,
        from: Option<Instant>,
    ) -> LookupResult<PipelineRun> {
        // Both name and uid are claims, so that neither alone may hide the run of another claim.
        let key = format!("{version:?}/{namespace}/{}/{}", claimed.name, claimed.uid);
        let lookup = || {
            let (shared, namespace, claimed) = (self.clone(), namespace.to_owned(), claimed.clone());
            async move {
                let began = Instant::now();
                let found = shared.cluster.pipeline_run(version, &namespace, &claimed.name).await;
                let found = found.map_err(|error| AttestError::unavailable(&shared.name, "run", error))?;
                let run = found.filter(|run| run.uid == claimed.uid);
                Ok(CachedFact::new(run.map_or(FactState::Absent, |run| FactState::There(Arc::new(run))), began))
            }
        };
        self.recent.find_from(&key, from, lookup).await
    }
}

//! Stage 2, attestation: a caller becomes facts about its build. They come from the cluster, never from the caller.
//!
//! A fact that does not exist is absent, and policies decide what that means. Attestation fails if a call to the API server
//! fails, or if Tekton has not yet written a needed status.

mod admission;
mod cluster_attestor;
mod error;
mod fact_cache;
mod pipeline_run;
mod shared_runs;
mod sizes;
mod task_order;
mod task_run;

pub use error::AttestError;

use crate::cluster::Clusters;
use crate::config::attestation::AdmissionPolicy;
use crate::config::authenticators::{Authenticator, Kind};
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use cluster_attestor::ClusterAttestor;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The attestors of the authenticators that are clusters, by name. Callers of other authenticators have no facts.
pub struct Attestors(BTreeMap<Arc<str>, ClusterAttestor>);

impl Attestors {
    /// Opens an attestor for every authenticator that is a cluster. A cluster without a client in `clusters` is left out: its
    /// callers cannot be authenticated either.
    #[must_use]
    pub fn open(configured: &[Authenticator], clusters: &Clusters, admission_policy: AdmissionPolicy) -> Self {
        let attestor = |authenticator: &Authenticator| match &authenticator.kind {
            Kind::Kubernetes(kubernetes) => {
                let name = authenticator.name.clone();
                let cluster = clusters.get(kubernetes.kubeconfig.as_deref())?;
                Some((name.clone(), ClusterAttestor::new(name, cluster, admission_policy)))
            }
            Kind::Oidc(_) => None,
        };
        Self(configured.iter().filter_map(attestor).collect())
    }

    /// The names of the authenticators that are clusters.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// Reads the admission policies of all clusters periodically. Returns only if the check of the policy is off.
    pub async fn poll_admission_policies(&self) {
        join_all(self.0.values().map(ClusterAttestor::poll_admission_policy)).await;
    }

    /// Reads the admission policy of each cluster once. For each authenticator, returns the policy's state, or why runs attest
    /// nothing.
    pub async fn check_admission_policies(&self) -> Vec<(Arc<str>, Result<&'static str, String>)> {
        let attestors =
            self.0.iter().map(|(name, attestor)| async { (name.clone(), attestor.check_admission_policy().await) });
        join_all(attestors).await
    }

    /// Whether the caller's pod has ended. False for a caller without a pod or of an authenticator that is not a cluster.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn has_ended(&self, caller: &Caller) -> Result<bool, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(attestor), Some(workload)) => attestor.has_ended(workload).await,
            _ => Ok(false),
        }
    }

    /// The addresses of the caller's pod. Empty if the caller has no pod or the pod has ended.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn addresses(&self, caller: &Caller) -> Result<Vec<IpAddr>, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(attestor), Some(workload)) => attestor.addresses(workload).await,
            _ => Ok(Vec::new()),
        }
    }

    /// The needed facts about a caller.
    ///
    /// # Errors
    /// The call to the API server fails, or Tekton has not yet written a needed status.
    pub async fn facts(&self, caller: &Caller, needs: Needs) -> Result<Facts, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(attestor), Some(workload)) => attestor.facts(workload, needs).await,
            _ => Ok(Facts::default()),
        }
    }
}

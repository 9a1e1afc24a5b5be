//! Stage 2, attestation: a caller becomes facts about its build. They come from the cluster, never from the caller.
//!
//! A fact that does not exist is absent, and policies decide what that means. It is an error if the API server gives no usable
//! answer, or if Tekton has not yet written a needed status.

mod admission;
mod cluster_attestor;
mod error;
mod pipeline_run;
mod recent;
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

/// The attestor of each authenticator that is a cluster. Callers of other authenticators have no facts.
pub struct Attestors(BTreeMap<Arc<str>, ClusterAttestor>);

impl Attestors {
    /// Opens one for every authenticator that is a cluster. One without a client in `clusters` is left out: its callers cannot be
    /// authenticated either.
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

    /// Reads the admission policies of all clusters periodically. Never returns unless they are off.
    pub async fn follow_admission_policies(&self) {
        join_all(self.0.values().map(ClusterAttestor::follow_admission_policy)).await;
    }

    /// Reads the admission policy of each cluster once: its state, or why runs attest nothing there.
    pub async fn check_admission_policies(&self) -> Vec<(Arc<str>, Result<&'static str, String>)> {
        let attestors =
            self.0.iter().map(|(name, attestor)| async { (name.clone(), attestor.admission_policy().await) });
        join_all(attestors).await
    }

    /// Whether the pod of a caller has ended. False for a caller without a pod, or of another authenticator than a cluster.
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn has_ended(&self, caller: &Caller) -> Result<bool, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(attestor), Some(workload)) => attestor.has_ended(workload).await,
            _ => Ok(false),
        }
    }

    /// The addresses of the caller's pod while it runs. A caller without a pod has none.
    ///
    /// # Errors
    /// If the API server gives no usable answer.
    pub async fn addresses(&self, caller: &Caller) -> Result<Vec<IpAddr>, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(attestor), Some(workload)) => attestor.addresses(workload).await,
            _ => Ok(Vec::new()),
        }
    }

    /// The needed facts about a caller.
    ///
    /// # Errors
    /// If the API server gives no usable answer, or Tekton has not yet written a needed status.
    pub async fn facts(&self, caller: &Caller, needs: Needs) -> Result<Facts, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(attestor), Some(workload)) => attestor.facts(workload, needs).await,
            _ => Ok(Facts::default()),
        }
    }
}

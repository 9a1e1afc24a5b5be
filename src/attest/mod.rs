//! 2. What are you building: a caller becomes facts, which are the cluster's word and none of the caller's own.
//!
//! A fact that cannot be had is absent; what that means is for policies to say. There is no verdict where the API server gives
//! no usable answer, and where Tekton has not written yet what it is about to write.

mod error;
mod pipeline_run;
mod recent;
mod task_run;
mod witness;

pub use error::AttestError;

use crate::cluster::Clusters;
use crate::config::authenticators::{Authenticator, Kind};
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use witness::Witness;

/// Who is asked about the callers of each authenticator. Callers of those that are no cluster have no facts.
pub struct Attestors(BTreeMap<Arc<str>, Witness>);

impl Attestors {
    /// For every authenticator that is a cluster. One whose client is not among `clusters` is left out: its callers
    /// cannot be vouched for either.
    #[must_use]
    pub fn open(configured: &[Authenticator], clusters: &Clusters) -> Self {
        let witness = |authenticator: &Authenticator| match &authenticator.kind {
            Kind::Kubernetes(kubernetes) => {
                let name = authenticator.name.clone();
                let cluster = clusters.get(kubernetes.kubeconfig.as_deref())?;
                Some((name.clone(), Witness::new(name, cluster)))
            }
            Kind::Oidc(_) => None,
        };
        Self(configured.iter().filter_map(witness).collect())
    }

    /// The names of the authenticators whose callers have pods that are looked at.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// Whether the pod of a caller is at work no more. Of those who have none, and of clusters that are not asked, nobody
    /// says that they have ended.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn has_ended(&self, caller: &Caller) -> Result<bool, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(witness), Some(workload)) => witness.has_ended(workload).await,
            _ => Ok(false),
        }
    }

    /// The addresses of the caller's pod, as long as that is at work; none where it has no pod.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn addresses(&self, caller: &Caller) -> Result<Vec<IpAddr>, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(witness), Some(workload)) => witness.addresses(workload).await,
            _ => Ok(Vec::new()),
        }
    }

    /// What the cluster says of this caller, as far as it is needed.
    ///
    /// # Errors
    /// When the API server gives no usable answer, or Tekton has not written yet what is needed.
    pub async fn facts(&self, caller: &Caller, needs: Needs) -> Result<Facts, AttestError> {
        match (self.0.get(&caller.issuer), &caller.workload) {
            (Some(witness), Some(workload)) => witness.facts(workload, needs).await,
            _ => Ok(Facts::default()),
        }
    }
}

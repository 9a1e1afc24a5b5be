//! One cluster as a witness: which lookups a caller's facts take, and what is made of them.

use super::AttestError;
use super::pipeline_run::{self, Link};
use super::recent::{Finding, Found, Recent};
use crate::cluster::pod::Pod;
use crate::cluster::{Cluster, ClusterError, Trouble};
use crate::model::caller::Workload;
use crate::model::facts::{Facts, Needs, PipelineRunFacts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// For the pod and both runs together.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks one API server. Its lookups run in tasks of their own, so it is cheap to clone into them.
#[derive(Clone)]
pub struct Witness {
    name: Arc<str>,
    cluster: Arc<Cluster>,
    pods: Arc<Recent<Pod>>,
    runs: Arc<Recent<PipelineRunFacts>>,
}

impl Witness {
    /// For the callers of the authenticator of this name.
    pub fn new(name: Arc<str>, cluster: Arc<Cluster>) -> Self {
        Self { name, cluster, pods: Recent::new(pod_bytes), runs: Recent::new(run_bytes) }
    }

    /// What is needed of the facts. The pod is looked up once, even where both are needed.
    pub async fn facts(&self, workload: &Workload, needs: Needs) -> Result<Facts, AttestError> {
        let mut facts = Facts::default();
        if needs.pipeline_run {
            facts.pipeline_run = self.pipeline_run(workload).await?.fact.map(|run| PipelineRunFacts::clone(&run));
        }
        if needs.pod {
            facts.pod = self.pod(workload).await?.fact.map(|pod| pod.facts.clone());
        }
        Ok(facts)
    }

    /// Whether this pod is gone, done, or about to go.
    pub async fn has_ended(&self, workload: &Workload) -> Result<bool, AttestError> {
        Ok(!self.pod(workload).await?.fact.is_some_and(|pod| pod.is_at_work_as(workload)))
    }

    /// The pod that the token is bound to. One that merely has its name is another.
    async fn pod(&self, workload: &Workload) -> Found<Pod> {
        let lookup = || {
            let (witness, workload) = (self.clone(), workload.clone());
            async move {
                let since = Instant::now();
                let pod = witness.cluster.pod(&workload.namespace, &workload.pod.name).await;
                let pod = pod.map_err(|error| witness.unavailable("pod", error))?;
                Ok(Finding::new(pod.filter(|pod| pod.uid == workload.pod.uid).map(Arc::new), since))
            }
        };
        self.pods.find(&workload.pod.uid, lookup).await
    }

    /// The `PipelineRun` that the pod works for.
    async fn pipeline_run(&self, workload: &Workload) -> Found<PipelineRunFacts> {
        let lookup = || {
            let (witness, workload) = (self.clone(), workload.clone());
            async move {
                let chain = timeout(DEADLINE, witness.pipeline_run_now(&workload)).await;
                chain.unwrap_or_else(|_| Err(witness.unavailable("chain", Trouble::Timeout.into())))
            }
        };
        self.runs.find(&workload.pod.uid, lookup).await
    }

    async fn pipeline_run_now(&self, workload: &Workload) -> Found<PipelineRunFacts> {
        let since = Instant::now();
        let pod = self.pod(workload).await?;
        let verified = match &pod.fact {
            Some(pod) => pipeline_run::verify(&self.cluster, workload, pod).await,
            None => Ok(Err(Link::Pod)),
        };
        let run = match verified.map_err(|error| self.unavailable("run", error))? {
            Ok(facts) => Some(Arc::new(facts)),
            Err(broken) => {
                tracing::debug!(
                    authenticator = &*self.name,
                    pod_uid = %workload.pod.uid,
                    link = broken.as_str(),
                    "the pod works for no PipelineRun that can be verified"
                );
                None
            }
        };
        let mut finding = Finding::new(run, since);
        // It rests on what was known of the pod, and that may be older.
        finding.until = finding.until.min(pod.until);
        Ok(finding)
    }

    fn unavailable(&self, what: &'static str, error: ClusterError) -> AttestError {
        let (authenticator, ClusterError::Unavailable(trouble)) = (&*self.name, error);
        if trouble == Trouble::Credentials {
            tracing::error!(
                authenticator,
                what,
                trouble = trouble.as_str(),
                "the API server refuses the broker's own credentials or their RBAC (get of pods, and of taskruns and \
                 pipelineruns in tekton.dev): policies that attest give nothing"
            );
        } else {
            tracing::warn!(authenticator, what, trouble = trouble.as_str(), "a caller's facts could not be looked up");
        }
        AttestError::Unavailable
    }
}

fn pod_bytes(pod: &Pod) -> usize {
    map_bytes(&pod.facts.labels) + map_bytes(&pod.facts.annotations)
}

fn run_bytes(run: &PipelineRunFacts) -> usize {
    let params: usize = run.params.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    map_bytes(&run.labels) + map_bytes(&run.annotations) + params
}

fn map_bytes(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(key, value)| key.len() + value.len()).sum()
}

//! Attestation by one cluster: looks up the pod, its `TaskRun` and its `PipelineRun`.

use super::admission::Admission;
use super::error::AttestError;
use super::recent::{CachedFact, FactState, LookupResult, Recent};
use super::shared_runs::SharedRuns;
use super::sizes::{pod_bytes, run_bytes, task_run_bytes};
use super::task_run::{Chain, Link};
use super::{pipeline_run, task_run};
use crate::cluster::pod::Pod;
use crate::cluster::tekton::TaskRun;
use crate::cluster::{CallFailure, Cluster, ClusterError};
use crate::config::attestation::AdmissionPolicy;
use crate::model::caller::Workload;
use crate::model::facts::{Facts, Needs, PipelineRunFacts};
use futures_util::future::join;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Time limit for the look-ups of the pod and both runs.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks one API server. Look-ups run in tasks of their own, and a clone shares the caches.
#[derive(Clone)]
pub struct ClusterAttestor {
    name: Arc<str>,
    cluster: Arc<Cluster>,
    pods: Arc<Recent<Pod>>,
    task_runs: Arc<Recent<TaskRun>>,
    runs: Arc<Recent<PipelineRunFacts>>,
    shared_runs: SharedRuns,
    admission: Arc<Admission>,
}

impl ClusterAttestor {
    pub fn new(name: Arc<str>, cluster: Arc<Cluster>, admission_policy: AdmissionPolicy) -> Self {
        let (pods, task_runs, runs) = (Recent::new(pod_bytes), Recent::new(task_run_bytes), Recent::new(run_bytes));
        let shared_runs = SharedRuns::new(name.clone(), cluster.clone());
        let admission = Arc::new(Admission::new(admission_policy));
        Self { name, cluster, pods, task_runs, runs, shared_runs, admission }
    }

    /// The needed facts. Each object is looked up once, even if several facts need it.
    pub async fn facts(&self, workload: &Workload, needs: Needs) -> Result<Facts, AttestError> {
        let mut facts = Facts::default();
        let asks_of_runs = needs.pipeline_run || needs.task_run;
        facts.runs_withheld = asks_of_runs && !self.admission.runs_may_attest()?;
        if needs.pipeline_run && !facts.runs_withheld {
            let run = self.pipeline_run(workload).await?.known()?;
            facts.pipeline_run = run.map(|run| PipelineRunFacts::clone(&run));
        }
        if needs.task_run && !facts.runs_withheld {
            facts.task_run = self.task_run(workload).await?.known()?.map(|run| run.facts.clone());
        }
        if needs.pod {
            facts.pod = self.pod(workload).await?.known()?.map(|pod| pod.facts.clone());
        }
        Ok(facts)
    }

    /// Reads the admission policy periodically. Never returns unless the policy is off.
    pub async fn follow_admission_policy(&self) {
        self.admission.follow(&self.cluster, &self.name).await;
    }

    /// Reads the admission policy once: its state, or why runs attest nothing.
    pub async fn admission_policy(&self) -> Result<&'static str, String> {
        if self.admission.is_disabled() {
            return Ok("off");
        }
        let found = self.admission.refresh(&self.cluster, &self.name).await;
        let word = found.as_ref().map_or("unreadable", |found| found.state.as_str());
        match self.admission.runs_may_attest() {
            Ok(true) => Ok(word),
            _ => Err(format!("{word}, and attestation.admissionPolicy is require")),
        }
    }

    /// Whether this pod is gone, finished, or being deleted.
    pub async fn has_ended(&self, workload: &Workload) -> Result<bool, AttestError> {
        Ok(!self.pod(workload).await?.fact().is_some_and(|pod| pod.is_running_as(workload)))
    }

    /// The addresses of this pod while it runs. Those of an ended pod may belong to another one.
    pub async fn addresses(&self, workload: &Workload) -> Result<Vec<IpAddr>, AttestError> {
        let pod = self.pod(workload).await?.known()?.filter(|pod| pod.is_running_as(workload));
        let ips = pod.iter().flat_map(|pod| &pod.facts.ips);
        Ok(ips.filter_map(|ip| ip.parse().ok()).map(|ip: IpAddr| ip.to_canonical()).collect())
    }

    /// The pod that the token is bound to, by uid.
    async fn pod(&self, workload: &Workload) -> LookupResult<Pod> {
        let lookup = || {
            let (attestor, workload) = (self.clone(), workload.clone());
            async move {
                let since = Instant::now();
                let pod = attestor.cluster.pod(&workload.namespace, &workload.pod.name).await;
                let pod = pod.map_err(|error| attestor.unavailable("pod", error))?;
                let pod = pod.filter(|pod| pod.uid == workload.pod.uid);
                Ok(CachedFact::new(pod.map_or(FactState::Absent, |pod| FactState::There(Arc::new(pod))), since))
            }
        };
        self.pods.find(&workload.pod.uid, lookup).await
    }

    /// The `TaskRun` that Tekton made the pod for.
    async fn task_run(&self, workload: &Workload) -> LookupResult<TaskRun> {
        let lookup = || {
            let (attestor, workload) = (self.clone(), workload.clone());
            async move { attestor.with_deadline(attestor.task_run_now(&workload)).await }
        };
        self.task_runs.find(&workload.pod.uid, lookup).await
    }

    async fn task_run_now(&self, workload: &Workload) -> LookupResult<TaskRun> {
        let since = Instant::now();
        let pod = self.pod(workload).await?;
        let chain = match pod.fact() {
            Some(pod) => task_run::verify(&self.cluster, workload, pod).await,
            None => Ok(Chain::Broken(Link::Pod)),
        };
        self.concluded(workload, chain, since, pod.until)
    }

    /// The `PipelineRun` that the pod works for.
    async fn pipeline_run(&self, workload: &Workload) -> LookupResult<PipelineRunFacts> {
        let lookup = || {
            let (attestor, workload) = (self.clone(), workload.clone());
            async move { attestor.with_deadline(attestor.pipeline_run_now(&workload)).await }
        };
        self.runs.find(&workload.pod.uid, lookup).await
    }

    async fn pipeline_run_now(&self, workload: &Workload) -> LookupResult<PipelineRunFacts> {
        let since = Instant::now();
        // The labels of the pod are only a hint: a wrong one costs a read whose result is not used.
        let pod = self.pod(workload).await?;
        let hint = pod.fact().and_then(|pod| pipeline_run::labelled_run(pod));
        let read_ahead = async {
            if let Some((version, claimed)) = &hint {
                let _ = self.shared_runs.find(*version, &workload.namespace, claimed, None).await;
            }
        };
        let (task_run, ()) = join(self.task_run(workload), read_ahead).await;
        let task_run = task_run?;
        let below = match &task_run.seen {
            FactState::There(below) => below,
            FactState::NotYet => return Ok(task_run.about(FactState::NotYet)),
            FactState::Absent => return Ok(task_run.about(FactState::Absent)),
        };
        let Some((version, claimed)) = pipeline_run::controlling_run(below) else {
            return self.concluded(workload, Ok(Chain::Broken(Link::TaskRunOwner)), since, task_run.until);
        };
        let mut run = self.shared_runs.find(version, &workload.namespace, claimed, None).await?;
        if !run.fact().is_some_and(|run| pipeline_run::lists(run, below)) {
            // It may have been read before Tekton listed this `TaskRun`.
            run = self.shared_runs.find(version, &workload.namespace, claimed, Some(since)).await?;
        }
        let chain = pipeline_run::verify(&self.cluster, &workload.namespace, run.fact(), below).await;
        self.concluded(workload, chain, since, task_run.until.min(run.until))
    }

    async fn with_deadline<V>(&self, chain: impl Future<Output = LookupResult<V>>) -> LookupResult<V> {
        let found = timeout(DEADLINE, chain).await;
        found.unwrap_or_else(|_| Err(self.unavailable("chain", CallFailure::Timeout.into())))
    }

    /// The result of a chain. It is based on the link below, which may have been cached.
    fn concluded<V>(
        &self,
        workload: &Workload,
        chain: Result<Chain<V>, ClusterError>,
        since: Instant,
        believed_until: Instant,
    ) -> LookupResult<V> {
        let (seen, link) = match chain.map_err(|error| self.unavailable("run", error))? {
            Chain::Verified(fact) => (FactState::There(Arc::new(fact)), None),
            Chain::NotYet(link) => (FactState::NotYet, Some(link)),
            Chain::Broken(link) => (FactState::Absent, Some(link)),
        };
        if let Some(link) = link {
            tracing::debug!(
                authenticator = &*self.name,
                pod_uid = %workload.pod.uid,
                link = link.as_str(),
                is_pending = matches!(seen, FactState::NotYet),
                "no verifiable run for the pod"
            );
        }
        let mut finding = CachedFact::new(seen, since);
        finding.until = finding.until.min(believed_until);
        Ok(finding)
    }

    fn unavailable(&self, what: &'static str, error: ClusterError) -> AttestError {
        AttestError::unavailable(&self.name, what, error)
    }
}

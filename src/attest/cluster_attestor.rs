//! Attestation by one cluster: looks up the caller's pod, and the `TaskRun` and `PipelineRun` that the pod belongs to.

use super::admission::Admission;
use super::error::AttestError;
use super::fact_cache::{CachedFact, FactCache, FactState, LookupResult};
use super::shared_runs::SharedRuns;
use super::sizes::{pod_bytes, run_bytes, task_run_bytes};
use super::task_run::{Chain, Link};
use super::{pipeline_run, task_run};
use crate::cluster::pod::Pod;
use crate::cluster::tekton::TaskRun;
use crate::cluster::{CallFailure, Cluster};
use crate::config::attestation::AdmissionPolicy;
use crate::model::caller::Workload;
use crate::model::facts::{Facts, Needs, PipelineRunFacts};
use futures_util::future::join;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Time limit for the look-ups of the pod and of both runs together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks up facts at one API server. A clone shares the caches; look-ups run in their own tasks, each with a clone.
#[derive(Clone)]
pub struct ClusterAttestor {
    name: Arc<str>,
    cluster: Arc<Cluster>,
    pods: Arc<FactCache<Pod>>,
    task_runs: Arc<FactCache<TaskRun>>,
    /// The verified runs, by the uid of the pod that belongs to the run.
    pipeline_runs: Arc<FactCache<PipelineRunFacts>>,
    shared_runs: SharedRuns,
    admission: Arc<Admission>,
}

impl ClusterAttestor {
    pub fn new(name: Arc<str>, cluster: Arc<Cluster>, admission_policy: AdmissionPolicy) -> Self {
        let (pods, task_runs) = (FactCache::new(pod_bytes), FactCache::new(task_run_bytes));
        let pipeline_runs = FactCache::new(run_bytes);
        let shared_runs = SharedRuns::new(name.clone(), cluster.clone());
        let admission = Arc::new(Admission::new(admission_policy));
        Self { name, cluster, pods, task_runs, pipeline_runs, shared_runs, admission }
    }

    /// The needed facts. Each object is looked up once, even if several facts need it.
    pub async fn facts(&self, workload: &Workload, needs: Needs) -> Result<Facts, AttestError> {
        let mut facts = Facts::default();
        let needs_runs = needs.pipeline_run || needs.task_run;
        facts.runs_withheld = needs_runs && !self.admission.runs_may_attest()?;
        if needs.pipeline_run && !facts.runs_withheld {
            let run = self.pipeline_run(workload).await?.into_result()?;
            facts.pipeline_run = run.map(|run| PipelineRunFacts::clone(&run));
        }
        if needs.task_run && !facts.runs_withheld {
            facts.task_run = self.task_run(workload).await?.into_result()?.map(|run| run.facts.clone());
        }
        if needs.pod {
            facts.pod = self.pod(workload).await?.into_result()?.map(|pod| pod.facts.clone());
        }
        Ok(facts)
    }

    /// Reads the admission policy periodically. Returns only if the check of the policy is off.
    pub async fn poll_admission_policy(&self) {
        self.admission.poll(&self.cluster, &self.name).await;
    }

    /// Reads the admission policy once. Returns its state, or why runs attest nothing.
    pub async fn check_admission_policy(&self) -> Result<&'static str, String> {
        if self.admission.is_disabled() {
            return Ok("off");
        }
        let found = self.admission.refresh(&self.cluster, &self.name).await;
        let state = found.as_ref().map_or("unreadable", |found| found.state.as_str());
        match self.admission.runs_may_attest() {
            Ok(true) => Ok(state),
            _ => Err(format!("{state}, and attestation.admissionPolicy is require")),
        }
    }

    /// Whether this pod is gone, replaced, finished, or being deleted.
    pub async fn has_ended(&self, workload: &Workload) -> Result<bool, AttestError> {
        Ok(!self.pod(workload).await?.fact().is_some_and(|pod| pod.is_running_as(workload)))
    }

    /// The addresses of this pod. Empty if the pod has ended, because another pod may have got its addresses.
    pub async fn addresses(&self, workload: &Workload) -> Result<Vec<IpAddr>, AttestError> {
        let pod = self.pod(workload).await?.into_result()?.filter(|pod| pod.is_running_as(workload));
        let ips = pod.iter().flat_map(|pod| &pod.facts.ips);
        Ok(ips.filter_map(|ip| ip.parse().ok()).map(|ip: IpAddr| ip.to_canonical()).collect())
    }

    /// The pod that the token is bound to. Absent if a pod with another uid has its name.
    async fn pod(&self, workload: &Workload) -> LookupResult<Pod> {
        let lookup = || {
            let (attestor, workload) = (self.clone(), workload.clone());
            async move {
                let started_at = Instant::now();
                let pod = attestor.cluster.pod(&workload.namespace, &workload.pod.name).await;
                let pod = pod.map_err(|error| attestor.unavailable("pod", error))?;
                let pod = pod.filter(|pod| pod.uid == workload.pod.uid);
                Ok(CachedFact::new(pod.map_or(FactState::Absent, |pod| FactState::Present(Arc::new(pod))), started_at))
            }
        };
        self.pods.find(&workload.pod.uid, lookup).await
    }

    /// The `TaskRun` that Tekton created the pod for.
    async fn task_run(&self, workload: &Workload) -> LookupResult<TaskRun> {
        let lookup = || {
            let (attestor, workload) = (self.clone(), workload.clone());
            async move { attestor.with_deadline(attestor.look_up_task_run(&workload)).await }
        };
        self.task_runs.find(&workload.pod.uid, lookup).await
    }

    async fn look_up_task_run(&self, workload: &Workload) -> LookupResult<TaskRun> {
        let started_at = Instant::now();
        let pod = self.pod(workload).await?;
        let chain = match pod.fact() {
            Some(pod) => task_run::verify(&self.cluster, workload, pod).await,
            None => Ok(Chain::Broken(Link::Pod)),
        };
        self.cached_fact(workload, chain, started_at, pod.expires_at)
    }

    /// The `PipelineRun` that the pod belongs to.
    async fn pipeline_run(&self, workload: &Workload) -> LookupResult<PipelineRunFacts> {
        let lookup = || {
            let (attestor, workload) = (self.clone(), workload.clone());
            async move { attestor.with_deadline(attestor.look_up_pipeline_run(&workload)).await }
        };
        self.pipeline_runs.find(&workload.pod.uid, lookup).await
    }

    async fn look_up_pipeline_run(&self, workload: &Workload) -> LookupResult<PipelineRunFacts> {
        let started_at = Instant::now();
        // The labels of the pod are only a hint to read a run early. If they are wrong, that run is not used.
        let pod = self.pod(workload).await?;
        let hint = pod.fact().and_then(|pod| pipeline_run::labelled_run(pod));
        let read_ahead = async {
            if let Some((version, claimed)) = &hint {
                let _ = self.shared_runs.find(*version, &workload.namespace, claimed, None).await;
            }
        };
        let (task_run, ()) = join(self.task_run(workload), read_ahead).await;
        let task_run = task_run?;
        let verified = match &task_run.state {
            FactState::Present(verified) => verified,
            FactState::NotYet => return Ok(task_run.with_state(FactState::NotYet)),
            FactState::Absent => return Ok(task_run.with_state(FactState::Absent)),
        };
        let Some((version, claimed)) = pipeline_run::controlling_run(verified) else {
            return self.cached_fact(workload, Ok(Chain::Broken(Link::TaskRunOwner)), started_at, task_run.expires_at);
        };
        let mut run = self.shared_runs.find(version, &workload.namespace, claimed, None).await?;
        if !run.fact().is_some_and(|run| pipeline_run::lists(run, verified)) {
            // The cached run may have been read before Tekton listed this `TaskRun`.
            run = self.shared_runs.find(version, &workload.namespace, claimed, Some(started_at)).await?;
        }
        let chain = pipeline_run::verify(&self.cluster, &workload.namespace, run.fact(), verified).await;
        self.cached_fact(workload, chain, started_at, task_run.expires_at.min(run.expires_at))
    }

    async fn with_deadline<V>(&self, lookup: impl Future<Output = LookupResult<V>>) -> LookupResult<V> {
        let found = timeout(LOOKUP_TIMEOUT, lookup).await;
        found.unwrap_or_else(|_| Err(self.unavailable("chain", CallFailure::Timeout)))
    }

    /// The result of verifying a chain. It expires at `max_expiry` at the latest, which is the expiry of the cached object that it
    /// is based on.
    fn cached_fact<V>(
        &self,
        workload: &Workload,
        chain: Result<Chain<V>, CallFailure>,
        started_at: Instant,
        max_expiry: Instant,
    ) -> LookupResult<V> {
        let (state, link) = match chain.map_err(|error| self.unavailable("run", error))? {
            Chain::Verified(fact) => (FactState::Present(Arc::new(fact)), None),
            Chain::NotYet(link) => (FactState::NotYet, Some(link)),
            Chain::Broken(link) => (FactState::Absent, Some(link)),
        };
        if let Some(link) = link {
            tracing::debug!(
                authenticator = &*self.name,
                pod_uid = %workload.pod.uid,
                link = link.as_str(),
                is_pending = matches!(state, FactState::NotYet),
                "no verifiable run for the pod"
            );
        }
        let mut cached = CachedFact::new(state, started_at);
        cached.expires_at = cached.expires_at.min(max_expiry);
        Ok(cached)
    }

    fn unavailable(&self, object: &'static str, error: CallFailure) -> AttestError {
        AttestError::log_unavailable(&self.name, object, error)
    }
}

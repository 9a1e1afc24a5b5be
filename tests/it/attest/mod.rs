//! Attestation: facts from a real API server that serves Tekton's custom resources.

mod age;
mod forged;
mod lookups;
mod oracle;
mod pending;
mod pods;
mod runs;
mod task_runs;

use crate::rig::kube::User;
use crate::rig::kube::actors::{Kube, PodActor};
use claviger::attest::{AttestError, Attestors};
use claviger::cluster::Clusters;
use claviger::config::attestation::AdmissionPolicy;
use claviger::config::authenticators::{Authenticator, Kind, Kubernetes};
use claviger::metrics::Metrics;
use claviger::model::caller::{Caller, Pod, Workload};
use claviger::model::facts::{Facts, Needs, PipelineRunFacts, PodFacts};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const POD: Needs = Needs::POD;
const PIPELINE_RUN: Needs = Needs::PIPELINE_RUN;
const BOTH: Needs = POD.union(PIPELINE_RUN);

/// The attestors of a broker, with empty caches.
struct TestAttestors(Attestors);

impl TestAttestors {
    /// Uses the broker's own credentials.
    async fn open(kube: &Kube) -> Self {
        Self::with_kubeconfig(kube.plane.kubeconfig(User::Broker)).await
    }

    async fn with_kubeconfig(kubeconfig: PathBuf) -> Self {
        let mut clusters = Clusters::default();
        clusters.connect(Some(&kubeconfig), &Arc::new(Metrics::new(&[], &[]).unwrap())).await.unwrap();
        let kubernetes = Kubernetes {
            audience: "claviger".into(),
            issuer: None,
            kubeconfig: Some(kubeconfig),
            unbound_audience: None,
            cache_ttl: Duration::ZERO,
        };
        let configured = [Authenticator { name: "cluster".into(), kind: Kind::Kubernetes(kubernetes) }];
        Self(Attestors::open(&configured, &clusters, AdmissionPolicy::Off))
    }

    async fn facts(&self, pod: &PodActor, needs: Needs) -> Result<Facts, AttestError> {
        self.0.facts(&caller(pod), needs).await
    }

    async fn pod(&self, pod: &PodActor) -> Option<PodFacts> {
        self.facts(pod, POD).await.expect("an answer").pod
    }

    async fn pipeline_run(&self, pod: &PodActor) -> Option<PipelineRunFacts> {
        self.facts(pod, PIPELINE_RUN).await.expect("an answer").pipeline_run
    }
}

/// The facts about this pod's `PipelineRun`, without caches.
async fn pipeline_run_of(kube: &Kube, pod: &PodActor) -> Option<PipelineRunFacts> {
    TestAttestors::open(kube).await.pipeline_run(pod).await
}

/// The name of the pod's `PipelineRun`; an error while the attestation is pending.
async fn pipeline_run_name(kube: &Kube, pod: &PodActor) -> Result<Option<String>, AttestError> {
    let facts = TestAttestors::open(kube).await.facts(pod, PIPELINE_RUN).await;
    facts.map(|facts| facts.pipeline_run.map(|run| run.name))
}

/// The caller that an authenticator returns for this pod.
fn caller(pod: &PodActor) -> Caller {
    Caller {
        issuer: "cluster".into(),
        subject: format!("system:serviceaccount:{}:{}", pod.namespace, pod.service_account),
        groups: Vec::new(),
        unbound_account: None,
        workload: Some(Workload {
            namespace: pod.namespace.clone(),
            service_account: pod.service_account.clone(),
            pod: Pod { name: pod.name.clone(), uid: pod.uid.clone() },
        }),
        claims: serde_json::Map::new(),
    }
}

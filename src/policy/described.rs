//! A caller described in a request, for explanations and policy tests: the caller and facts that would result if
//! the description were true.

use crate::model::caller::{Caller, Pod, Workload};
use crate::model::facts::{Facts, PipelineRunFacts, PodFacts, TaskRunFacts};
use crate::wire::decision::{DescribedCaller, DescribedPipelineRun, DescribedPod, DescribedTaskRun};

/// A pod if namespace and ServiceAccount are given, else the holder of an OIDC token.
///
/// # Errors
/// Names the missing fields if it is neither.
pub fn caller_as_described(described: DescribedCaller) -> Result<(Caller, Facts), &'static str> {
    let DescribedCaller { issuer, subject, namespace, service_account, groups, pod, task_run, pipeline_run, claims } =
        described;
    let mut facts = Facts {
        pod: None,
        task_run: task_run.map(task_run_facts),
        pipeline_run: pipeline_run.map(run_facts),
        runs_withheld: false,
    };
    let workload = match (namespace, service_account) {
        (Some(namespace), Some(service_account)) => {
            let (pod, pod_facts) = pod.map(pod_facts).unzip();
            facts.pod = pod_facts;
            let pod = pod.unwrap_or(Pod { name: String::new(), uid: String::new() });
            Some(Workload { namespace, service_account, pod })
        }
        (None, None) if issuer.is_some() && pod.is_none() && facts == Facts::default() => None,
        _ => return Err("caller needs namespace and serviceAccount, or issuer and no pod"),
    };
    let subject = subject.or_else(|| {
        let Workload { namespace, service_account, .. } = workload.as_ref()?;
        Some(format!("system:serviceaccount:{namespace}:{service_account}"))
    });
    let (issuer, subject) = (issuer.unwrap_or_default().into(), subject.unwrap_or_default());
    Ok((Caller { issuer, subject, groups, workload, claims }, facts))
}

fn pod_facts(pod: DescribedPod) -> (Pod, PodFacts) {
    let DescribedPod { name, uid, ip, mut ips, node, labels, annotations } = pod;
    if ips.is_empty() {
        ips.extend(ip.clone());
    }
    (Pod { name, uid }, PodFacts { ip, ips, node, labels, annotations })
}

fn task_run_facts(run: DescribedTaskRun) -> TaskRunFacts {
    let DescribedTaskRun { name, labels, params } = run;
    TaskRunFacts { name, labels, params }
}

fn run_facts(run: DescribedPipelineRun) -> PipelineRunFacts {
    let DescribedPipelineRun { name, labels, annotations, params } = run;
    PipelineRunFacts { name, labels, annotations, params }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::decode;
    use serde_json::{Value, json};

    fn of(caller: Value) -> Option<(Caller, Facts)> {
        caller_as_described(decode(caller).expect("well-formed")).ok()
    }

    #[test]
    fn a_pod_has_a_place_and_facts_and_a_bearer_claims() {
        let (pod, facts) = of(json!({
            "namespace": "ci", "serviceAccount": "build-bot",
            "pod": {"name": "b", "uid": "u", "labels": {"a": "b"}}, "pipelineRun": {"params": {"repo": "site"}},
            "taskRun": {"name": "t", "params": {"step": "fetch"}},
        }))
        .expect("a pod");
        assert_eq!(
            facts.task_run.map(|run| (run.name, run.params["step"].clone())),
            Some(("t".into(), json!("fetch")))
        );
        assert_eq!(pod.subject, "system:serviceaccount:ci:build-bot");
        assert_eq!(pod.workload.map(|workload| workload.pod.uid).as_deref(), Some("u"));
        assert_eq!(facts.pod.map(|pod| pod.labels["a"].clone()).as_deref(), Some("b"));
        assert_eq!(facts.pipeline_run.map(|run| run.params["repo"].clone()), Some(json!("site")));

        let (bearer, facts) = of(json!({"issuer": "github", "claims": {"sub": "x"}})).expect("a bearer");
        assert_eq!((&*bearer.issuer, bearer.workload, facts), ("github", None, Facts::default()));
        assert_eq!(bearer.claims["sub"], "x");
    }

    #[test]
    fn half_a_pod_is_nobody() {
        for caller in [
            json!({}),
            json!({"subject": "x"}),
            json!({"namespace": "ci"}),
            json!({"serviceAccount": "build-bot", "issuer": "cluster"}),
            json!({"issuer": "github", "pod": {"name": "b"}}),
            json!({"issuer": "github", "pipelineRun": {}}),
            json!({"issuer": "github", "taskRun": {}}),
        ] {
            assert!(of(caller.clone()).is_none(), "{caller}");
        }
    }
}

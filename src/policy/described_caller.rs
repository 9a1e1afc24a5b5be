//! Converts the description of a caller, from an explanation request or a policy test, into a caller and its facts.

use crate::model::caller::{Caller, Pod, ServiceAccount, Workload};
use crate::model::facts::{Facts, PipelineRunFacts, PodFacts, TaskRunFacts};
use crate::wire::decision::{DescribedCaller, DescribedPipelineRun, DescribedPod, DescribedTaskRun};

/// Returns the caller and the facts that would result if the description were true. With a namespace and ServiceAccount the
/// caller is a pod, or with `bound: none` a ServiceAccount without a pod; otherwise it has an OIDC token.
///
/// # Errors
/// The fields that are missing or contradict each other.
pub fn caller_from_description(described: DescribedCaller) -> Result<(Caller, Facts), &'static str> {
    let DescribedCaller {
        issuer,
        subject,
        namespace,
        service_account,
        bound,
        groups,
        pod,
        task_run,
        pipeline_run,
        claims,
    } = described;
    let mut facts = Facts {
        pod: None,
        task_run: task_run.map(task_run_facts),
        pipeline_run: pipeline_run.map(pipeline_run_facts),
        runs_withheld: false,
    };
    let is_unbound = match bound.as_deref() {
        None | Some("pod") => false,
        Some("none") if pod.is_none() && facts == Facts::default() => true,
        Some("none") => return Err("caller with bound: none has no pod, taskRun or pipelineRun"),
        Some(_) => return Err("caller.bound must be pod or none"),
    };
    let mut unbound_account = None;
    let workload = match (namespace, service_account) {
        (Some(namespace), Some(name)) if is_unbound => {
            unbound_account = Some(ServiceAccount { namespace, name });
            None
        }
        (Some(namespace), Some(service_account)) => {
            let (pod, pod_facts) = pod.map(pod_facts).unzip();
            facts.pod = pod_facts;
            let pod = pod.unwrap_or(Pod { name: String::new(), uid: String::new() });
            Some(Workload { namespace, service_account, pod })
        }
        (None, None) if issuer.is_some() && bound.is_none() && pod.is_none() && facts == Facts::default() => None,
        _ => return Err("caller needs namespace and serviceAccount, or issuer and no pod"),
    };
    let issuer = issuer.unwrap_or_default().into();
    let mut caller = Caller { issuer, subject: subject.unwrap_or_default(), groups, workload, unbound_account, claims };
    if caller.subject.is_empty()
        && let Some((namespace, name)) = caller.service_account()
    {
        caller.subject = format!("system:serviceaccount:{namespace}:{name}");
    }
    Ok((caller, facts))
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

fn pipeline_run_facts(run: DescribedPipelineRun) -> PipelineRunFacts {
    let DescribedPipelineRun { name, labels, annotations, params } = run;
    PipelineRunFacts { name, labels, annotations, params }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::decode;
    use serde_json::{Value, json};

    fn parse(caller: Value) -> Option<(Caller, Facts)> {
        caller_from_description(decode(caller).expect("well-formed")).ok()
    }

    #[test]
    fn a_pod_has_facts_and_an_oidc_caller_has_claims() {
        let (pod, facts) = parse(json!({
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

        let (oidc_caller, facts) = parse(json!({"issuer": "github", "claims": {"sub": "x"}})).expect("an OIDC caller");
        assert_eq!((&*oidc_caller.issuer, oidc_caller.workload, facts), ("github", None, Facts::default()));
        assert_eq!(oidc_caller.claims["sub"], "x");
    }

    #[test]
    fn bound_none_describes_a_service_account_without_a_pod() {
        let (caller, facts) =
            parse(json!({"namespace": "ci", "serviceAccount": "build-bot", "bound": "none"})).expect("a caller");
        assert_eq!((caller.workload.as_ref(), caller.service_account()), (None, Some(("ci", "build-bot"))));
        assert_eq!((caller.subject.as_str(), facts), ("system:serviceaccount:ci:build-bot", Facts::default()));
        let (caller, _) = parse(json!({"namespace": "ci", "serviceAccount": "b", "bound": "pod"})).expect("a caller");
        assert!(caller.workload.is_some() && caller.unbound_account.is_none());
    }

    #[test]
    fn incomplete_or_contradictory_descriptions_are_refused() {
        for caller in [
            json!({}),
            json!({"subject": "x"}),
            json!({"namespace": "ci"}),
            json!({"serviceAccount": "build-bot", "issuer": "cluster"}),
            json!({"issuer": "github", "pod": {"name": "b"}}),
            json!({"issuer": "github", "pipelineRun": {}}),
            json!({"issuer": "github", "taskRun": {}}),
            json!({"issuer": "github", "bound": "none"}),
            json!({"namespace": "ci", "serviceAccount": "b", "bound": "any"}),
            json!({"namespace": "ci", "serviceAccount": "b", "bound": "none", "pod": {"name": "b"}}),
            json!({"namespace": "ci", "serviceAccount": "b", "bound": "none", "pipelineRun": {}}),
        ] {
            assert!(parse(caller.clone()).is_none(), "{caller}");
        }
    }
}

//! CEL: no expression panics, gives different results for the same inputs, or uses facts that it did not declare.
#![no_main]

use claviger::model::caller::{Caller, Pod, Workload};
use claviger::model::facts::{Facts, PipelineRunFacts, PodFacts, TaskRunFacts};
use claviger::model::request::UnverifiedRequest;
use claviger::policy::fuzzing::cel;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

static STAGE: LazyLock<(Caller, Facts, UnverifiedRequest)> = LazyLock::new(stage);

fuzz_target!(|source: &str| {
    let (caller, facts, asked) = &*STAGE;
    let Some((needs, said)) = cel(source, caller, facts, asked) else { return };
    assert_eq!(cel(source, caller, facts, asked), Some((needs, said.clone())), "{source}");
    assert!(said.as_ref().map_or(0, String::len) <= 4 << 20, "{source}");
    // Facts that it does not need are not looked up, so their absence must not change the result.
    let fewer = Facts {
        pod: facts.pod.clone().filter(|_| needs.pod),
        task_run: facts.task_run.clone().filter(|_| needs.task_run),
        pipeline_run: facts.pipeline_run.clone().filter(|_| needs.pipeline_run),
        runs_withheld: facts.runs_withheld,
    };
    assert_eq!(cel(source, caller, &fewer, asked), Some((needs, said)), "{source}");
});

fn stage() -> (Caller, Facts, UnverifiedRequest) {
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let Value::Object(claims) = json!({"sub": "me", "ref": "refs/heads/main", "n": 17, "f": 1.5, "yes": true,
        "none": null, "list": ["a", 1, null], "map": {"inner": {"deep": "x"}}})
    else {
        unreachable!()
    };
    let caller = Caller {
        issuer: "cluster".into(),
        subject: "system:serviceaccount:ci:build-bot".into(),
        groups: vec!["system:authenticated".into()],
        unbound_account: None,
        workload: Some(Workload {
            namespace: "ci".into(),
            service_account: "build-bot".into(),
            pod: Pod { name: "build-1".into(), uid: "u-1".into() },
        }),
        claims,
    };
    let Value::Object(params) = json!({"repo": "acme/site", "list": ["a", "b"], "map": {"k": "v"}}) else {
        unreachable!()
    };
    let facts = Facts {
        pod: Some(PodFacts {
            ip: Some("10.0.0.9".into()),
            ips: vec!["10.0.0.9".into(), "fd00::9".into()],
            node: None,
            labels: texts(&[("app", "site")]),
            annotations: texts(&[("branch", "feature/x")]),
        }),
        task_run: Some(TaskRunFacts {
            name: "task-1".into(),
            labels: texts(&[("task", "fetch")]),
            params: [("repo".to_owned(), "acme/shop".into())].into_iter().collect(),
        }),
        pipeline_run: Some(PipelineRunFacts {
            name: "run-1".into(),
            labels: texts(&[("org", "acme")]),
            annotations: texts(&[("sha", "abc")]),
            params: params.into_iter().collect(),
        }),
        runs_withheld: false,
    };
    let asked = UnverifiedRequest {
        repo: Some("acme/site".try_into().expect("a repo")),
        branch: Some("main".try_into().expect("a branch")),
        source_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        time: "2026-11-20T14:05:00Z".parse().expect("a time"),
    };
    (caller, facts, asked)
}

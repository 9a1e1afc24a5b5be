//! Tests of expressions: the language, its limits, and agreement with the interpreter of the `cel` crate.

mod agreement;
mod hostile;
mod invalid_expressions;
mod language;

use super::{EvaluationError, Expression, Inputs};
use crate::model::caller::{Caller, Pod, Workload};
use crate::model::facts::{Facts, PipelineRunFacts, PodFacts, TaskRunFacts};
use crate::model::request::UnverifiedRequest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The inputs of the expressions in these tests.
struct Fixture {
    caller: Caller,
    facts: Facts,
    unverified_request: UnverifiedRequest,
    repo: Option<&'static str>,
    branch: Option<&'static str>,
}

impl Fixture {
    /// A pod with labels and a `PipelineRun`; with claims too, although a real pod has none.
    fn pod() -> Self {
        let strings = |value: Value| -> BTreeMap<String, String> { serde_json::from_value(value).expect("strings") };
        let workload = Workload {
            namespace: "tekton-ci".into(),
            service_account: "build-bot".into(),
            pod: Pod { name: "build-1".into(), uid: "u-1".into() },
        };
        let pod = PodFacts {
            ip: Some("10.0.0.9".into()),
            ips: vec!["10.0.0.9".into(), "fd00::9".into()],
            node: None,
            labels: strings(json!({"app": "site", "app.kubernetes.io/name": "web", "empty": ""})),
            annotations: strings(json!({"branch": "feature/x"})),
        };
        let task_run = TaskRunFacts {
            name: "task-1".into(),
            labels: strings(json!({"tekton.dev/task": "fetch"})),
            params: serde_json::from_value(json!({"repo": "acme/shop"})).expect("params"),
        };
        let run = PipelineRunFacts {
            name: "run-1".into(),
            labels: strings(json!({"org": "acme"})),
            annotations: strings(json!({"sha": "abc"})),
            params: serde_json::from_value(json!({"repo": "acme/site", "list": ["a", "b"], "map": {"k": "v"}}))
                .expect("params"),
        };
        let claims = json!({
            "sub": "me", "ref": "refs/heads/main", "n": 17, "big": u64::MAX, "f": 1.5, "yes": true, "none": null,
            "list": ["a", 1, null, true], "map": {"inner": {"deep": "x"}}, "https://a/b": "c", "é": "ü",
        });
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Self {
            caller: Caller {
                issuer: "cluster".into(),
                subject: "system:serviceaccount:tekton-ci:build-bot".into(),
                groups: vec!["system:authenticated".into(), "admins".into()],
                workload: Some(workload),
                unbound_account: None,
                claims,
            },
            facts: Facts { pod: Some(pod), task_run: Some(task_run), pipeline_run: Some(run), runs_withheld: false },
            unverified_request: UnverifiedRequest {
                repo: None,
                branch: None,
                source_ip: "192.0.2.7".parse().expect("an address"),
                time: "2026-11-20T14:05:00Z".parse().expect("a Friday"),
            },
            repo: Some("acme/site"),
            branch: Some("main"),
        }
    }

    /// A caller with an OIDC token: no pod, but with facts that belong to another caller.
    fn oidc() -> Self {
        let mut fixture = Self::pod();
        fixture.caller.workload = None;
        fixture
    }

    fn inputs(&self) -> Inputs<'_> {
        let Self { caller, facts, unverified_request, repo, branch } = self;
        Inputs { caller, facts, unverified_request, repo: *repo, branch: *branch }
    }

    fn evaluate_condition(&self, source: &str) -> Result<bool, EvaluationError> {
        Expression::compile_condition(source).expect(source).evaluate_condition(&self.inputs())
    }

    fn evaluate_text(&self, source: &str) -> Result<String, EvaluationError> {
        let expression = Expression::compile_text(source).expect(source);
        expression.evaluate_text(&self.inputs()).map(std::borrow::Cow::into_owned)
    }
}

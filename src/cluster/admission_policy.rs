//! Reads the chart's admission policy and its binding from a cluster, and compares them with those that the chart installs.
//!
//! While both are enforced, only Tekton's controller can set a `TaskRun` or `PipelineRun` as the owner of a pod or
//! run.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::http_exchange::get;
use super::object::is_absent;
use crate::metrics::labels::AdmissionPolicyState as State;
use crate::sealing::digest;
use http::StatusCode;
use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::DeserializeOwned;

/// The name of the policy and of the binding.
pub const NAME: &str = "tekton-owners.claviger.dev";
/// The expression that this version of the chart installs.
const CHART_EXPRESSION: &str = include_str!("../../charts/claviger/admission/tekton-owners.cel");
/// Annotation with the digest of the expression: `sha256:` and hex.
const DIGEST_ANNOTATION: &str = "claviger.dev/expression-digest";
/// Label with the version of the chart that installed the policy.
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// The CEL variable that lists the users who may set a run as an owner.
const ALLOWED_USERS_VARIABLE: &str = "makers";
const API_PATH: &str = "/apis/admissionregistration.k8s.io/v1";
/// Maximum size of a response. It is above etcd's limit for one object.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// API group and resource of every object between a pod and its run.
const PROTECTED_RESOURCES: [(&str, &str); 3] =
    [("", "pods"), ("tekton.dev", "taskruns"), ("tekton.dev", "pipelineruns")];

/// The admission policy of a cluster, compared with that of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAdmissionPolicy {
    /// The combined state of policy and binding.
    pub state: State,
    /// The chart version according to the policy's label.
    pub version: Option<String>,
}

impl Cluster {
    /// Reads policy and binding, and compares them with those of the chart.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn admission_policy(&self) -> Result<FoundAdmissionPolicy, CallFailure> {
        let (policy, binding) = tokio::try_join!(
            self.get_cluster_scoped::<ValidatingAdmissionPolicy>("validatingadmissionpolicies"),
            self.get_cluster_scoped::<ValidatingAdmissionPolicyBinding>("validatingadmissionpolicybindings"),
        )?;
        Ok(compare_with_chart(policy.as_ref(), binding.as_ref()))
    }

    /// Sets the metric of this state to 1 and that of all other states to 0.
    pub fn set_admission_policy(&self, cluster: &str, state: State) {
        self.metrics.set_admission_policy(cluster, state);
    }

    async fn get_cluster_scoped<T: DeserializeOwned>(&self, resource: &str) -> Result<Option<T>, CallFailure> {
        let response = self.call(get(format!("{API_PATH}/{resource}/{NAME}"))?, MAX_RESPONSE_BYTES).await?;
        match response.status {
            StatusCode::OK => Ok(Some(response.decode()?)),
            StatusCode::NOT_FOUND if is_absent(&response, API_PATH) => Ok(None),
            _ => Err(response.status_failure()),
        }
    }
}

fn compare_with_chart(
    policy: Option<&ValidatingAdmissionPolicy>,
    binding: Option<&ValidatingAdmissionPolicyBinding>,
) -> FoundAdmissionPolicy {
    let (Some(policy), Some(binding)) = (policy, binding) else {
        return FoundAdmissionPolicy { state: State::Absent, version: None };
    };
    let version = policy.metadata.labels.as_ref().and_then(|labels| labels.get(VERSION_LABEL));
    let version = version.filter(|version| is_loggable_version(version)).cloned();
    let expression = if enforces_policy(binding) { effective_expression(policy) } else { None };
    let state = match expression {
        Some(expression) if expression == CHART_EXPRESSION.trim() => State::Present,
        Some(expression) if matches_annotated_digest(policy, expression) => State::Outdated,
        _ => State::Weakened,
    };
    FoundAdmissionPolicy { state, version }
}

/// The version is logged, so its length and its characters are restricted.
fn is_loggable_version(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// The expression of the policy. `None` unless there is exactly one and it applies to all requests for all protected resources.
fn effective_expression(policy: &ValidatingAdmissionPolicy) -> Option<&str> {
    let spec = policy.spec.as_ref()?;
    let applies_to_all = spec.failure_policy.as_deref().is_none_or(|policy| policy == "Fail")
        && spec.match_conditions.as_ref().is_none_or(Vec::is_empty)
        && spec.param_kind.is_none()
        && spec.match_constraints.as_ref().is_some_and(matches_all_protected)
        && spec.variables.as_deref().is_some_and(|variables| match variables {
            [allowed] => allowed.name == ALLOWED_USERS_VARIABLE && are_service_accounts(&allowed.expression),
            _ => false,
        });
    match spec.validations.as_deref() {
        Some([validation]) if applies_to_all => Some(validation.expression.trim()),
        _ => None,
    }
}

fn matches_all_protected(constraints: &MatchResources) -> bool {
    let rules = constraints.resource_rules.as_deref().unwrap_or_default();
    constraints.exclude_resource_rules.as_ref().is_none_or(Vec::is_empty)
        && selects_all(constraints.namespace_selector.as_ref())
        && selects_all(constraints.object_selector.as_ref())
        && PROTECTED_RESOURCES.iter().all(|protected| rules.iter().any(|rule| rule_matches(rule, *protected)))
}

fn rule_matches(rule: &NamedRuleWithOperations, (group, resource): (&str, &str)) -> bool {
    let has = |list: &Option<Vec<String>>, value: &str| list.iter().flatten().any(|item| item == value || item == "*");
    has(&rule.api_groups, group)
        && has(&rule.api_versions, "*")
        && has(&rule.resources, resource)
        && ["CREATE", "UPDATE"].iter().all(|operation| has(&rule.operations, operation))
        && rule.resource_names.as_ref().is_none_or(Vec::is_empty)
        && rule.scope.as_deref().is_none_or(|scope| scope == "*" || scope == "Namespaced")
}

fn selects_all(selector: Option<&LabelSelector>) -> bool {
    selector.is_none_or(|selector| {
        selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
            && selector.match_labels.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
    })
}

/// Whether the expression is a non-empty list of string literals that each name a `ServiceAccount` user.
fn are_service_accounts(expression: &str) -> bool {
    let users = serde_json::from_str::<Vec<String>>(expression).unwrap_or_default();
    !users.is_empty() && users.iter().all(|user| user.starts_with("system:serviceaccount:"))
}

/// Whether the binding makes the API server deny every request that the policy refuses.
fn enforces_policy(binding: &ValidatingAdmissionPolicyBinding) -> bool {
    let spec = &binding.spec;
    spec.policy_name == NAME
        && spec.param_ref.is_none()
        && spec.validation_actions.iter().any(|action| action == "Deny")
        && spec.match_resources.as_ref().is_none_or(|only| {
            only.resource_rules.as_ref().is_none_or(Vec::is_empty)
                && only.exclude_resource_rules.as_ref().is_none_or(Vec::is_empty)
                && selects_all(only.namespace_selector.as_ref())
                && selects_all(only.object_selector.as_ref())
        })
}

/// Whether the expression has the digest in the policy's annotation. Then it comes from another version of the chart; otherwise it
/// was edited.
fn matches_annotated_digest(policy: &ValidatingAdmissionPolicy, expression: &str) -> bool {
    let annotation = policy.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DIGEST_ANNOTATION));
    let hex = annotation.and_then(|digest| digest.strip_prefix("sha256:"));
    hex == Some(digest::to_hex(&digest::sha256(expression.as_bytes())).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake_api_server::FakeApiServer;
    use serde_json::{Value, json};

    fn policy() -> Value {
        let operations = json!(["CREATE", "UPDATE"]);
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": NAME, "uid": "u", "labels": {VERSION_LABEL: "0.1.0"}},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
                    "resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["*"], "operations": operations, "resources": ["pods"],
                         "scope": "*"},
                        {"apiGroups": ["tekton.dev"], "apiVersions": ["*"], "operations": operations,
                         "resources": ["pipelineruns", "taskruns"], "scope": "*"},
                    ],
                },
                "variables": [{"name": "makers", "expression": "[\"system:serviceaccount:tekton-pipelines:c\"]"}],
                "validations": [{"expression": CHART_EXPRESSION.trim()}],
            },
        })
    }

    fn binding() -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": NAME, "uid": "u"}, "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        })
    }

    fn state(policy: &Value, binding: &Value) -> State {
        let policy: Option<ValidatingAdmissionPolicy> = serde_json::from_value(policy.clone()).unwrap();
        let binding: Option<ValidatingAdmissionPolicyBinding> = serde_json::from_value(binding.clone()).unwrap();
        compare_with_chart(policy.as_ref(), binding.as_ref()).state
    }

    #[test]
    fn every_change_of_policy_or_binding_that_weakens_them_is_detected() {
        assert_eq!(state(&policy(), &binding()), State::Present);
        assert_eq!(state(&Value::Null, &binding()), State::Absent);
        assert_eq!(state(&policy(), &Value::Null), State::Absent);
        for (pointer, value, expected) in [
            ("/spec/failurePolicy", json!("Ignore"), State::Weakened),
            ("/spec/failurePolicy", Value::Null, State::Present),
            ("/spec/matchConditions", json!([{"name": "n", "expression": "false"}]), State::Weakened),
            ("/spec/paramKind", json!({"apiVersion": "v1", "kind": "ConfigMap"}), State::Weakened),
            ("/spec/matchConstraints", Value::Null, State::Weakened),
            ("/spec/matchConstraints/namespaceSelector", json!({"matchLabels": {"a": "b"}}), State::Weakened),
            ("/spec/matchConstraints/objectSelector", json!({"matchLabels": {"a": "b"}}), State::Weakened),
            ("/spec/matchConstraints/objectSelector", Value::Null, State::Present),
            ("/spec/matchConstraints/excludeResourceRules", json!([{"resources": ["pods"]}]), State::Weakened),
            ("/spec/matchConstraints/resourceRules/0/apiGroups", json!(["apps"]), State::Weakened),
            ("/spec/matchConstraints/resourceRules/0/apiGroups", json!(["*"]), State::Present),
            ("/spec/matchConstraints/resourceRules/0/operations", json!(["CREATE"]), State::Weakened),
            ("/spec/matchConstraints/resourceRules/0/operations", json!(["*"]), State::Present),
            ("/spec/matchConstraints/resourceRules/0/resourceNames", json!(["one"]), State::Weakened),
            ("/spec/matchConstraints/resourceRules/0/scope", json!("Cluster"), State::Weakened),
            ("/spec/matchConstraints/resourceRules/1/apiVersions", json!(["v1"]), State::Weakened),
            ("/spec/matchConstraints/resourceRules/1/resources", json!(["taskruns"]), State::Weakened),
            ("/spec/variables/0/name", json!("others"), State::Weakened),
            ("/spec/variables/0/expression", json!("[]"), State::Weakened),
            ("/spec/variables/0/expression", json!("[request.userInfo.username]"), State::Weakened),
            ("/spec/variables/0/expression", json!("[\"mallory\"]"), State::Weakened),
            ("/spec/variables/0/expression", json!("[\"system:serviceaccount:a:b\"]"), State::Present),
            ("/spec/variables", Value::Null, State::Weakened),
            ("/spec/validations/0/expression", json!("true"), State::Weakened),
            ("/spec/validations/0/expression", json!(format!("{}\n", CHART_EXPRESSION.trim())), State::Present),
            ("/spec/validations", json!([]), State::Weakened),
        ] {
            let mut changed = policy();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[key] = value.clone();
            assert_eq!(state(&changed, &binding()), expected, "{pointer} {value}");
        }
        for (key, value, expected) in [
            ("policyName", json!("other"), State::Weakened),
            ("validationActions", json!(["Audit", "Warn"]), State::Weakened),
            ("validationActions", json!(["Deny", "Audit"]), State::Present),
            ("paramRef", json!({"name": "p", "parameterNotFoundAction": "Allow"}), State::Weakened),
            ("matchResources", json!({"namespaceSelector": {"matchLabels": {"a": "b"}}}), State::Weakened),
            ("matchResources", json!({"objectSelector": {"matchLabels": {"a": "b"}}}), State::Weakened),
            ("matchResources", json!({"resourceRules": [{"resources": ["pods"]}]}), State::Weakened),
            ("matchResources", json!({"excludeResourceRules": [{"resources": ["pods"]}]}), State::Weakened),
            ("matchResources", json!({"namespaceSelector": {}, "objectSelector": {}}), State::Present),
        ] {
            let mut changed = binding();
            changed["spec"][key] = value.clone();
            assert_eq!(state(&policy(), &changed), expected, "{key} {value}");
        }
    }

    #[test]
    fn an_unknown_expression_with_its_digest_is_outdated_and_without_it_weakened() {
        let mut other = policy();
        other["spec"]["validations"][0]["expression"] = json!("request.userInfo.username in variables.makers");
        for (digest, expected) in
            [("sha256:8e4ad9cb2d4b7a03d1d1e1f8e7d4c2f3", State::Weakened), (DIGEST_OF_OTHER, State::Outdated)]
        {
            other["metadata"]["annotations"] = json!({DIGEST_ANNOTATION: digest});
            assert_eq!(state(&other, &binding()), expected, "{digest}");
        }
        other["spec"]["failurePolicy"] = json!("Ignore");
        assert_eq!(state(&other, &binding()), State::Weakened);
    }

    /// `sha256sum` of `request.userInfo.username in variables.makers`.
    const DIGEST_OF_OTHER: &str = "sha256:a647a0951d4ea2c2baa4103d3cfc2ec9a434fe24bddb6b1efe73f5eeb1548696";

    #[tokio::test]
    async fn the_policy_is_absent_if_it_or_its_api_does_not_exist() {
        let not_found = r#"{"kind":"Status","reason":"NotFound"}"#;
        for body in [not_found, "404 page not found\n"] {
            let found = FakeApiServer::responding(404, body).await.cluster().await.admission_policy().await;
            assert_eq!(found, Ok(FoundAdmissionPolicy { state: State::Absent, version: None }), "{body}");
        }
        let refused = FakeApiServer::responding(403, not_found).await.cluster().await.admission_policy().await;
        assert_eq!(refused, Err(CallFailure::Credentials));
        let wrong =
            FakeApiServer::responding(200, &policy().to_string()).await.cluster().await.admission_policy().await;
        assert_eq!(wrong, Err(CallFailure::Malformed), "the binding is of another kind");
    }
}

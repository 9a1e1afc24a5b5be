//! Clusters: the broker's own rights there, the versions of Tekton and of the custom resources that are served, and the clock.

use super::clocks;
use crate::cluster::{Cluster, ClusterError, Clusters, OwnAccess};
use crate::config::Config;
use crate::config::attestation::AdmissionPolicy;
use crate::config::authenticators::Kind;
use crate::model::clock::{Clock as _, SystemClock};
use crate::wire::doctor::DoctorCheck;
use crate::wire::policy::{PolicySpec, Ticket};
use serde_json::Value;
use std::time::Duration;
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

/// The version of Tekton's API that is read.
const TEKTON: (&str, &str) = ("tekton.dev", "v1");
/// The custom resources.
const POLICIES: (&str, &str) = ("claviger.dev", "v1alpha1");

pub async fn check(config: &Config, clusters: &Clusters, namespaces: &[String]) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    for authenticator in &config.authenticators {
        let Kind::Kubernetes(kubernetes) = &authenticator.kind else { continue };
        let Some(cluster) = clusters.get(kubernetes.kubeconfig.as_deref()) else { continue };
        let name = &authenticator.name;
        match cluster.served_time().await {
            Ok(served) => {
                checks.push(DoctorCheck::good(format!("cluster {name}: API server"), "reached"));
                checks.extend(served.map(|served| {
                    let ahead = served.time.duration_since(SystemClock.now());
                    // Its resolution is one second.
                    let within = served.within.saturating_add(Duration::from_secs(1));
                    clocks::check(format!("cluster {name}: clock"), ahead, within)
                }));
            }
            Err(error) => {
                let advice = "see whether the network lets the broker reach the API server, and its token and CA file";
                checks.push(DoctorCheck::fault(format!("cluster {name}: API server"), error.to_string(), advice));
                continue;
            }
        }
        let tekton = tekton(&cluster, name).await;
        let has_tekton = tekton.ok && tekton.detail.starts_with("serves");
        checks.push(tekton);
        checks.push(custom_resources(config, &cluster, name).await);
        checks.extend(rights(config, &cluster, name, namespaces, has_tekton).await);
    }
    checks
}

/// Each right that the broker uses.
async fn rights(
    config: &Config,
    cluster: &Cluster,
    name: &str,
    namespaces: &[String],
    has_tekton: bool,
) -> Vec<DoctorCheck> {
    let right =
        |group, resource, verb| OwnAccess { group, resource, subresource: None, verb, namespace: None, name: None };
    let mut rights = vec![right("authentication.k8s.io", "tokenreviews", "create")];
    if config.administrators.subject_access_review.iter().any(|one| **one == *name) {
        rights.push(right("authorization.k8s.io", "subjectaccessreviews", "create"));
    }
    if has_tekton && config.attestation.admission_policy != AdmissionPolicy::Off {
        let group = "admissionregistration.k8s.io";
        for resource in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
            rights.push(OwnAccess { name: Some("tekton-owners.claviger.dev"), ..right(group, resource, "get") });
        }
    }
    if config.policies.custom_resources.iter().any(|one| **one == *name) {
        for resource in ["policies", "clusterpolicies"] {
            rights.extend(["list", "watch"].map(|verb| right(POLICIES.0, resource, verb)));
            let status = OwnAccess { subresource: Some("status"), ..right(POLICIES.0, resource, "patch") };
            rights.push(status);
        }
    }
    let mut read = vec![("", "pods")];
    if has_tekton {
        read.extend([("tekton.dev", "taskruns"), ("tekton.dev", "pipelineruns")]);
    }
    for (group, resource) in read {
        let of = right(group, resource, "get");
        rights.extend(namespaces.iter().map(|namespace| OwnAccess { namespace: Some(namespace), ..of }));
        rights.extend(namespaces.is_empty().then_some(of));
    }
    let mut checks = Vec::with_capacity(rights.len());
    for right in rights {
        checks.push(check_right(cluster, name, right).await);
    }
    checks
}

async fn check_right(cluster: &Cluster, name: &str, right: OwnAccess<'_>) -> DoctorCheck {
    let OwnAccess { group, resource, subresource, verb, namespace, .. } = right;
    let part = subresource.map(|part| format!("/{part}")).unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    let place = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    let check = format!("cluster {name}: may {verb} {resource}{dot}{group}{part}{place}");
    match cluster.is_allowed(right).await {
        Ok(true) => DoctorCheck::good(check, "allowed"),
        Ok(false) => {
            let advice = match resource {
                "tokenreviews" | "subjectaccessreviews" => {
                    "bind the ClusterRole system:auth-delegator to the broker's ServiceAccount (rbac.create of the chart)".to_owned()
                }
                _ => format!("give the broker's ServiceAccount a role with {verb} on {resource} (rbac.create of the chart)"),
            };
            DoctorCheck::fault(check, "the API server's authorisers do not allow it", advice)
        }
        Err(error) => unanswered(check, error),
    }
}

async fn tekton(cluster: &Cluster, name: &str) -> DoctorCheck {
    let check = format!("cluster {name}: Tekton");
    let (group, version) = TEKTON;
    match cluster.served_versions(group).await {
        Ok(versions) if versions.is_empty() => {
            DoctorCheck::good(check, "not installed; nothing can be attested by run")
        }
        Ok(versions) if versions.iter().any(|served| served == version) => {
            DoctorCheck::good(check, format!("serves {group}/{version}"))
        }
        Ok(versions) => {
            let detail = format!("serves {group} in {}, and not in {version}", versions.join(", "));
            DoctorCheck::fault(check, detail, "upgrade Tekton Pipelines to a version with the API tekton.dev/v1")
        }
        Err(error) => unanswered(check, error),
    }
}

async fn custom_resources(config: &Config, cluster: &Cluster, name: &str) -> DoctorCheck {
    let check = format!("cluster {name}: custom resources");
    let (group, version) = POLICIES;
    let described = match cluster.description(&format!("{group}/{version}")).await {
        Ok(described) => described,
        Err(error) => return unanswered(check, error),
    };
    let advice = "apply the CRDs of this version: kubectl apply --server-side -f crds/ of the chart (Helm does not upgrade them)";
    let Some(described) = described else {
        if config.policies.custom_resources.iter().any(|one| **one == *name) {
            return DoctorCheck::fault(
                check,
                "policies.customResources names this cluster, and there are no CRDs",
                advice,
            );
        }
        return DoctorCheck::good(check, "not installed, and not configured");
    };
    let unknown: Vec<String> = ["Policy", "ClusterPolicy"].iter().flat_map(|kind| missing(&described, kind)).collect();
    if unknown.is_empty() {
        return DoctorCheck::good(check, format!("serves {group}/{version} with all fields of this version"));
    }
    let detail = format!("the CRDs are of another version; they lack {}", unknown.join(", "));
    DoctorCheck::fault(check, detail, advice)
}

/// The fields of a policy that the served description of a kind lacks; the kind itself if it is not served.
fn missing(described: &Value, kind: &str) -> Vec<String> {
    let schemas = described.pointer("/components/schemas").and_then(Value::as_object);
    let is_kind = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|one| one["kind"] == kind && one["group"] == POLICIES.0))
    };
    let Some(schema) = schemas.and_then(|schemas| schemas.values().find(is_kind)) else { return vec![kind.to_owned()] };
    let spec = &schema["properties"]["spec"]["properties"];
    let lacks = |at: &Value, name: &String| at.get(name.as_str()).is_none();
    let mut found: Vec<String> = fields::<PolicySpec>().into_iter().filter(|name| lacks(spec, name)).collect();
    let ticket = &spec["ticket"]["properties"];
    found
        .extend(fields::<Ticket>().into_iter().filter(|name| lacks(ticket, name)).map(|name| format!("ticket.{name}")));
    found.into_iter().map(|field| format!("{kind}.spec.{field}")).collect()
}

/// The fields of a type, as they are written.
fn fields<T: PartialSchema>() -> Vec<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn unanswered(check: String, error: ClusterError) -> DoctorCheck {
    DoctorCheck::fault(check, error.to_string(), "see whether the API server is up and accepts the broker's token")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(spec: &Value) -> Value {
        let kind = |kind: &str| {
            json!({
                "x-kubernetes-group-version-kind": [{"group": "claviger.dev", "version": "v1alpha1", "kind": kind}],
                "properties": {"spec": {"properties": spec}},
            })
        };
        json!({"components": {"schemas": {"a": kind("Policy"), "b": kind("ClusterPolicy")}}})
    }

    #[test]
    fn the_description_of_another_version_lacks_fields() {
        let names: serde_json::Map<String, Value> =
            fields::<PolicySpec>().into_iter().map(|name| (name, json!({}))).collect();
        assert!(names.contains_key("mode") && names.contains_key("subjects"), "{names:?}");
        let mut spec = Value::Object(names);
        let ticket: serde_json::Map<String, Value> =
            fields::<Ticket>().into_iter().map(|name| (name, json!({}))).collect();
        spec["ticket"] = json!({"properties": ticket});
        assert_eq!(missing(&described(&spec), "Policy"), Vec::<String>::new());
        assert_eq!(missing(&described(&spec), "Other"), ["Other"]);
        spec["ticket"]["properties"].as_object_mut().expect("a map").remove("maxPerCaller");
        spec.as_object_mut().expect("a map").remove("mode");
        assert_eq!(
            missing(&described(&spec), "ClusterPolicy"),
            ["ClusterPolicy.spec.mode", "ClusterPolicy.spec.ticket.maxPerCaller"]
        );
    }
}

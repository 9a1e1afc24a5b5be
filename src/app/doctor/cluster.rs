//! Checks clusters: the rights of the broker, the served versions of Tekton and of the custom resources, and the clock.

use super::clocks;
use crate::app::policy_status::POLICY_STATUS_LEASE;
use crate::cluster::{CallFailure, Cluster, Clusters, OwnAccess};
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

/// Group and version of the Tekton objects that attestation reads.
const TEKTON_API: (&str, &str) = ("tekton.dev", "v1");
/// Group and version of the custom resources.
const POLICY_API: (&str, &str) = ("claviger.dev", "v1alpha1");

pub async fn check(config: &Config, clusters: &Clusters, namespaces: &[String]) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    for authenticator in &config.authenticators {
        let Kind::Kubernetes(kubernetes) = &authenticator.kind else { continue };
        let Some(cluster) = clusters.get(kubernetes.kubeconfig.as_deref()) else { continue };
        let name = &authenticator.name;
        match cluster.api_server_time().await {
            Ok(served) => {
                checks.push(DoctorCheck::passed(format!("cluster {name}: API server"), "reached"));
                checks.extend(served.map(|served| {
                    let offset = served.time.duration_since(SystemClock.now());
                    // The time is in whole seconds.
                    let uncertainty = served.round_trip.saturating_add(Duration::from_secs(1));
                    clocks::check(format!("cluster {name}: clock"), offset, uncertainty)
                }));
            }
            Err(error) => {
                let advice = "see whether the network lets the broker reach the API server, and its token and CA file";
                checks.push(DoctorCheck::failed(format!("cluster {name}: API server"), error.to_string(), advice));
                continue;
            }
        }
        let tekton = check_tekton(&cluster, name).await;
        let has_tekton = tekton.ok && tekton.detail.starts_with("serves");
        checks.push(tekton);
        checks.push(check_custom_resources(config, &cluster, name).await);
        checks.extend(check_rights(config, &cluster, name, namespaces, has_tekton).await);
    }
    checks
}

/// Checks each right that the broker uses. An empty list of namespaces stands for the whole cluster.
async fn check_rights(
    config: &Config,
    cluster: &Cluster,
    name: &str,
    namespaces: &[String],
    has_tekton: bool,
) -> Vec<DoctorCheck> {
    let own_namespace = cluster.own_namespace();
    let right =
        |group, resource, verb| OwnAccess { group, resource, subresource: None, verb, namespace: None, name: None };
    let mut rights = vec![right("authentication.k8s.io", "tokenreviews", "create")];
    if config.administrators.subject_access_review.iter().any(|listed| **listed == *name) {
        rights.push(right("authorization.k8s.io", "subjectaccessreviews", "create"));
    }
    if has_tekton && config.attestation.admission_policy != AdmissionPolicy::Off {
        let group = "admissionregistration.k8s.io";
        for resource in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
            rights.push(OwnAccess { name: Some("tekton-owners.claviger.dev"), ..right(group, resource, "get") });
        }
    }
    if config.policies.custom_resources.iter().any(|listed| **listed == *name) {
        for resource in ["policies", "clusterpolicies"] {
            rights.extend(["list", "watch"].map(|verb| right(POLICY_API.0, resource, verb)));
            let status = OwnAccess { subresource: Some("status"), ..right(POLICY_API.0, resource, "patch") };
            rights.push(status);
        }
        let lease =
            |verb| OwnAccess { namespace: Some(&own_namespace), ..right("coordination.k8s.io", "leases", verb) };
        rights.push(lease("create"));
        rights.extend(["get", "update"].map(|verb| OwnAccess { name: Some(POLICY_STATUS_LEASE), ..lease(verb) }));
    }
    let mut read_resources = vec![("", "pods")];
    if has_tekton {
        read_resources.extend([("tekton.dev", "taskruns"), ("tekton.dev", "pipelineruns")]);
    }
    for (group, resource) in read_resources {
        let cluster_wide = right(group, resource, "get");
        rights.extend(namespaces.iter().map(|namespace| OwnAccess { namespace: Some(namespace), ..cluster_wide }));
        rights.extend(namespaces.is_empty().then_some(cluster_wide));
    }
    let mut checks = Vec::with_capacity(rights.len());
    for right in rights {
        checks.push(check_right(cluster, name, right).await);
    }
    checks
}

async fn check_right(cluster: &Cluster, name: &str, right: OwnAccess<'_>) -> DoctorCheck {
    let OwnAccess { group, resource, subresource, verb, namespace, .. } = right;
    let suffix = subresource.map(|subresource| format!("/{subresource}")).unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    let scope = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
    let check = format!("cluster {name}: may {verb} {resource}{dot}{group}{suffix}{scope}");
    match cluster.is_allowed(right).await {
        Ok(true) => DoctorCheck::passed(check, "allowed"),
        Ok(false) => {
            let advice = match resource {
                "tokenreviews" | "subjectaccessreviews" => {
                    "bind the ClusterRole system:auth-delegator to the broker's ServiceAccount (rbac.create of the chart)".to_owned()
                }
                _ => format!("give the broker's ServiceAccount a role with {verb} on {resource} (rbac.create of the chart)"),
            };
            DoctorCheck::failed(check, "the API server's authorisers do not allow it", advice)
        }
        Err(error) => failed_call(check, error),
    }
}

async fn check_tekton(cluster: &Cluster, name: &str) -> DoctorCheck {
    let check = format!("cluster {name}: Tekton");
    let (group, version) = TEKTON_API;
    match cluster.served_versions(group).await {
        Ok(versions) if versions.is_empty() => {
            DoctorCheck::passed(check, "not installed; nothing can be attested by run")
        }
        Ok(versions) if versions.iter().any(|served| served == version) => {
            DoctorCheck::passed(check, format!("serves {group}/{version}"))
        }
        Ok(versions) => {
            let detail = format!("serves {group} in {}, and not in {version}", versions.join(", "));
            DoctorCheck::failed(check, detail, "upgrade Tekton Pipelines to a version with the API tekton.dev/v1")
        }
        Err(error) => failed_call(check, error),
    }
}

async fn check_custom_resources(config: &Config, cluster: &Cluster, name: &str) -> DoctorCheck {
    let check = format!("cluster {name}: custom resources");
    let (group, version) = POLICY_API;
    let openapi = match cluster.openapi_document(&format!("{group}/{version}")).await {
        Ok(openapi) => openapi,
        Err(error) => return failed_call(check, error),
    };
    let advice = "apply the CRDs of this version: kubectl apply --server-side -f crds/ of the chart (Helm does not upgrade them)";
    let Some(openapi) = openapi else {
        if config.policies.custom_resources.iter().any(|listed| **listed == *name) {
            return DoctorCheck::failed(
                check,
                "policies.customResources names this cluster, and there are no CRDs",
                advice,
            );
        }
        return DoctorCheck::passed(check, "not installed, and not configured");
    };
    let unknown: Vec<String> =
        ["Policy", "ClusterPolicy"].iter().flat_map(|kind| missing_fields(&openapi, kind)).collect();
    if unknown.is_empty() {
        return DoctorCheck::passed(check, format!("serves {group}/{version} with all fields of this version"));
    }
    let detail = format!("the CRDs are of another version; they lack {}", unknown.join(", "));
    DoctorCheck::failed(check, detail, advice)
}

/// The fields of a policy that a kind lacks in the `OpenAPI` document of the API server. If the kind is not served, only its name.
fn missing_fields(openapi: &Value, kind: &str) -> Vec<String> {
    let schemas = openapi.pointer("/components/schemas").and_then(Value::as_object);
    let is_kind = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|entry| entry["kind"] == kind && entry["group"] == POLICY_API.0))
    };
    let Some(schema) = schemas.and_then(|schemas| schemas.values().find(is_kind)) else { return vec![kind.to_owned()] };
    let spec = &schema["properties"]["spec"]["properties"];
    let lacks = |properties: &Value, name: &String| properties.get(name.as_str()).is_none();
    let mut found: Vec<String> = field_names::<PolicySpec>().into_iter().filter(|name| lacks(spec, name)).collect();
    let ticket = &spec["ticket"]["properties"];
    found.extend(
        field_names::<Ticket>().into_iter().filter(|name| lacks(ticket, name)).map(|name| format!("ticket.{name}")),
    );
    found.into_iter().map(|field| format!("{kind}.spec.{field}")).collect()
}

/// The names of the fields of a type in its schema.
fn field_names<T: PartialSchema>() -> Vec<String> {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object.properties.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn failed_call(check: String, error: CallFailure) -> DoctorCheck {
    DoctorCheck::failed(check, error.to_string(), "see whether the API server is up and accepts the broker's token")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn openapi_with(spec: &Value) -> Value {
        let kind = |kind: &str| {
            json!({
                "x-kubernetes-group-version-kind": [{"group": "claviger.dev", "version": "v1alpha1", "kind": kind}],
                "properties": {"spec": {"properties": spec}},
            })
        };
        json!({"components": {"schemas": {"a": kind("Policy"), "b": kind("ClusterPolicy")}}})
    }

    #[test]
    fn fields_that_the_served_crds_lack_are_found() {
        let names: serde_json::Map<String, Value> =
            field_names::<PolicySpec>().into_iter().map(|name| (name, json!({}))).collect();
        assert!(names.contains_key("mode") && names.contains_key("subjects"), "{names:?}");
        let mut spec = Value::Object(names);
        let ticket: serde_json::Map<String, Value> =
            field_names::<Ticket>().into_iter().map(|name| (name, json!({}))).collect();
        spec["ticket"] = json!({"properties": ticket});
        assert_eq!(missing_fields(&openapi_with(&spec), "Policy"), Vec::<String>::new());
        assert_eq!(missing_fields(&openapi_with(&spec), "Other"), ["Other"]);
        spec["ticket"]["properties"].as_object_mut().expect("a map").remove("maxPerCaller");
        spec.as_object_mut().expect("a map").remove("mode");
        assert_eq!(
            missing_fields(&openapi_with(&spec), "ClusterPolicy"),
            ["ClusterPolicy.spec.mode", "ClusterPolicy.spec.ticket.maxPerCaller"]
        );
    }
}

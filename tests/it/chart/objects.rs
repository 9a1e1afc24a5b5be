//! Every object, by the types of its kind and by a real API server; and what the objects say.

use super::rendered::{NAMESPACE, Rendered, render, render_values};
use super::{SETS, set};
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use http::Request;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What of an object a typed reader would not have kept: fields that its kind does not have.
fn unknown_fields(object: &Value) -> Option<Vec<String>> {
    fn by<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
        let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}\n{object:#}"));
        let mut lost = Vec::new();
        compare("", object, &serde_json::to_value(typed).unwrap(), &mut lost);
        lost
    }
    let reader = match object["kind"].as_str().unwrap() {
        "ConfigMap" => by::<ConfigMap>,
        "Service" => by::<Service>,
        "ServiceAccount" => by::<ServiceAccount>,
        "ClusterRole" => by::<ClusterRole>,
        "ClusterRoleBinding" => by::<ClusterRoleBinding>,
        "NetworkPolicy" => by::<NetworkPolicy>,
        "PodDisruptionBudget" => by::<PodDisruptionBudget>,
        "Deployment" => by::<Deployment>,
        "StatefulSet" => by::<StatefulSet>,
        _ => return None,
    };
    Some(reader(object))
}

fn compare(place: &str, given: &Value, kept: &Value, lost: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (name, value) in given {
                match kept.get(name) {
                    Some(kept) => compare(&format!("{place}/{name}"), value, kept, lost),
                    None => lost.push(format!("{place}/{name}")),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                compare(&format!("{place}/{index}"), given, kept, lost);
            }
        }
        _ if given == kept => {}
        _ => lost.push(format!("{place}: {given} became {kept}")),
    }
}

#[test]
fn every_field_of_every_object_is_one_of_its_kind() {
    for name in SETS {
        let mut others = Vec::new();
        for object in &render(&set(name)).0 {
            match unknown_fields(object) {
                Some(lost) => assert_eq!(lost, Vec::<String>::new(), "{name}: {object:#}"),
                None => others.push(format!("{}/{}", object["apiVersion"], object["kind"]).replace('"', "")),
            }
        }
        let operators = ["monitoring.coreos.com/v1/", "cert-manager.io/v1/Certificate"];
        assert!(others.iter().all(|kind| operators.iter().any(|known| kind.starts_with(known))), "{name}: {others:?}");
    }
    let misspelt = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}});
    assert_eq!(unknown_fields(&misspelt), Some(vec!["/spec/port".to_owned()]));
}

/// Where the API server of the rig, which is of 1.20, takes the objects of a kind; none for what it does not know.
fn collection(object: &Value) -> Option<String> {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let spaced = format!("namespaces/{NAMESPACE}/{plural}");
    Some(match (object["apiVersion"].as_str().unwrap(), plural.as_str()) {
        ("rbac.authorization.k8s.io/v1", _) => format!("/apis/rbac.authorization.k8s.io/v1/{plural}"),
        ("v1", _) => format!("/api/v1/{spaced}"), // pods too
        ("networking.k8s.io/v1", _) => format!("/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"),
        ("apps/v1", _) => format!("/apis/apps/v1/{spaced}"),
        _ => return None,
    })
}

async fn dry_run(client: &kube::Client, object: &Value) -> Option<Result<Value, kube::Error>> {
    let path = format!("{}?dryRun=All", collection(object)?);
    let mut object = object.clone();
    for place in ["/spec/template/spec/containers/0", "/spec/containers/0"] {
        if let Some(container) = object.pointer_mut(place) {
            // The one thing newer than this API server in what it knows: sleeping, of 1.30.
            container.as_object_mut().unwrap().remove("lifecycle");
        }
    }
    let request = Request::post(path).header("content-type", "application/json");
    Some(client.request(request.body(object.to_string().into_bytes()).unwrap()).await)
}

/// The pod that a controller would make: this API server does not look into a `StatefulSet`'s template.
fn pod_of(rendered: &Rendered) -> Value {
    let mut pod = rendered.pod().clone();
    let head = json!({"apiVersion": "v1", "kind": "Pod"});
    pod.as_object_mut().unwrap().extend(head.as_object().unwrap().clone());
    pod["metadata"]["name"] = json!("rel-claviger-0");
    if rendered.all("Deployment").is_empty() {
        let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-rel-claviger-0"}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(claim);
    }
    pod
}

#[tokio::test]
async fn an_api_server_takes_every_object_that_it_knows() {
    let kube = Kube::start().await;
    kube.unbound_token(&format!("{NAMESPACE}/any"), "any").await; // makes the namespace
    let client = kube.plane.client(User::Admin).await;
    for name in SETS {
        let (mut taken, mut unknown) = (0, Vec::new());
        let rendered = render(&set(name));
        let pod = pod_of(&rendered);
        for object in rendered.0.iter().chain([&pod]) {
            match dry_run(&client, object).await {
                Some(Ok(_)) => taken += 1,
                Some(Err(error)) => panic!("{name}: {error}\n{object:#}"),
                None => unknown.push(object["kind"].as_str().unwrap().to_owned()),
            }
        }
        assert!(taken >= 5, "{name}: {taken}");
        let newer = ["PodDisruptionBudget", "ServiceMonitor", "PrometheusRule", "Certificate"];
        assert!(unknown.iter().all(|kind| newer.contains(&kind.as_str())), "{name}: {unknown:?}");
    }
    let mut bad = pod_of(&render(&set("default")));
    bad["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("nowhere");
    assert!(dry_run(&client, &bad).await.unwrap().is_err());
}

#[test]
fn it_asks_for_no_more_rights_than_it_needs() {
    for (values, rules) in [
        (
            json!({}),
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                   {"apiGroups": ["tekton.dev"], "resources": ["taskruns", "pipelineruns"], "verbs": ["get"]}]),
        ),
        (json!({"rbac": {"tekton": false}}), json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])),
    ] {
        let rendered = render_values(&values).unwrap();
        let roles = rendered.all("ClusterRole");
        assert_eq!((roles.len(), &roles[0]["rules"]), (1, &rules));
        let mut bound: Vec<_> = rendered.all("ClusterRoleBinding").iter().map(|b| &b["roleRef"]["name"]).collect();
        bound.sort_by_key(ToString::to_string);
        assert_eq!(bound, [&roles[0]["metadata"]["name"], &json!("system:auth-delegator")]);
        assert!(rendered.all("Role").is_empty() && rendered.all("RoleBinding").is_empty());
    }
    let bare = render(&set("bare"));
    assert!(bare.all("ClusterRole").is_empty() && bare.all("ServiceAccount").is_empty());
}

#[test]
fn its_pod_is_as_restricted_as_pods_can_be() {
    for name in SETS {
        let rendered = render(&set(name));
        let pod = &rendered.pod()["spec"];
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["seccompProfile"]["type"]),
            (&json!(true), &json!("RuntimeDefault")),
            "{name}"
        );
        assert!(pod.get("hostNetwork").is_none() && pod.get("hostPID").is_none(), "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let restricted = json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(container["securityContext"], restricted, "{name}");
        }
        let volumes = pod["volumes"].as_array().unwrap();
        assert!(volumes.iter().all(|volume| volume.get("hostPath").is_none()), "{name}");
    }
}

/// What routes to a replica that drains, how long it may, and which probe tells what.
fn drains(rendered: &Rendered) -> Value {
    let pod = &rendered.pod()["spec"];
    let container = &pod["containers"][0];
    let path = |probe: &str| &container[probe]["httpGet"]["path"];
    json!({
        "published": rendered.find("Service", "rel-claviger").unwrap()["spec"]["publishNotReadyAddresses"],
        "grace": pod["terminationGracePeriodSeconds"],
        "preStop": container["lifecycle"]["preStop"]["sleep"]["seconds"],
        "probes": [path("startupProbe"), path("livenessProbe"), path("readinessProbe")],
    })
}

#[test]
fn a_drain_has_its_time_and_is_reached() {
    let probes = json!(["/livez", "/livez", "/readyz"]);
    let alone = json!({"published": true, "grace": 15 * 60 + 15, "preStop": null, "probes": probes});
    assert_eq!(drains(&render(&set("default"))), alone);
    let longer = json!({"published": true, "grace": 65 * 60 + 30 + 15, "preStop": null, "probes": probes});
    assert_eq!(drains(&render(&set("sqlite"))), longer);
    let several = json!({"published": null, "grace": 15 * 60 + 15, "preStop": 5, "probes": probes});
    assert_eq!(drains(&render(&set("postgres"))), several);
    let said = render_values(&json!({"terminationGracePeriodSeconds": 42})).unwrap();
    assert_eq!(drains(&said)["grace"], 42);
}

#[test]
fn what_watches_it_is_made_where_it_is_wanted() {
    let (rendered, plain) = (render(&set("sqlite")), render(&set("default")));
    let monitor = rendered.find("ServiceMonitor", "rel-claviger").unwrap();
    let service = rendered.find("Service", "rel-claviger-ops").unwrap();
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value, "{label}");
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    assert!(["ServiceMonitor", "PrometheusRule"].iter().all(|kind| plain.all(kind).is_empty()));
    let rules = super::chart().join("rules/claviger.yaml");
    assert_eq!(rendered.all("PrometheusRule").len(), usize::from(rules.exists()));
    if let Some(rule) = rendered.find("PrometheusRule", "rel-claviger") {
        let written: Value = serde_saphyr::from_str(&std::fs::read_to_string(rules).unwrap()).unwrap();
        assert_eq!(rule["spec"], written);
    }
    let boards = super::chart().join("dashboards");
    assert_eq!(rendered.find("ConfigMap", "rel-claviger-dashboards").is_some(), boards.exists());
}

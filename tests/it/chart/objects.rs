//! Every object, checked by the types of its kind and by a real API server; and the contents of the objects.

use super::rendered::{NAMESPACE, Rendered, notes, render, render_values};
use super::{SETS, value_set};
use crate::rig::kube::User;
use crate::rig::kube::actors::Kube;
use http::Request;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The fields of an object that its kind does not have.
fn unknown_fields(object: &Value) -> Option<Vec<String>> {
    fn fields_lost_by<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
        let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}\n{object:#}"));
        let mut lost = Vec::new();
        compare("", object, &serde_json::to_value(typed).unwrap(), &mut lost);
        lost
    }
    let reader = match object["kind"].as_str().unwrap() {
        "ConfigMap" => fields_lost_by::<ConfigMap>,
        "Pod" => fields_lost_by::<Pod>,
        "Service" => fields_lost_by::<Service>,
        "ServiceAccount" => fields_lost_by::<ServiceAccount>,
        "ClusterRole" => fields_lost_by::<ClusterRole>,
        "ClusterRoleBinding" => fields_lost_by::<ClusterRoleBinding>,
        "Role" => fields_lost_by::<Role>,
        "RoleBinding" => fields_lost_by::<RoleBinding>,
        "NetworkPolicy" => fields_lost_by::<NetworkPolicy>,
        "PodDisruptionBudget" => fields_lost_by::<PodDisruptionBudget>,
        "DaemonSet" => fields_lost_by::<DaemonSet>,
        "Deployment" => fields_lost_by::<Deployment>,
        "StatefulSet" => fields_lost_by::<StatefulSet>,
        "ValidatingAdmissionPolicy" => fields_lost_by::<ValidatingAdmissionPolicy>,
        "ValidatingAdmissionPolicyBinding" => fields_lost_by::<ValidatingAdmissionPolicyBinding>,
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
        for object in &render(&value_set(name)).0 {
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

/// The path for objects of a kind at the rig's API server; none for kinds that it does not know.
fn collection(object: &Value) -> Option<String> {
    let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase()).replace("policys", "policies");
    let spaced = format!("namespaces/{NAMESPACE}/{plural}");
    Some(match (object["apiVersion"].as_str().unwrap(), plural.as_str()) {
        ("rbac.authorization.k8s.io/v1", _) => {
            let place =
                object["metadata"]["namespace"].as_str().map_or_else(String::new, |n| format!("namespaces/{n}/"));
            format!("/apis/rbac.authorization.k8s.io/v1/{place}{plural}")
        }
        ("v1", _) => format!("/api/v1/{spaced}"), // pods too
        ("networking.k8s.io/v1", _) => format!("/apis/networking.k8s.io/v1/{spaced}"),
        ("apps/v1", _) => format!("/apis/apps/v1/{spaced}"),
        ("policy/v1", _) => format!("/apis/policy/v1/{spaced}"),
        ("admissionregistration.k8s.io/v1", _) => format!("/apis/admissionregistration.k8s.io/v1/{plural}"),
        _ => return None,
    })
}

async fn dry_run(client: &kube::Client, object: &Value) -> Option<Result<Value, kube::Error>> {
    let path = format!("{}?dryRun=All&fieldValidation=Strict", collection(object)?);
    let mut object = object.clone();
    if object["kind"] == "Service" {
        // The rig's cluster has only IPv4.
        object["spec"].as_object_mut().unwrap().remove("ipFamilies");
    }
    let request = Request::post(path).header("content-type", "application/json");
    Some(client.request(request.body(object.to_string().into_bytes()).unwrap()).await)
}

/// The pod that a controller would create: this API server does not check a `StatefulSet`'s template.
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
async fn the_api_server_accepts_every_object_of_a_known_kind() {
    let kube = Kube::start().await;
    for namespace in [NAMESPACE, "ci", "tekton"] {
        kube.unbound_token(&format!("{namespace}/any"), "any").await; // makes the namespace
    }
    let client = kube.plane.client(User::Admin).await;
    for name in SETS {
        let (mut taken, mut unknown) = (0, Vec::new());
        let rendered = render(&value_set(name));
        let pod = pod_of(&rendered);
        for object in rendered.0.iter().chain([&pod]) {
            match dry_run(&client, object).await {
                Some(Ok(_)) => taken += 1,
                // Another test created one of that name between the check and the request.
                Some(Err(kube::Error::Api(status))) if status.code == 409 => taken += 1,
                Some(Err(error)) => panic!("{name}: {error}\n{object:#}"),
                None => unknown.push(object["kind"].as_str().unwrap().to_owned()),
            }
        }
        assert!(taken >= 5, "{name}: {taken}");
        let operators = ["ServiceMonitor", "PrometheusRule", "Certificate"];
        assert!(unknown.iter().all(|kind| operators.contains(&kind.as_str())), "{name}: {unknown:?}");
    }
    let mut bad = pod_of(&render(&value_set("default")));
    bad["spec"]["containers"][0]["volumeMounts"][0]["name"] = json!("nowhere");
    assert!(dry_run(&client, &bad).await.unwrap().is_err());
}

/// Whether a role allows exactly `get` on the admission policy and its binding.
fn reads_the_admission_policy(role: &Value) -> bool {
    role["rules"]
        == json!([{
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
            "resourceNames": ["tekton-owners.claviger.dev"], "verbs": ["get"],
        }])
}

#[test]
fn the_roles_have_only_the_necessary_permissions() {
    for (values, rules) in [
        (
            json!({}),
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                   {"apiGroups": ["tekton.dev"], "resources": ["taskruns", "pipelineruns"], "verbs": ["get"]}]),
        ),
        (json!({"rbac": {"tekton": false}}), json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])),
    ] {
        let rendered = render_values(&values).unwrap();
        let (tekton, roles) = (rules.as_array().unwrap().len() > 1, rendered.all("ClusterRole"));
        let (admission, roles): (Vec<_>, Vec<_>) = roles.into_iter().partition(|role| reads_the_admission_policy(role));
        assert_eq!((roles.len(), &roles[0]["rules"]), (1, &rules));
        assert_eq!(admission.len(), usize::from(tekton));
        let mut bound: Vec<_> = rendered.all("ClusterRoleBinding").iter().map(|b| &b["roleRef"]["name"]).collect();
        bound.sort_by_key(ToString::to_string);
        let mut expected = vec![roles[0]["metadata"]["name"].clone()];
        expected.extend(admission.iter().map(|role| role["metadata"]["name"].clone()));
        expected.push(json!("system:auth-delegator"));
        assert_eq!(bound, expected.iter().collect::<Vec<_>>());
        assert!(rendered.all("Role").is_empty() && rendered.all("RoleBinding").is_empty());
    }
    let bare = render(&value_set("bare"));
    assert!(bare.all("ClusterRole").is_empty() && bare.all("ServiceAccount").is_empty());
}

#[test]
fn with_namespaces_its_role_is_one_in_each() {
    let values = json!({"rbac": {"namespaces": ["ci", "builds", "ci"]}, "serviceAccount": {"name": "broker"}});
    let rendered = render_values(&values).unwrap();
    assert!(rendered.all("ClusterRole").iter().all(|role| reads_the_admission_policy(role)));
    let cluster: Vec<_> = rendered.all("ClusterRoleBinding").iter().map(|b| &b["roleRef"]["name"]).collect();
    assert_eq!(cluster, ["claviger-rel-claviger-admission-policy", "system:auth-delegator"]);
    let everywhere = render_values(&json!({})).unwrap();
    for kind in ["Role", "RoleBinding"] {
        let places: Vec<_> = rendered.all(kind).iter().map(|object| &object["metadata"]["namespace"]).collect();
        assert_eq!(places, ["ci", "builds"], "{kind}");
    }
    for (role, binding) in rendered.all("Role").into_iter().zip(rendered.all("RoleBinding")) {
        assert_eq!(role["rules"], everywhere.all("ClusterRole")[0]["rules"]);
        let name = &role["metadata"]["name"];
        assert_eq!(binding["roleRef"], json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}));
        let subject = json!({"kind": "ServiceAccount", "name": "broker", "namespace": NAMESPACE});
        assert_eq!(binding["subjects"], json!([subject]));
    }
}

/// The TCP ports and the UDP ports that the pod may connect to.
fn egress(values: &Value) -> (Vec<u64>, Vec<u64>) {
    let rendered = render_values(values).unwrap();
    let policy = rendered.all("NetworkPolicy")[0].clone();
    let rules = policy["spec"]["egress"].as_array().unwrap().clone();
    let ports: Vec<Value> = rules.iter().flat_map(|rule| rule["ports"].as_array().unwrap().clone()).collect();
    let of = |protocol: &str| {
        let named = ports.iter().filter(|port| port["protocol"] == protocol);
        named.map(|port| port["port"].as_u64().unwrap()).collect()
    };
    (of("TCP"), of("UDP"))
}

#[test]
fn egress_ports_follow_the_values() {
    let usual = vec![53, 5353, 443, 6443, 8200, 5432];
    assert_eq!(egress(&json!({})), (usual.clone(), vec![53, 5353]));
    let microk8s = json!({"networkPolicy": {"apiServerPorts": [16443], "egressPorts": [8200], "dnsPorts": [1053]}});
    assert_eq!(egress(&microk8s), (vec![1053, 16443, 8200], vec![1053]));
    // The format of version 0.1.0 is still valid.
    let old = json!({"networkPolicy": {"egressPorts": [443, 6443, 8200, 5432]}});
    assert_eq!(egress(&old), (usual.clone(), vec![53, 5353]));
    for (values, more) in [
        (json!({"config": {"telemetry": {"otlpEndpoint": "http://collector:4318"}}}), &[4318][..]),
        (json!({"config": {"telemetry": {"otlpEndpoint": "http://[fd00::1]:4318/"}}}), &[4318]),
        (json!({"config": {"telemetry": {"otlpEndpoint": "http://collector"}}}), &[80]),
        (json!({"config": {"telemetry": {"otlpEndpoint": "https://collector"}}}), &[]),
        (
            json!({"config": {"telemetry": {"otlpEndpoint": "http://c:4318"}}, "networkPolicy": {"otlpPort": 14318}}),
            &[4318, 14318],
        ),
        (json!({"extraEnv": [{"name": "CLAVIGER__TELEMETRY__OTLPENDPOINT", "value": "http://c:9"}]}), &[9]),
        (json!({"networkPolicy": {"otlpPort": 4318}}), &[]),
    ] {
        assert_eq!(egress(&values).0, [&usual[..], more].concat(), "{values}");
    }
}

#[test]
fn both_services_have_the_configured_ip_families() {
    let specs = |values: &Value| -> Vec<(Value, Value)> {
        let rendered = render_values(values).unwrap();
        let services = rendered.all("Service");
        services.iter().map(|s| (s["spec"]["ipFamilyPolicy"].clone(), s["spec"]["ipFamilies"].clone())).collect()
    };
    assert_eq!(specs(&json!({})), [(Value::Null, Value::Null), (Value::Null, Value::Null)]);
    let dual = json!({"service": {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}});
    let asked = (json!("RequireDualStack"), json!(["IPv6", "IPv4"]));
    assert_eq!(specs(&dual), [asked.clone(), asked]);
    let six = json!({"service": {"ipFamilies": ["IPv6"]}});
    assert_eq!(specs(&six), [(Value::Null, json!(["IPv6"])), (Value::Null, json!(["IPv6"]))]);
}

#[test]
fn a_security_context_is_left_out_by_field_or_whole() {
    let contexts = |values: &Value| {
        let rendered = render_values(values).unwrap();
        let spec = &rendered.pod()["spec"];
        (spec.get("securityContext").cloned(), spec["containers"][0].get("securityContext").cloned())
    };
    let (pod, container) = contexts(&json!({}));
    let (pod, container) = (pod.unwrap(), container.unwrap());
    assert_eq!([&pod["runAsUser"], &pod["runAsGroup"], &pod["fsGroup"]], [65532, 65532, 65532]);
    assert_eq!(contexts(&json!({"podSecurityContext": null})), (None, Some(container.clone())));
    assert_eq!(contexts(&json!({"securityContext": null})), (Some(pod.clone()), None));
    let (assigned, _) =
        contexts(&json!({"podSecurityContext": {"runAsUser": null, "runAsGroup": null, "fsGroup": null}}));
    let seccomp = json!({"type": "RuntimeDefault"});
    let kept = json!({"runAsNonRoot": true, "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": seccomp});
    assert_eq!(assigned, Some(kept));
    let (own, _) = contexts(&json!({"podSecurityContext": {"fsGroup": 7}}));
    assert_eq!((&own.as_ref().unwrap()["fsGroup"], &own.as_ref().unwrap()["runAsUser"]), (&json!(7), &json!(65532)));
}

#[test]
fn retired_keys_are_mounted_at_the_configured_paths() {
    let of = |retired: Value| {
        let rendered = render_values(&json!({"audit": {"keySecret": "s", "retiredKeySecretKeys": retired}})).unwrap();
        let config = rendered.find("ConfigMap", "rel-claviger").unwrap()["data"]["claviger.yaml"].as_str().unwrap();
        let config: Value = serde_saphyr::from_str(config).unwrap();
        let volumes = rendered.pod()["spec"]["volumes"].as_array().unwrap().clone();
        let keys = volumes.into_iter().find(|volume| volume["name"] == "keys").unwrap();
        (config["audit"].clone(), keys["projected"]["sources"][0]["secret"]["items"].clone())
    };
    let file = "/etc/claviger/keys/audit";
    let current = json!({"key": "key", "path": "audit"});
    assert_eq!(of(json!([])), (json!({"keyFile": file}), json!([current])));
    let config = json!({"keyFile": file, "retiredKeyFiles": ["/etc/claviger/keys/retired/2025"]});
    assert_eq!(of(json!(["2025"])), (config, json!([current, {"key": "2025", "path": "retired/2025"}])));
}

#[test]
fn the_notes_tell_what_does_not_work_yet() {
    let secret = json!({"mode": "secret", "secret": "tls"});
    let plain = notes(&json!({"tls": {"mode": "none"}}));
    assert!(plain.contains("http://rel-claviger.claviger.svc:8080") && plain.contains("--insecure"), "{plain}");
    assert!(plain.contains("tls.mode is none"), "{plain}");
    let tls = notes(&json!({"tls": secret}));
    assert!(tls.contains("create configmap claviger-ca") && tls.contains("get secret tls"), "{tls}");
    assert!(!tls.contains("--insecure") && !tls.contains("tls.mode is none"), "{tls}");

    let unreachable = "networkPolicy.opsFrom is empty";
    let watched = |more: Value| {
        let mut values = json!({"tls": secret, "serviceMonitor": {"enabled": true}});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        notes(&values).contains(unreachable)
    };
    assert!(watched(json!({})));
    assert!(!watched(json!({"networkPolicy": {"opsFrom": [{"namespaceSelector": {}}]}})));
    assert!(!watched(json!({"networkPolicy": {"enabled": false}})));
    assert!(!watched(json!({"serviceMonitor": {"enabled": false}})));
}

#[test]
fn its_pod_is_as_restricted_as_pods_can_be() {
    for name in SETS {
        let rendered = render(&value_set(name));
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

#[test]
fn tickets_wait_in_the_database_unless_the_values_say_otherwise() {
    let of = |config: Value| {
        let rendered = render_values(&json!({"config": config})).unwrap();
        let config = rendered.find("ConfigMap", "rel-claviger").unwrap()["data"]["claviger.yaml"].as_str().unwrap();
        serde_saphyr::from_str::<Value>(config).unwrap()["tickets"].clone()
    };
    assert_eq!(of(json!({})), json!({"store": "database"}));
    assert_eq!(of(json!({"tickets": {"ttl": "1m"}})), json!({"store": "database", "ttl": "1m"}));
    assert_eq!(of(json!({"tickets": {"store": "memory"}})), json!({"store": "memory"}));
}

#[test]
fn the_direct_url_and_the_password_come_from_the_named_keys_of_the_secret() {
    let of = |more: Value| {
        let mut values = json!({"database": {"kind": "postgres", "postgres": {"secret": "db"}}});
        for (key, value) in more.as_object().unwrap() {
            values["database"]["postgres"][key] = value.clone();
        }
        let rendered = render_values(&values).unwrap();
        let config = rendered.find("ConfigMap", "rel-claviger").unwrap()["data"]["claviger.yaml"].as_str().unwrap();
        let config = serde_saphyr::from_str::<Value>(config).unwrap()["database"].clone();
        let pod = rendered.pod()["spec"].clone();
        let volumes = pod["volumes"].as_array().unwrap();
        let keys = volumes.iter().find(|volume| volume["name"] == "keys").unwrap()["projected"]["sources"][0]["secret"]
            .clone();
        (config, pod["containers"][0]["env"].clone(), keys["items"].clone())
    };
    let from = |variable: &str, key: &str| json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": "db", "key": key}}});
    let key = json!({"key": "key", "path": "database"});
    let (config, env, keys) = of(json!({}));
    assert_eq!(config, json!({"keyFile": "/etc/claviger/keys/database"}));
    assert_eq!((env, keys), (json!([from("CLAVIGER__DATABASE__URL", "url")]), json!([key])));
    let (config, env, keys) = of(json!({"directUrlKey": "direct", "passwordKey": "password"}));
    assert_eq!(config["passwordFile"], "/etc/claviger/keys/database-password");
    assert_eq!(env, json!([from("CLAVIGER__DATABASE__URL", "url"), from("CLAVIGER__DATABASE__DIRECTURL", "direct")]));
    assert_eq!(keys, json!([key, {"key": "password", "path": "database-password"}]));
}

#[test]
fn a_server_that_may_lose_commits_is_accepted_only_if_the_values_allow_it() {
    let of = |allow: Value| {
        let values = json!({"database": {"kind": "postgres", "postgres": {"secret": "db", "allowDataLoss": allow}}});
        let rendered = render_values(&values).unwrap();
        let config = rendered.find("ConfigMap", "rel-claviger").unwrap()["data"]["claviger.yaml"].as_str().unwrap();
        serde_saphyr::from_str::<Value>(config).unwrap()["database"]["allowDataLoss"].clone()
    };
    assert_eq!(of(json!(true)), json!(true));
    assert_eq!(of(json!(false)), Value::Null);
}

/// The settings that affect a drain: published addresses, grace period, preStop hook, and probes.
fn drain_settings(rendered: &Rendered) -> Value {
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
fn the_grace_period_covers_the_drain_and_tickets_stay_reachable() {
    let probes = json!(["/livez", "/livez", "/readyz"]);
    let alone = json!({"published": true, "grace": 15 * 60 + 15, "preStop": null, "probes": probes});
    assert_eq!(drain_settings(&render(&value_set("default"))), alone);
    let longer = json!({"published": true, "grace": 65 * 60 + 30 + 15, "preStop": null, "probes": probes});
    assert_eq!(drain_settings(&render(&value_set("sqlite"))), longer);
    let several = json!({"published": null, "grace": 15 * 60 + 15, "preStop": 5, "probes": probes});
    assert_eq!(drain_settings(&render(&value_set("postgres"))), several);
    let said = render_values(&json!({"terminationGracePeriodSeconds": 42})).unwrap();
    assert_eq!(drain_settings(&said)["grace"], 42);
    let by_variable = json!({"extraEnv": [{"name": "CLAVIGER__TICKETS__MAXTTL", "value": "1h"}],
        "config": {"tickets": {"maxTtl": "5m"}}});
    assert_eq!(drain_settings(&render_values(&by_variable).unwrap())["grace"], 60 * 60 + 15);
}

#[test]
fn names_of_policies_are_texts() {
    let names = ["404", "1.5", "1e3", "true", "null", "plain"];
    let spec = json!({"effect": "deny", "subjects": [{"kubernetes": {}}], "repos": ["**"], "branches": ["**"]});
    let policies: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), spec.clone())).collect();
    let rendered = render_values(&json!({"policies": policies})).unwrap();
    let files = &rendered.find("ConfigMap", "rel-claviger-policies").unwrap()["data"];
    for name in names {
        let policy: Value = serde_saphyr::from_str(files[format!("{name}.yaml")].as_str().unwrap()).unwrap();
        assert_eq!(policy["metadata"]["name"], json!(name));
    }
}

#[test]
fn monitoring_objects_are_rendered_only_if_enabled() {
    let (rendered, plain) = (render(&value_set("sqlite")), render(&value_set("default")));
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

#[test]
fn permissions_on_policies_are_rendered_only_if_policies_are_read() {
    let without = render(&value_set("default"));
    let with = render(&value_set("sqlite"));
    let about_policies = |rendered: &Rendered| {
        let of = |object: &&Value| object["metadata"]["name"].as_str().is_some_and(|name| name.contains("polic"));
        rendered.0.iter().filter(of).map(|object| object["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let rbac = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
    let counted = |kinds: &[String]| rbac.map(|kind| kinds.iter().filter(|one| *one == kind).count());
    let (none, all) = (counted(&about_policies(&without)), counted(&about_policies(&with)));
    // The admission policy has a ClusterRole in both.
    assert_eq!((none, all), ([1, 1, 0, 0], [2, 2, 1, 1]));
    let role = with.find("ClusterRole", "claviger-rel-claviger-policies").unwrap();
    let rights = json!([
        {"apiGroups": ["claviger.dev"], "resources": ["policies", "clusterpolicies"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["claviger.dev"], "resources": ["policies/status", "clusterpolicies/status"], "verbs": ["patch"]},
    ]);
    assert_eq!(role["rules"], rights);
    let lease = with.find("Role", "rel-claviger-policy-status").unwrap();
    assert_eq!(lease["metadata"]["namespace"], NAMESPACE);
}

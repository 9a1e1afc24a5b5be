//! The chart's `DaemonSet`: the provider for the Secrets Store CSI driver on each node.

use super::rendered::{NAMESPACE, Rendered, notes, render, render_values};
use super::value_set;
use crate::rig::claviger::{binary, wait_until};
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn daemon_set(rendered: &Rendered) -> &Value {
    rendered.find("DaemonSet", "rel-claviger-csi").unwrap_or_else(|| panic!("there is no DaemonSet"))
}

fn render_csi(csi: &Value, tls: &Value) -> Rendered {
    let mut all = json!({"enabled": true});
    all.as_object_mut().unwrap().extend(csi.as_object().unwrap().clone());
    render_values(&json!({"csi": all, "tls": tls})).unwrap()
}

fn container(rendered: &Rendered) -> &Value {
    &daemon_set(rendered)["spec"]["template"]["spec"]["containers"][0]
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The arguments with the folders of the pod replaced by one of the test's.
fn with_folder(words: Vec<String>, folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let moved = |word: String| word.replace("/providers", &folder).replace("/etc/claviger/ca", &folder);
    words.into_iter().map(moved).collect()
}

#[test]
fn the_provider_is_rendered_only_if_enabled() {
    for name in ["default", "sqlite", "postgres", "bare", "openshift", "clouds"] {
        assert!(render(&value_set(name)).all("DaemonSet").is_empty(), "{name}");
    }
    let rendered = render(&value_set("csi"));
    let pod = &daemon_set(&rendered)["spec"]["template"];
    // No Service, disruption budget or network policy of the broker selects it.
    for object in rendered.all("Service") {
        let selector = object["spec"]["selector"].as_object().unwrap();
        let labels = pod["metadata"]["labels"].as_object().unwrap();
        assert!(selector.iter().any(|(name, value)| labels.get(name) != Some(value)), "{object:#}");
    }
    assert_eq!(daemon_set(&rendered)["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"], "claviger-csi");
    let policy = rendered.find("NetworkPolicy", "rel-claviger-csi").unwrap();
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(policy["spec"]["ingress"].is_null());
    let egress = policy["spec"]["egress"].as_array().unwrap();
    assert_eq!(egress.last().unwrap()["ports"], json!([{"port": 8443, "protocol": "TCP"}]));
    // The broker's network policy admits the provider.
    let from = &rendered.find("NetworkPolicy", "rel-claviger").unwrap()["spec"]["ingress"][0]["from"];
    let labels = json!({"app.kubernetes.io/name": "claviger-csi", "app.kubernetes.io/instance": "rel"});
    assert_eq!(from[1]["podSelector"]["matchLabels"], labels);
    assert_eq!(from[1]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], NAMESPACE);
}

#[test]
fn the_provider_mounts_only_the_socket_folder_of_the_node() {
    let rendered = render(&value_set("csi"));
    let spec = &daemon_set(&rendered)["spec"]["template"]["spec"];
    for sharing in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        assert!(spec.get(sharing).is_none(), "{sharing}");
    }
    assert_eq!(spec["automountServiceAccountToken"], false);
    let context = &container(&rendered)["securityContext"];
    assert!(context.get("privileged").is_none());
    let expected = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(*context, expected);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let volumes = spec["volumes"].as_array().unwrap();
    let [providers, ca] = &volumes[..] else { panic!("{volumes:?}") };
    let folder = json!({"path": "/var/run/secrets-store-csi-providers", "type": "DirectoryOrCreate"});
    assert_eq!(providers["hostPath"], folder);
    // Only the certificate of the TLS Secret is mounted.
    assert_eq!(ca["secret"]["items"], json!([{"key": "ca.crt", "path": "ca.crt"}]));
    // Only the volumes are writable.
    let writable = container(&rendered)["volumeMounts"].as_array().unwrap().iter().filter(|m| m["readOnly"] != true);
    assert_eq!(writable.map(|mount| &mount["mountPath"]).collect::<Vec<_>>(), ["/providers"]);
}

#[test]
fn the_provider_trusts_the_ca_of_its_server() {
    let (plain, tls) = (json!({"mode": "none"}), json!({"mode": "secret", "secret": "tls"}));
    let ca = |rendered: &Rendered| {
        let volumes = daemon_set(rendered)["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
        let ca = volumes.iter().find(|volume| volume["name"] == "ca").cloned();
        let has_option = words(&container(rendered)["args"]).contains(&"--ca-file=/etc/claviger/ca/ca.crt".to_owned());
        assert_eq!(ca.is_some(), has_option);
        ca.map(|ca| ca["secret"]["secretName"].as_str().or(ca["configMap"]["name"].as_str()).unwrap().to_owned())
    };
    let elsewhere = json!({"server": "https://keys.example"});
    let with_map = json!({"server": "https://keys.example:8443", "caConfigMap": "ca", "namespace": "kube-system"});
    for (csi, tls, server, expected) in [
        (json!({}), &plain, "http://rel-claviger.claviger.svc:8080", None),
        (json!({}), &tls, "https://rel-claviger.claviger.svc:8443", Some("tls")),
        (json!({"caConfigMap": "ca"}), &tls, "https://rel-claviger.claviger.svc:8443", Some("ca")),
        (elsewhere, &tls, "https://keys.example", None),
        (with_map, &tls, "https://keys.example:8443", Some("ca")),
    ] {
        let rendered = render_csi(&csi, tls);
        let arguments = words(&container(&rendered)["args"]);
        assert!(arguments.contains(&format!("--server={server}")), "{arguments:?}");
        assert_eq!(arguments.contains(&"--insecure".to_owned()), server.starts_with("http:"), "{arguments:?}");
        assert_eq!(ca(&rendered).as_deref(), expected, "{csi}");
        let namespace = csi["namespace"].as_str().unwrap_or(NAMESPACE);
        for kind in ["DaemonSet", "ServiceAccount", "NetworkPolicy"] {
            assert_eq!(rendered.find(kind, "rel-claviger-csi").unwrap()["metadata"]["namespace"], namespace, "{kind}");
        }
        let policy = rendered.find("NetworkPolicy", "rel-claviger-csi").unwrap();
        let port = &policy["spec"]["egress"].as_array().unwrap().last().unwrap()["ports"][0]["port"];
        let expected =
            if server.ends_with("example") { 443 } else { server.rsplit(':').next().unwrap().parse().unwrap() };
        assert_eq!(*port, json!(expected), "{csi}");
    }
}

#[test]
fn the_provider_starts_and_its_probes_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = generate_simple_self_signed(["rel-claviger.claviger.svc".to_owned()]).unwrap();
    fs::write(folder.path().join("ca.crt"), certificate.cert.pem()).unwrap();
    let tls = json!({"mode": "secret", "secret": "tls"});
    for (csi, tls) in [(json!({}), &tls), (json!({"provider": "other", "audience": "keys"}), &json!({"mode": "none"}))]
    {
        let rendered = render_csi(&csi, tls);
        let container = container(&rendered);
        let probe = |kind: &str| {
            let command = with_folder(words(&container[kind]["exec"]["command"]), folder.path());
            assert_eq!(command[0], "/claviger");
            Command::new(binary()).args(&command[1..]).stderr(Stdio::null()).status().unwrap().success()
        };
        assert!(!probe("startupProbe") && !probe("livenessProbe"));
        let mut provider = Command::new(binary());
        provider.args(with_folder(words(&container["args"]), folder.path())).stderr(Stdio::null());
        let mut provider = provider.spawn().unwrap();
        wait_until("the provider", || probe("startupProbe"));
        assert!(probe("livenessProbe"));
        let name = format!("{}.sock", csi["provider"].as_str().unwrap_or("claviger"));
        assert!(folder.path().join(name).exists());
        provider.kill().unwrap();
        provider.wait().unwrap();
    }
}

#[test]
fn the_notes_tell_what_the_driver_needs() {
    let shown = notes(&json!({"tls": {"mode": "none"}, "csi": {"enabled": true, "audience": "keys"}}));
    assert!(shown.contains("tokenRequests: [{audience: keys, expirationSeconds: 600}]"), "{shown}");
    assert!(shown.contains("pod-security.kubernetes.io/enforce=privileged"), "{shown}");
    assert!(!notes(&json!({"tls": {"mode": "none"}})).contains("tokenRequests"));
}

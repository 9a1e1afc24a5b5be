//! From a pod's volume to its files, with real components.

use super::client::{Empty, MountResponse, VersionRequest, VersionResponse, call};
use super::{Provider, TOKENS, assert_refused, attributes};
use crate::rig::bao::until;
use crate::rig::installation::InstallationSetup;
use serde_json::{Value, json};
use tonic::{Code, Status};

#[tokio::test]
async fn each_key_is_a_file_and_the_bundle_has_one_version() {
    let mut setup = InstallationSetup::new().await;
    setup.cache(json!({"ttl": "1s"}));
    setup.bao.put("homelab/shared", &[("A", "shared"), ("B", "it's two\nlines\n")]).await;
    setup.bao.put("homelab/site/main", &[("C", "of the branch")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let main = || json!({"repo": "site", "branch": "main"});

    let mounted = provider.mount_for(&pod, main()).await.unwrap();
    let files = [("A", 0o444, "shared"), ("B", 0o444, "it's two\nlines\n"), ("C", 0o444, "of the branch")];
    assert_eq!(mounted.texts(), files);
    assert_eq!(mounted.object_version.len(), 1);
    let version = &mounted.object_version[0];
    assert_eq!((version.id.as_str(), version.version.len()), ("site/main", 32));

    let narrow =
        json!({"repo": "site", "branch": "main", "keys": "A, C,NOT_THERE", "mode": "0400", "required": "true"});
    let narrowed = provider.mount_for(&pod, narrow).await.unwrap();
    assert_eq!(narrowed.texts(), [("A", 0o400, "shared"), ("C", 0o400, "of the branch")]);
    let by_curl = rig
        .claviger
        .download(&crate::rig::claviger::download_path(&rig.claviger.ask(&pod.token, "repo=site&branch=main")));
    assert_eq!(by_curl.header("x-claviger-versions").as_deref(), Some(version.version.as_str()));

    rig.bao.put("homelab/site/main", &[("C", "newer")]).await;
    let newer = async || {
        let mounted = provider.mount_for(&pod, main()).await.unwrap();
        let is_newer = mounted.texts()[2].2 == "newer";
        assert_eq!(is_newer, mounted.object_version[0].version != version.version);
        is_newer
    };
    until("the newer secret", newer).await;

    let events = rig.claviger.audit_events();
    let kinds: Vec<_> = events[..2].iter().map(|event| (event["type"].as_str(), event["outcome"].as_str())).collect();
    assert_eq!(kinds, [(Some("ticket.issued"), Some("ok")), (Some("ticket.redeemed"), Some("ok"))]);
    assert!(events.iter().all(|event| event["caller"]["pod"]["uid"] == json!(pod.uid)));
    let log = provider.log();
    for secret in ["of the branch", "it's two", &pod.token, "/v1/downloads", "homelab"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(log.contains("volume filled") && log.contains(&pod.uid), "{log}");
}

#[tokio::test]
async fn an_empty_bundle_is_one_file_and_one_version() {
    let rig = InstallationSetup::new().await.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    for (parameters, files) in [
        (json!({}), [(".claviger-empty", 0o444, "")]),
        (json!({"file": "build-env", "mode": "0440"}), [("build-env", 0o440, "")]),
        (json!({"file": "etc/build.json", "format": "json"}), [("etc/build.json", 0o444, "{}")]),
        (json!({"file": "value", "format": "raw", "keys": "A"}), [("value", 0o444, "")]),
    ] {
        let mut all = json!({"repo": "site", "branch": "feature/x"});
        all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        let mounted = provider.mount_for(&pod, all).await.unwrap();
        assert_eq!(mounted.texts(), files, "{parameters}");
        let [version] = &mounted.object_version[..] else { panic!("{mounted:?}") };
        assert_eq!((version.id.as_str(), version.version.len()), ("site/feature/x", 32));
    }
    let required = json!({"repo": "site", "branch": "feature/x", "required": "true"});
    let id = assert_refused(provider.mount_for(&pod, required).await, Code::NotFound, "secret_not_found");
    let events = rig.claviger.audit_events();
    assert_eq!(events.last().unwrap()["requestId"], json!(id), "the request id is that of the audit event");
}

#[tokio::test]
async fn tokens_may_come_with_the_secrets_and_bindings_hold() {
    let setup = InstallationSetup::new().await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "homelab/bound"}]);
    for binding in ["ip", "identity", "none"] {
        let spec = json!({
            "subjects": subjects, "repos": [binding], "branches": ["main"], "secrets": secrets,
            "ticket": {"bindTo": binding},
        });
        setup.policy(binding, spec);
    }
    setup.bao.put("homelab/bound", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    for binding in ["ip", "identity", "none"] {
        let mut attributes = attributes(&pod, json!({"repo": binding, "branch": "main"}));
        let tokens = attributes.as_object_mut().unwrap().remove(TOKENS).unwrap();
        let mounted = provider.mount(&attributes, &json!({(TOKENS): tokens})).await.unwrap();
        assert_eq!(mounted.texts(), [("K", 0o444, "v")], "{binding}");
        assert_refused(provider.mount(&attributes, &json!({})).await, Code::FailedPrecondition, "token_missing");
    }
}

#[tokio::test]
async fn the_health_check_returns_the_version_and_other_calls_are_unimplemented() {
    let provider = Provider::start("http://127.0.0.1:1");
    let asked = VersionRequest { version: "v1alpha1".into() };
    let versions: VersionResponse =
        call(&provider.socket(), "/v1alpha1.CSIDriverProvider/Version", asked).await.unwrap();
    assert_eq!((versions.version.as_str(), versions.runtime_name.as_str()), ("v1alpha1", "claviger"));
    assert_eq!(versions.runtime_version, env!("CARGO_PKG_VERSION"));
    assert_eq!(versions.runtime_version.split('.').count(), 3);
    for path in ["/v1alpha1.CSIDriverProvider/Unmount", "/v1.CSIDriverProvider/Mount", "/"] {
        let answer: Result<Empty, Status> = call(&provider.socket(), path, Empty {}).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    // An empty request has no attributes.
    let empty: Result<MountResponse, Status> =
        call(&provider.socket(), "/v1alpha1.CSIDriverProvider/Mount", Empty {}).await;
    assert_refused(empty, Code::InvalidArgument, "invalid_parameters");
}

#[tokio::test]
async fn a_hundred_pods_mount_at_once() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let pod = rig.pod("ci/build-bot").await.pod;
    let parameters: Value = json!({"repo": "site", "branch": "main"});
    // Each mount has its own connection; 32 are served at once, and the others wait in the socket's queue.
    let mounts = (0..100).map(|_| provider.mount_for(&pod, parameters.clone()));
    for mounted in futures_util::future::join_all(mounts).await {
        assert_eq!(mounted.unwrap().texts(), [("K", 0o444, "v")]);
    }
}

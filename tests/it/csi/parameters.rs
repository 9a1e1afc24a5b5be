//! Hostile parameters: the provider's server is used, and policies decide.

use super::{Provider, assert_refused, attributes};
use crate::fetch::fake::{Fake, problem};
use crate::rig::installation::InstallationSetup;
use serde_json::json;
use tonic::Code;

#[tokio::test]
async fn the_server_and_the_audience_are_the_provider_s_and_policies_decide() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let evil = Fake::start(|_, _, _| Some(problem(403, "denied", &[])));
    let elsewhere = || {
        json!({
            "repo": "site", "branch": "main", "server": evil.url(), "claviger": evil.url(), "url": evil.url(),
            "CLAVIGER_URL": evil.url(), "ca-file": "/etc/passwd", "caFile": "/etc/passwd", "audience": "other",
            "insecure": "true", "socket": "/tmp/x", "token-file": "/etc/passwd", "ttl": "1ms", "timeout": "1h",
        })
    };
    let mounted = provider.mount_for(&pod, elsewhere()).await.unwrap();
    assert_eq!(mounted.texts(), [("K", 0o444, "v")]);
    assert_eq!((evil.asked(), evil.redemptions().len()), (0, 0));
    let mut other = elsewhere();
    other["repo"] = json!("other");
    assert_refused(provider.mount_for(&pod, other).await, Code::PermissionDenied, "denied");
    assert_eq!((evil.asked(), evil.redemptions().len()), (0, 0));
}

#[tokio::test]
async fn hostile_parameters_are_refused_and_none_is_repeated() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v"), ("a/b", "v")]).await;
    let rig = setup.start();
    let pod = rig.pod("ci/build-bot").await.pod;
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let long = "x".repeat(2000);
    for (name, value, code) in [
        ("repo", "../hunter2", "invalid_repo"),
        ("repo", "hunter2\n", "invalid_repo"),
        ("branch", "a..hunter2", "invalid_branch"),
        ("branch", "hunter2 \u{202e}", "invalid_branch"),
        ("branch", long.as_str(), "invalid_branch"),
        ("file", "../hunter2", "invalid_parameters"),
        ("file", "/hunter2", "invalid_parameters"),
        ("file", "..hunter2", "invalid_parameters"),
        ("mode", "hunter2", "invalid_parameters"),
        ("mode", "4755", "invalid_parameters"),
        ("mode", "-1", "invalid_parameters"),
        ("required", "hunter2", "invalid_parameters"),
        ("format", "hunter2", "invalid_parameters"),
        ("keys", "hunter2,,", "invalid_parameters"),
        ("brnach", "hunter2", "invalid_parameters"),
        ("keys", "a/b", "unrenderable"),
    ] {
        let mut parameters = json!({"repo": "site", "branch": "main"});
        parameters[name] = json!(value);
        let outcome = provider.mount_for(&pod, parameters).await;
        let text = outcome.as_ref().unwrap_err().message().to_owned();
        assert_refused(outcome, Code::InvalidArgument, code);
        assert!(!text.contains("hunter2") && !text.contains("a/b"), "{name}: {text}");
    }
    let huge = json!({"repo": "site", "branch": "main", "x": "y".repeat(3 << 20)});
    assert_refused(provider.mount_for(&pod, huge).await, Code::InvalidArgument, "invalid_parameters");
    // The gRPC library refuses a message larger than any Kubernetes object, with a final status.
    let larger = json!({"repo": "site", "branch": "main", "x": "y".repeat(5 << 20)});
    assert_eq!(provider.mount_for(&pod, larger).await.unwrap_err().code(), Code::OutOfRange);
    let attributes = attributes(&pod, json!({"repo": "site", "branch": "main", "keys": "K"}));
    assert_eq!(provider.mount(&attributes, &json!({})).await.unwrap().texts(), [("K", 0o444, "v")]);
    assert!(!provider.log().contains("hunter2"), "{}", provider.log());
}

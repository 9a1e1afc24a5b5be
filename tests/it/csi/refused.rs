//! Refused mounts and their status, each with an accepted twin.

use super::{Provider, assert_refused, attributes, attributes_of, tokens};
use crate::rig::installation::InstallationSetup;
use serde_json::{Value, json};
use tonic::Code;

fn main_branch() -> Value {
    json!({"repo": "site", "branch": "main"})
}

#[tokio::test]
async fn a_pod_gets_what_its_policy_gives_and_no_more() {
    let mut setup = InstallationSetup::new().await;
    setup.cache(json!({"negativeTtl": "1s"}));
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let subjects = json!([{"kubernetes": {"namespaces": ["ci"], "serviceAccounts": ["build-bot"]}}]);
    let secrets = json!([{"store": "vault", "path": "homelab/strict", "required": true}]);
    setup
        .policy("strict", json!({"subjects": subjects, "repos": ["strict"], "branches": ["main"], "secrets": secrets}));
    let closed = json!([{"store": "vault", "path": "homelab/closed/x"}]);
    setup.policy("closed", json!({"subjects": subjects, "repos": ["closed"], "branches": ["main"], "secrets": closed}));
    let rig = setup.start();
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let pod = rig.pod("ci/build-bot").await.pod;
    let stranger = rig.pod("ci/other-bot").await.pod;

    assert_eq!(provider.mount_for(&pod, main_branch()).await.unwrap().texts(), [("K", 0o444, "v")]);
    let id = assert_refused(provider.mount_for(&stranger, main_branch()).await, Code::PermissionDenied, "denied");
    let events = rig.claviger.audit_events();
    let denied = events.last().unwrap();
    assert_eq!((&denied["type"], &denied["requestId"]), (&json!("ticket.denied"), &json!(id)));
    assert!(provider.log().contains(&id), "{}", provider.log());
    let repo = |repo: &str| json!({"repo": repo, "branch": "main"});
    assert_refused(provider.mount_for(&pod, repo("other")).await, Code::PermissionDenied, "denied");
    assert_refused(provider.mount_for(&pod, repo("strict")).await, Code::NotFound, "secret_not_found");
    assert_refused(provider.mount_for(&pod, repo("closed")).await, Code::FailedPrecondition, "store_forbidden");
    assert_refused(provider.mount_for(&pod, json!({"branch": "main"})).await, Code::InvalidArgument, "invalid_request");
    rig.bao.put("homelab/strict", &[("K", "now")]).await;
    let there = || async { provider.mount_for(&pod, repo("strict")).await.is_ok() };
    crate::rig::bao::until("the required secret", there).await;
}

#[tokio::test]
async fn only_the_pod_s_own_token_for_the_audience_is_taken() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let provider = Provider::start(&format!("http://{}", rig.claviger.api));
    let pod = rig.pod("ci/build-bot").await.pod;
    let other = rig.pod("ci/build-bot").await.pod;
    let mount = async |attributes: Value| provider.mount(&attributes, &json!({})).await;
    let without = |name: &str| {
        let mut attributes = attributes(&pod, main_branch());
        attributes.as_object_mut().unwrap().remove(name).unwrap();
        attributes
    };
    assert!(mount(attributes(&pod, main_branch())).await.is_ok());

    let before = rig.claviger.audit_events().len();
    let missing = without(super::TOKENS);
    let text = mount(missing.clone()).await.unwrap_err().message().to_owned();
    assert!(text.contains("tokenRequests with the audience claviger"), "{text}");
    assert_refused(mount(missing).await, Code::FailedPrecondition, "token_missing");
    let mut of_vault = attributes(&pod, main_branch());
    of_vault[super::TOKENS] = json!(tokens(&pod.token).replace("\"claviger\"", "\"vault\""));
    assert_refused(mount(of_vault).await, Code::FailedPrecondition, "token_missing");
    assert_refused(
        mount(attributes_of(&other.uid, &pod.token, &main_branch())).await,
        Code::PermissionDenied,
        "wrong_pod",
    );
    assert_refused(mount(without("csi.storage.k8s.io/pod.uid")).await, Code::FailedPrecondition, "pod_unknown");
    let unbound = rig.kube.unbound_token("ci/build-bot", "claviger").await;
    assert_refused(
        mount(attributes_of(&pod.uid, &unbound, &main_branch())).await,
        Code::PermissionDenied,
        "not_pod_bound",
    );
    assert_refused(
        mount(attributes_of(&pod.uid, "hunter2", &main_branch())).await,
        Code::Unauthenticated,
        "token_invalid",
    );
    assert_eq!(rig.claviger.audit_events().len(), before, "the server received a request");

    let foreign = pod.token_for("other").await;
    assert_refused(
        mount(attributes_of(&pod.uid, &foreign, &main_branch())).await,
        Code::Unauthenticated,
        "unauthenticated",
    );
    other.set_phase("Succeeded").await;
    assert_refused(mount(attributes(&other, main_branch())).await, Code::Unauthenticated, "unauthenticated");
    assert!(mount(attributes(&pod, main_branch())).await.is_ok());
    for secret in [&pod.token, &foreign, &unbound] {
        assert!(!provider.log().contains(secret.as_str()));
    }
}

#[tokio::test]
async fn another_audience_is_an_option_of_the_provider() {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("K", "v")]).await;
    let rig = setup.start();
    let provider = Provider::start_with(&format!("http://{}", rig.claviger.api), &["--audience", "keys"]);
    let pod = rig.pod("ci/build-bot").await.pod;
    let mut named = attributes(&pod, main_branch());
    let outcome = provider.mount(&named, &json!({})).await;
    assert!(outcome.as_ref().unwrap_err().message().contains("the audience keys"), "{outcome:?}");
    assert_refused(outcome, Code::FailedPrecondition, "token_missing");
    named[super::TOKENS] = json!(tokens(&pod.token).replace("\"claviger\"", "\"keys\""));
    assert_eq!(provider.mount(&named, &json!({})).await.unwrap().texts(), [("K", 0o444, "v")]);
}

//! Facts about a pod.

use super::{BOTH, TestAttestors, caller};
use crate::rig::kube::actors::Kube;
use claviger::model::facts::Facts;
use serde_json::json;

#[tokio::test]
async fn a_pod_has_labels_annotations_and_an_address() {
    let kube = Kube::start().await;
    let metadata = json!({"labels": {"app": "site"}, "annotations": {"note": "n"}});
    let (pod, other) = (kube.pod_with("ci/build-bot", metadata).await, kube.pod("ci/build-bot").await);
    pod.set_status(json!({"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}]})).await;
    let attestors = TestAttestors::open(&kube).await;
    let facts = attestors.pod(&pod).await.expect("there");
    assert_eq!((json!(facts.labels), json!(facts.annotations)), (json!({"app": "site"}), json!({"note": "n"})));
    assert_eq!((facts.ip.as_deref(), facts.node), (Some("10.0.0.7"), None));
    let facts = attestors.pod(&other).await.expect("there");
    assert!(facts.labels.is_empty() && facts.annotations.is_empty() && facts.ip.is_none());
}

#[tokio::test]
async fn a_pod_that_is_gone_or_replaced_has_no_facts() {
    let kube = Kube::start().await;
    let (mut replaced, gone) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let replacement = replaced.replace().await;
    gone.delete().await;
    let attestors = TestAttestors::open(&kube).await;
    assert_eq!(attestors.pod(&gone).await, None);
    assert_eq!(attestors.pod(&replaced).await, None);
    assert!(attestors.pod(&replacement).await.is_some());
}

#[tokio::test]
async fn a_caller_of_an_unknown_cluster_has_no_facts() {
    let kube = Kube::start().await;
    let pod = kube.pod("ci/build-bot").await;
    let attestors = TestAttestors::open(&kube).await;
    assert!(attestors.0.facts(&caller(&pod), BOTH).await.unwrap().pod.is_some());
    let mut from_elsewhere = caller(&pod);
    from_elsewhere.issuer = "github".into();
    assert_eq!(attestors.0.facts(&from_elsewhere, BOTH).await, Ok(Facts::default()));
    let mut without_pod = caller(&pod);
    without_pod.workload = None;
    assert_eq!(attestors.0.facts(&without_pod, BOTH).await, Ok(Facts::default()));
}

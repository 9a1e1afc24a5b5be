//! Facts about a pod.

use super::{BOTH, Desk, caller};
use crate::rig::kube::actors::Kube;
use claviger::model::facts::Facts;
use serde_json::json;

#[tokio::test]
async fn a_pod_has_labels_annotations_and_an_address() {
    let kube = Kube::start().await;
    let metadata = json!({"labels": {"app": "site"}, "annotations": {"note": "n"}});
    let (pod, other) = (kube.pod_with("ci/build-bot", metadata).await, kube.pod("ci/build-bot").await);
    pod.has_status(json!({"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}]})).await;
    let desk = Desk::open(&kube).await;
    let facts = desk.pod(&pod).await.expect("there");
    assert_eq!((json!(facts.labels), json!(facts.annotations)), (json!({"app": "site"}), json!({"note": "n"})));
    assert_eq!((facts.ip.as_deref(), facts.node), (Some("10.0.0.7"), None));
    let facts = desk.pod(&other).await.expect("there");
    assert!(facts.labels.is_empty() && facts.annotations.is_empty() && facts.ip.is_none());
}

#[tokio::test]
async fn a_pod_that_is_gone_or_replaced_has_no_facts() {
    let kube = Kube::start().await;
    let (mut replaced, gone) = (kube.pod("ci/build-bot").await, kube.pod("ci/build-bot").await);
    let replacement = replaced.is_replaced().await;
    gone.is_deleted().await;
    let desk = Desk::open(&kube).await;
    assert_eq!(desk.pod(&gone).await, None);
    assert_eq!(desk.pod(&replaced).await, None);
    assert!(desk.pod(&replacement).await.is_some());
}

#[tokio::test]
async fn who_is_in_no_cluster_of_ours_has_no_facts() {
    let kube = Kube::start().await;
    let pod = kube.pod("ci/build-bot").await;
    let desk = Desk::open(&kube).await;
    assert!(desk.0.facts(&caller(&pod), BOTH).await.unwrap().pod.is_some());
    let mut from_elsewhere = caller(&pod);
    from_elsewhere.issuer = "github".into();
    assert_eq!(desk.0.facts(&from_elsewhere, BOTH).await, Ok(Facts::default()));
    let mut without_pod = caller(&pod);
    without_pod.workload = None;
    assert_eq!(desk.0.facts(&without_pod, BOTH).await, Ok(Facts::default()));
}

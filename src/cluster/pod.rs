//! GET of a pod.

use super::client::Cluster;
use super::error::ClusterError;
use super::object::{Object, Owner, Time};
use crate::model::caller::Workload;
use crate::model::facts::PodFacts;
use serde::Deserialize;
use tokio::time::Instant;

/// Group, resource and kind.
const POD: (&str, &str, &str) = ("/api/v1", "pods", "Pod");

/// The fields of a pod that the broker uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.creationTimestamp`, by the API server's clock.
    pub created: Option<Time>,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether `metadata.deletionTimestamp` is set.
    pub being_deleted: bool,
    /// `spec.serviceAccountName`.
    pub service_account: String,
    /// The controller that the pod names. Anyone who may create pods can write any value here.
    pub controller: Option<Owner>,
    /// The attributes that policies can use.
    pub facts: PodFacts,
}

/// The phase of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepted by the cluster; not all containers have started.
    Pending,
    /// At least one container runs or is being started again.
    Running,
    /// All containers succeeded and will not be restarted.
    Succeeded,
    /// All containers ended; at least one failed.
    Failed,
    /// The cluster does not know the phase, or the value is not known here.
    Unknown,
}

impl Pod {
    /// Whether this is the pod that the workload's token is bound to, and it has not finished. A finished pod's
    /// token passes a `TokenReview` until the pod is deleted, so the broker must check this itself.
    #[must_use]
    pub fn is_running_as(&self, workload: &Workload) -> bool {
        self.uid == workload.pod.uid
            && self.service_account == workload.service_account
            && !self.being_deleted
            && matches!(self.phase, Phase::Pending | Phase::Running)
    }
}

/// The containers are not read: their environment may hold secrets.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    service_account_name: String,
    node_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodIp {
    ip: Option<String>,
}

impl Cluster {
    /// Reads a pod. `None` if the API server says that it does not exist, or if the name is not valid.
    ///
    /// # Errors
    /// The API server gave no usable answer.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, ClusterError> {
        let (group, resource, kind) = POD;
        Ok(self.object(group, resource, kind, namespace, name).await?.map(pod))
    }

    /// The same for a caller that holds a slot.
    pub(super) async fn pod_in_slot(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Pod>, ClusterError> {
        Ok(self.object_in_slot(POD, (namespace, name), deadline).await?.map(pod))
    }
}

fn pod(object: Object<Spec, Status>) -> Pod {
    let controller = object.metadata.controller();
    let Object { metadata, spec, status, .. } = object;
    let mut ips: Vec<String> = status.pod_ips.into_iter().filter_map(|one| one.ip).collect();
    if ips.is_empty() {
        ips.extend(status.pod_ip.clone());
    }
    Pod {
        uid: metadata.uid,
        created: metadata.creation_timestamp,
        phase: match status.phase.as_str() {
            "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Unknown,
        },
        being_deleted: metadata.deletion_timestamp.is_some(),
        service_account: spec.service_account_name,
        controller,
        facts: PodFacts {
            ip: status.pod_ip,
            ips,
            node: spec.node_name,
            labels: metadata.labels,
            annotations: metadata.annotations,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::CallFailure;
    use crate::cluster::fake::Fake;
    use crate::model::caller;
    use serde_json::json;
    use std::collections::BTreeMap;

    async fn answered(status: u16, body: &str) -> Result<Option<Pod>, ClusterError> {
        Fake::answering(status, body).await.cluster().await.pod("ci", "build-1").await
    }

    fn bare() -> Pod {
        Pod {
            uid: "u".into(),
            created: None,
            phase: Phase::Unknown,
            being_deleted: false,
            service_account: String::new(),
            controller: None,
            facts: PodFacts::default(),
        }
    }

    #[tokio::test]
    async fn reads_the_facts() {
        let body = json!({
            "kind": "Pod",
            "metadata": {
                "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "site"}, "annotations": {"a": "b"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"},
                    {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "t", "uid": "2", "controller": true,
                     "blockOwnerDeletion": true},
                ],
            },
            "spec": {"serviceAccountName": "build-bot", "nodeName": "node-1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]},
        });
        let pod = Pod {
            uid: "u".into(),
            created: Some("2026-01-01T00:00:00Z".to_owned().try_into().unwrap()),
            phase: Phase::Running,
            being_deleted: true,
            service_account: "build-bot".into(),
            controller: Some(Owner {
                api_version: "tekton.dev/v1".into(),
                kind: "TaskRun".into(),
                name: "t".into(),
                uid: "2".into(),
            }),
            facts: PodFacts {
                ip: Some("10.0.0.7".into()),
                ips: vec!["10.0.0.7".into(), "fd00::7".into()],
                node: Some("node-1".into()),
                labels: BTreeMap::from([("app".into(), "site".into())]),
                annotations: BTreeMap::from([("a".into(), "b".into())]),
            },
        };
        assert_eq!(answered(200, &body.to_string()).await, Ok(Some(pod)));
        let body = r#"{"kind":"Pod","metadata":{"uid":"u","deletionTimestamp":null},"spec":{}}"#;
        assert_eq!(answered(200, body).await, Ok(Some(bare())));
    }

    #[tokio::test]
    async fn a_controller_is_marked_and_the_only_one() {
        let of = async |references: &[Option<bool>]| {
            let reference = |controller: &Option<bool>| {
                let mut owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"});
                if let Some(controller) = controller {
                    owner["controller"] = (*controller).into();
                }
                owner
            };
            let references: Vec<_> = references.iter().map(reference).collect();
            let body = json!({"kind": "Pod", "metadata": {"uid": "u", "ownerReferences": references}});
            answered(200, &body.to_string()).await.unwrap().unwrap().controller.is_some()
        };
        assert!(of(&[Some(true)]).await);
        assert!(of(&[None, Some(false), Some(true)]).await);
        for references in [&[][..], &[None], &[Some(false)], &[Some(true), Some(true)]] {
            assert!(!of(references).await, "{references:?}");
        }
    }

    #[tokio::test]
    async fn absent_is_only_what_the_api_server_calls_absent() {
        assert_eq!(answered(404, r#"{"kind":"Status","reason":"NotFound"}"#).await, Ok(None));
        for (status, body, trouble) in [
            // An ingress without a backend gives this answer, and so does a Go server for an unknown path.
            (404, "404 page not found\n", CallFailure::Status),
            (404, "404 page not found", CallFailure::Status),
            (404, "<html>no such page</html>", CallFailure::Status),
            (404, r#"{"kind":"Status","reason":"Gone"}"#, CallFailure::Status),
            (403, r#"{"kind":"Status","reason":"NotFound"}"#, CallFailure::Credentials),
            (500, "", CallFailure::Overloaded),
            (200, r#"{"kind":"Secret","metadata":{"uid":"u"},"spec":{}}"#, CallFailure::Malformed),
            (200, "[]", CallFailure::Malformed),
            (200, r#"{"kind":"Pod","metadata":{"uid":"u","creationTimestamp":"yesterday"}}"#, CallFailure::Malformed),
        ] {
            assert_eq!(answered(status, body).await, Err(ClusterError::Unavailable(trouble)), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_name_that_no_pod_can_bear_is_not_asked_for() {
        let cluster = Fake::absent().await.cluster().await;
        assert_eq!(cluster.pod("ci", "../secrets/x").await, Ok(None));
        assert_eq!(cluster.pod("ci/pods/x?", "a").await, Ok(None));
        assert!(cluster.pod("ci", "a").await.is_err(), "a good name is asked for");
    }

    #[test]
    fn at_work_is_the_very_pod_alive_under_its_service_account() {
        let workload = Workload {
            namespace: "ci".into(),
            service_account: "build-bot".into(),
            pod: caller::Pod { name: "build-1".into(), uid: "u".into() },
        };
        let running = Pod { phase: Phase::Running, service_account: "build-bot".into(), ..bare() };
        for (phase, at_work) in [
            (Phase::Pending, true),
            (Phase::Running, true),
            (Phase::Succeeded, false),
            (Phase::Failed, false),
            (Phase::Unknown, false),
        ] {
            assert_eq!(Pod { phase, ..running.clone() }.is_running_as(&workload), at_work, "{phase:?}");
        }
        for other in [
            Pod { uid: "4-5-6".into(), ..running.clone() },
            Pod { being_deleted: true, ..running.clone() },
            Pod { service_account: "default".into(), ..running.clone() },
        ] {
            assert!(!other.is_running_as(&workload), "{other:?}");
        }
    }
}

//! Reads pods.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::object::{Object, Owner, Time};
use crate::model::caller::Workload;
use crate::model::facts::PodFacts;
use serde::Deserialize;
use tokio::time::Instant;

/// The path of the API (group and version), the resource in the plural, and the kind.
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
    /// The owner that the pod names as its controller. Anyone who may create pods can name any owner.
    pub controller: Option<Owner>,
    /// The attributes that policies can use.
    pub facts: PodFacts,
}

closed_enum! {
    /// The phase of a pod.
    pub enum Phase {
        /// The pod is accepted, but not all of its containers have started.
        Pending => "Pending",
        /// At least one container is running, starting or restarting.
        Running => "Running",
        /// All containers succeeded and will not be restarted.
        Succeeded => "Succeeded",
        /// All containers ended, and at least one failed.
        Failed => "Failed",
        /// The cluster does not know the phase, or reports a phase that is not known here.
        Unknown => "Unknown",
    }
}

impl Pod {
    /// Whether this is the pod that the workload's token is bound to, and the pod has not ended. A `TokenReview` accepts the token
    /// of an ended pod until the pod is deleted, so the broker has to check this.
    #[must_use]
    pub fn is_running_as(&self, workload: &Workload) -> bool {
        self.uid == workload.pod.uid
            && self.service_account == workload.service_account
            && !self.being_deleted
            && matches!(self.phase, Phase::Pending | Phase::Running)
    }
}

/// The used part of `spec`. Containers are not decoded, because their environment may contain secrets.
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
    /// Reads a pod. `None` if it does not exist or the name is not valid.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, CallFailure> {
        Ok(self.object(POD, (namespace, name)).await?.map(to_pod))
    }

    /// Like [`Self::pod`], for a caller that holds a slot of a `CallLimit`.
    pub(super) async fn pod_in_slot(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Pod>, CallFailure> {
        Ok(self.object_in_slot(POD, (namespace, name), deadline).await?.map(to_pod))
    }
}

fn to_pod(object: Object<Spec, Status>) -> Pod {
    let controller = object.metadata.controller();
    let Object { metadata, spec, status, .. } = object;
    let mut ips: Vec<String> = status.pod_ips.into_iter().filter_map(|pod_ip| pod_ip.ip).collect();
    if ips.is_empty() {
        ips.extend(status.pod_ip.clone());
    }
    Pod {
        uid: metadata.uid,
        created: metadata.creation_timestamp,
        phase: Phase::from_name(&status.phase).unwrap_or(Phase::Unknown),
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
    use crate::cluster::fake_api_server::FakeApiServer;
    use crate::model::caller;
    use serde_json::json;
    use std::collections::BTreeMap;

    async fn read_pod(status: u16, body: &str) -> Result<Option<Pod>, CallFailure> {
        FakeApiServer::responding(status, body).await.cluster().await.pod("ci", "build-1").await
    }

    fn minimal_pod() -> Pod {
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
    async fn the_fields_of_a_pod_are_read() {
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
        assert_eq!(read_pod(200, &body.to_string()).await, Ok(Some(pod)));
        let body = r#"{"kind":"Pod","metadata":{"uid":"u","deletionTimestamp":null},"spec":{}}"#;
        assert_eq!(read_pod(200, body).await, Ok(Some(minimal_pod())));
    }

    #[tokio::test]
    async fn the_controller_is_the_only_owner_with_controller_true() {
        let has_controller = async |references: &[Option<bool>]| {
            let reference = |controller: &Option<bool>| {
                let mut owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"});
                if let Some(controller) = controller {
                    owner["controller"] = (*controller).into();
                }
                owner
            };
            let references: Vec<_> = references.iter().map(reference).collect();
            let body = json!({"kind": "Pod", "metadata": {"uid": "u", "ownerReferences": references}});
            read_pod(200, &body.to_string()).await.unwrap().unwrap().controller.is_some()
        };
        assert!(has_controller(&[Some(true)]).await);
        assert!(has_controller(&[None, Some(false), Some(true)]).await);
        for references in [&[][..], &[None], &[Some(false)], &[Some(true), Some(true)]] {
            assert!(!has_controller(references).await, "{references:?}");
        }
    }

    #[tokio::test]
    async fn a_pod_is_absent_only_if_the_api_server_returns_its_not_found_status() {
        assert_eq!(read_pod(404, r#"{"kind":"Status","reason":"NotFound"}"#).await, Ok(None));
        for (status, body, failure) in [
            // An ingress without a backend sends this response, and so does a Go server for an unknown path.
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
            assert_eq!(read_pod(status, body).await, Err(failure), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn a_pod_with_an_invalid_name_is_absent_without_a_request() {
        let cluster = FakeApiServer::unreachable().await.cluster().await;
        assert_eq!(cluster.pod("ci", "../secrets/x").await, Ok(None));
        assert_eq!(cluster.pod("ci/pods/x?", "a").await, Ok(None));
        assert!(cluster.pod("ci", "a").await.is_err(), "a valid name is requested");
    }

    #[test]
    fn a_pod_is_running_only_with_the_same_uid_and_service_account() {
        let workload = Workload {
            namespace: "ci".into(),
            service_account: "build-bot".into(),
            pod: caller::Pod { name: "build-1".into(), uid: "u".into() },
        };
        let running = Pod { phase: Phase::Running, service_account: "build-bot".into(), ..minimal_pod() };
        for (phase, is_running) in [
            (Phase::Pending, true),
            (Phase::Running, true),
            (Phase::Succeeded, false),
            (Phase::Failed, false),
            (Phase::Unknown, false),
        ] {
            assert_eq!(Pod { phase, ..running.clone() }.is_running_as(&workload), is_running, "{phase:?}");
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

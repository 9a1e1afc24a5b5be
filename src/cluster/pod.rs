//! GET of a pod: what the cluster knows of it, and its maker cannot forge.

use super::exchange::DEADLINE;
use super::name::is_object_name;
use super::{Cluster, ClusterError, Trouble};
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

/// Above what etcd can hold in one object.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// A pod, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// `metadata.uid`.
    pub uid: String,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether `metadata.deletionTimestamp` is set.
    pub being_deleted: bool,
    /// `spec.serviceAccountName`.
    pub service_account: String,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// At least one container runs or is being started again.
    Running,
    /// All containers ended well, for good.
    Succeeded,
    /// All containers ended, not all of them well.
    Failed,
    /// The cluster does not know, or uses a word that we do not.
    Unknown,
}

/// A pod on the wire. Its containers, whose environment may hold secrets, are not read.
#[derive(Deserialize)]
struct Pod {
    kind: String,
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    service_account_name: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    phase: String,
}

/// The API server's own word that there is no such object, unlike the 404 of something before it.
#[derive(Deserialize)]
struct NotFound {
    kind: String,
    reason: String,
}

impl Cluster {
    /// Reads a pod; `None` where the API server says that there is none, or no pod can bear such a name.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<PodFacts>, ClusterError> {
        if !is_object_name(namespace) || !is_object_name(name) {
            return Ok(None);
        }
        let deadline = Instant::now() + DEADLINE;
        let request = Request::get(format!("/api/v1/namespaces/{namespace}/pods/{name}"))
            .body(Vec::new())
            .map_err(|_| Trouble::Malformed)?;
        let _lane = self.reads.enter(deadline).await?;
        let answer = self.exchange(request, MAX_ANSWER_BYTES, deadline).await?;
        match answer.status {
            StatusCode::OK => {
                let pod: Pod = answer.decode()?;
                if pod.kind == "Pod" { Ok(Some(facts(pod))) } else { Err(Trouble::Malformed.into()) }
            }
            StatusCode::NOT_FOUND => match answer.decode::<NotFound>() {
                Ok(said) if said.kind == "Status" && said.reason == "NotFound" => Ok(None),
                _ => Err(answer.trouble().into()),
            },
            _ => Err(answer.trouble().into()),
        }
    }
}

fn facts(pod: Pod) -> PodFacts {
    PodFacts {
        uid: pod.metadata.uid,
        phase: match pod.status.phase.as_str() {
            "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Unknown,
        },
        being_deleted: pod.metadata.deletion_timestamp.is_some(),
        service_account: pod.spec.service_account_name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake::Fake;

    async fn answered(status: u16, body: &str) -> Result<Option<PodFacts>, ClusterError> {
        Fake::answering(status, body).await.cluster().await.pod("ci", "build-1").await
    }

    #[tokio::test]
    async fn reads_the_facts() {
        let body = r#"{"kind":"Pod","metadata":{"uid":"u","deletionTimestamp":"2026-01-01T00:00:00Z"},"spec":{"serviceAccountName":"build-bot","containers":[]},"status":{"phase":"Running"}}"#;
        let facts = PodFacts {
            uid: "u".into(),
            phase: Phase::Running,
            being_deleted: true,
            service_account: "build-bot".into(),
        };
        assert_eq!(answered(200, body).await, Ok(Some(facts)));

        let bare = answered(200, r#"{"kind":"Pod","metadata":{"uid":"u","deletionTimestamp":null},"spec":{}}"#).await;
        let facts =
            PodFacts { uid: "u".into(), phase: Phase::Unknown, being_deleted: false, service_account: String::new() };
        assert_eq!(bare, Ok(Some(facts)));
    }

    #[tokio::test]
    async fn absent_is_only_what_the_api_server_calls_absent() {
        assert_eq!(answered(404, r#"{"kind":"Status","reason":"NotFound"}"#).await, Ok(None));
        for (status, body, trouble) in [
            (404, "<html>no such page</html>", Trouble::Status),
            (404, r#"{"kind":"Status","reason":"Gone"}"#, Trouble::Status),
            (403, r#"{"kind":"Status","reason":"NotFound"}"#, Trouble::Credentials),
            (500, "", Trouble::Overloaded),
            (200, r#"{"kind":"Secret","metadata":{"uid":"u"},"spec":{}}"#, Trouble::Malformed),
            (200, "[]", Trouble::Malformed),
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
}

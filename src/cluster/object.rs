//! GET of one object: the shape that all kinds share, and what a 404 means.

use super::client::Cluster;
use super::error::{CallFailure, ClusterError};
use super::exchange::{Answer, DEADLINE};
use super::name::is_object_name;
use http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Above what etcd can hold in one object.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// How the API server says that it serves no such group, version or resource at all. Go's mux and proxies without a backend
/// say the same, so it counts only for kinds that a cluster may lack.
const NOT_SERVED: &[u8] = b"404 page not found";
/// What a cluster without Tekton does not serve, and one before Kubernetes 1.30.
const OPTIONAL_GROUPS: [&str; 2] = ["/apis/tekton.dev/", "/apis/admissionregistration.k8s.io/"];

/// An object on the wire. The API server leaves empty parts out.
#[derive(Deserialize)]
pub(super) struct Object<Spec, Status> {
    kind: String,
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: Spec,
    #[serde(default)]
    pub(super) status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) uid: String,
    pub(super) creation_timestamp: Option<Time>,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
}

/// A time of the API server: RFC 3339, with a resolution of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(Timestamp);

impl Time {
    /// Whether it is before another by more than this, which the clocks that tell them may differ by.
    #[must_use]
    pub fn is_before(self, other: Self, by_more_than: Duration) -> bool {
        other.0.duration_since(self.0) > by_more_than.try_into().unwrap_or(SignedDuration::MAX)
    }
}

impl TryFrom<String> for Time {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference {
    #[serde(default)]
    controller: bool,
    #[serde(flatten)]
    owner: Owner,
}

/// Whom an object names as its owner, in its own namespace. Whoever may write the object may write this.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `GROUP/VERSION`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

impl Metadata {
    /// The one owner that is marked as the controller.
    pub(super) fn controller(&self) -> Option<Owner> {
        let mut controllers = self.owner_references.iter().filter(|reference| reference.controller);
        match (controllers.next(), controllers.next()) {
            (Some(one), None) => Some(one.owner.clone()),
            _ => None,
        }
    }
}

/// The API server's own word that there is no such object, unlike the 404 of something before it.
#[derive(Deserialize)]
struct NotFound {
    kind: String,
    reason: String,
}

impl Cluster {
    /// Reads one object of a namespace; `None` where the API server says that there is none, or none can have such a
    /// name.
    pub(super) async fn object<Spec, Status>(
        &self,
        group: &str,
        resource: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object<Spec, Status>>, ClusterError>
    where
        Object<Spec, Status>: DeserializeOwned,
    {
        if !is_object_name(namespace) || !is_object_name(name) {
            return Ok(None);
        }
        let deadline = Instant::now() + DEADLINE;
        let request = Request::get(format!("{group}/namespaces/{namespace}/{resource}/{name}"))
            .body(Vec::new())
            .map_err(|_| CallFailure::Malformed)?;
        let _lane = self.reads.enter(deadline).await?;
        read(&self.exchange(request, MAX_ANSWER_BYTES, deadline).await?, group, kind)
    }
}

/// What an answer says of an object of this group and kind.
pub(super) fn read<Spec, Status>(
    answer: &Answer,
    group: &str,
    kind: &str,
) -> Result<Option<Object<Spec, Status>>, ClusterError>
where
    Object<Spec, Status>: DeserializeOwned,
{
    match answer.status {
        StatusCode::OK => {
            let object: Object<Spec, Status> = answer.decode()?;
            if object.kind == kind { Ok(Some(object)) } else { Err(CallFailure::Malformed.into()) }
        }
        StatusCode::NOT_FOUND if is_absent(answer, group) => Ok(None),
        _ => Err(answer.trouble().into()),
    }
}

pub(super) fn is_absent(answer: &Answer, group: &str) -> bool {
    let no_such_object =
        answer.decode::<NotFound>().is_ok_and(|said| said.kind == "Status" && said.reason == "NotFound");
    no_such_object
        || (OPTIONAL_GROUPS.iter().any(|optional| group.starts_with(optional))
            && answer.body().trim_ascii() == NOT_SERVED)
}

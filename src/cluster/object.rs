//! GET of one object: the fields that all kinds share, and the meaning of a 404.

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

/// Above etcd's limit for one object.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// The API server's answer for an unknown group, version or resource. Go's default mux and proxies without a
/// backend give the same answer, so it is accepted only for kinds that a cluster may lack.
const NOT_SERVED: &[u8] = b"404 page not found";
/// API groups that may be missing: Tekton's if it is not installed, and the second before Kubernetes 1.30.
const OPTIONAL_GROUPS: [&str; 2] = ["/apis/tekton.dev/", "/apis/admissionregistration.k8s.io/"];

/// The JSON of an object. The API server omits empty fields.
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

/// A time from the API server: RFC 3339 with a resolution of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(Timestamp);

impl Time {
    /// Whether this time is earlier than another by more than `by_more_than`, the allowed difference between the
    /// clocks.
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

/// The owner that an object names, in its own namespace. Anyone who may write the object may set it.
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
    /// The one owner with `controller: true`.
    pub(super) fn controller(&self) -> Option<Owner> {
        let mut controllers = self.owner_references.iter().filter(|reference| reference.controller);
        match (controllers.next(), controllers.next()) {
            (Some(one), None) => Some(one.owner.clone()),
            _ => None,
        }
    }
}

/// The API server's `Status` for a missing object; it tells this 404 from the 404 of a proxy.
#[derive(Deserialize)]
struct NotFound {
    kind: String,
    reason: String,
}

impl Cluster {
    /// Reads one object of a namespace. `None` if the API server says that it does not exist, or if the name is
    /// not valid.
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
        let deadline = Instant::now() + DEADLINE;
        let _slot = self.reads.enter(deadline).await?;
        self.object_in_slot((group, resource, kind), (namespace, name), deadline).await
    }

    /// The same for a caller that holds a slot.
    pub(super) async fn object_in_slot<Spec, Status>(
        &self,
        (group, resource, kind): (&str, &str, &str),
        (namespace, name): (&str, &str),
        deadline: Instant,
    ) -> Result<Option<Object<Spec, Status>>, ClusterError>
    where
        Object<Spec, Status>: DeserializeOwned,
    {
        if !is_object_name(namespace) || !is_object_name(name) {
            return Ok(None);
        }
        let request = Request::get(format!("{group}/namespaces/{namespace}/{resource}/{name}"))
            .body(Vec::new())
            .map_err(|_| CallFailure::Malformed)?;
        read(&self.exchange(request, MAX_ANSWER_BYTES, deadline).await?, group, kind)
    }
}

/// Parses the answer for an object of this group and kind.
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
        _ => Err(answer.unexpected_status().into()),
    }
}

pub(super) fn is_absent(answer: &Answer, group: &str) -> bool {
    let no_such_object =
        answer.decode::<NotFound>().is_ok_and(|said| said.kind == "Status" && said.reason == "NotFound");
    no_such_object
        || (OPTIONAL_GROUPS.iter().any(|optional| group.starts_with(optional))
            && answer.body().trim_ascii() == NOT_SERVED)
}

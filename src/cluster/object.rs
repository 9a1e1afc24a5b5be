//! Reads one object of a namespace. Has the fields that all kinds share, and distinguishes a 404 for an absent object from other
//! 404s.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::http_exchange::{ApiResponse, CALL_TIMEOUT, get};
use super::object_name::is_object_name;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum size of a response. It is above etcd's limit for one object.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// The API server's response for an unknown group, version or resource. Go's default mux and proxies without a
/// backend send the same body, so it is accepted only for kinds that a cluster may lack.
const NOT_SERVED: &[u8] = b"404 page not found";
/// Paths of API groups that a cluster may lack, wholly or in part: Tekton's, and that of `ValidatingAdmissionPolicy`, whose `v1`
/// Kubernetes has since 1.30.
const OPTIONAL_API_PATHS: [&str; 2] = ["/apis/tekton.dev/", "/apis/admissionregistration.k8s.io/"];

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
    /// Whether this time is earlier than another by more than the clock skew that is allowed between them.
    #[must_use]
    pub fn is_before(self, other: Self, max_skew: Duration) -> bool {
        other.0.duration_since(self.0) > max_skew.try_into().unwrap_or(SignedDuration::MAX)
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

/// An owner that an object names, in the same namespace. Anyone who may write the object can name any owner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// `GROUP/VERSION`.
    pub api_version: String,
    /// Such as `TaskRun`.
    pub kind: String,
    /// `metadata.name` of the owner.
    pub name: String,
    /// `metadata.uid` of the owner.
    pub uid: String,
}

impl Metadata {
    /// The owner with `controller: true`. `None` if there is none or more than one.
    pub(super) fn controller(&self) -> Option<Owner> {
        let mut controllers = self.owner_references.iter().filter(|reference| reference.controller);
        match (controllers.next(), controllers.next()) {
            (Some(controller), None) => Some(controller.owner.clone()),
            _ => None,
        }
    }
}

/// The API server's `Status` for a missing object, which distinguishes its 404 from that of a proxy.
#[derive(Deserialize)]
struct NotFound {
    kind: String,
    reason: String,
}

impl Cluster {
    /// Reads one object of a namespace. `api_path` is the path of the group and version, such as `/apis/tekton.dev/v1`. `None` if
    /// the object does not exist or a name is not valid.
    pub(super) async fn object<Spec, Status>(
        &self,
        (api_path, resource, kind): (&str, &str, &str),
        (namespace, name): (&str, &str),
    ) -> Result<Option<Object<Spec, Status>>, CallFailure>
    where
        Object<Spec, Status>: DeserializeOwned,
    {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let _slot = self.other_calls.enter(deadline).await?;
        self.object_in_slot((api_path, resource, kind), (namespace, name), deadline).await
    }

    /// Like [`Self::object`], for a caller that holds a slot of a `CallLimit`.
    pub(super) async fn object_in_slot<Spec, Status>(
        &self,
        (api_path, resource, kind): (&str, &str, &str),
        (namespace, name): (&str, &str),
        deadline: Instant,
    ) -> Result<Option<Object<Spec, Status>>, CallFailure>
    where
        Object<Spec, Status>: DeserializeOwned,
    {
        if !is_object_name(namespace) || !is_object_name(name) {
            return Ok(None);
        }
        let request = get(format!("{api_path}/namespaces/{namespace}/{resource}/{name}"))?;
        parse_object(&self.exchange(request, MAX_RESPONSE_BYTES, deadline).await?, api_path, kind)
    }
}

/// Parses the response to a read of this API path and kind. `None` if the object does not exist.
pub(super) fn parse_object<Spec, Status>(
    response: &ApiResponse,
    api_path: &str,
    kind: &str,
) -> Result<Option<Object<Spec, Status>>, CallFailure>
where
    Object<Spec, Status>: DeserializeOwned,
{
    match response.status {
        StatusCode::OK => {
            let object: Object<Spec, Status> = response.decode()?;
            if object.kind == kind { Ok(Some(object)) } else { Err(CallFailure::Malformed) }
        }
        StatusCode::NOT_FOUND if is_absent(response, api_path) => Ok(None),
        _ => Err(response.status_failure()),
    }
}

/// Whether a 404 means that the object, or an optional API that it belongs to, does not exist.
pub(super) fn is_absent(response: &ApiResponse, api_path: &str) -> bool {
    let is_not_found =
        response.decode::<NotFound>().is_ok_and(|body| body.kind == "Status" && body.reason == "NotFound");
    is_not_found
        || (OPTIONAL_API_PATHS.iter().any(|optional| api_path.starts_with(optional))
            && response.body().trim_ascii() == NOT_SERVED)
}

//! The status of a custom resource, by server-side apply.

use super::client::Cluster;
use super::error::{CallFailure, ClusterError};
use super::exchange::DEADLINE;
use super::name::is_object_name;
use crate::model::policy_resource::{GROUP, ObservedStatus, ResourceKey, VERSION};
use http::{Method, Request, StatusCode, header};
use serde_json::json;
use tokio::time::Instant;

/// The type of the one condition.
pub(super) const READY: &str = "Ready";
/// Who writes statuses, in the words of server-side apply.
const FIELD_MANAGER: &str = "claviger";
/// The whole object comes back.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusWritten {
    /// It is there.
    Written,
    /// The object is gone, or another one has its name.
    Gone,
}

impl Cluster {
    /// Writes the status of the object with this uid.
    ///
    /// # Errors
    /// When it is not known to be there.
    pub async fn apply_policy_status(
        &self,
        key: &ResourceKey,
        uid: &str,
        status: &ObservedStatus,
    ) -> Result<StatusWritten, ClusterError> {
        let deadline = Instant::now() + DEADLINE;
        let request = request(key, uid, status)?;
        let _slot = self.reads.enter(deadline).await?;
        let answer = self.exchange(request, MAX_ANSWER_BYTES, deadline).await?;
        match answer.status {
            StatusCode::OK => Ok(StatusWritten::Written),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(StatusWritten::Gone),
            _ => Err(answer.unexpected_status().into()),
        }
    }
}

fn request(key: &ResourceKey, uid: &str, observed: &ObservedStatus) -> Result<Request<Vec<u8>>, CallFailure> {
    let ObservedStatus { status, since } = observed;
    let kind = key.kind();
    if ![Some(&key.name), key.namespace.as_ref()].into_iter().flatten().all(|name| is_object_name(name)) {
        return Err(CallFailure::Malformed);
    }
    let place = key.namespace.as_ref().map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
    let (plural, name) = (kind.plural(), &key.name);
    let uri = format!("/apis/{GROUP}/{VERSION}/{place}{plural}/{name}/status?fieldManager={FIELD_MANAGER}&force=true");
    let mut metadata = json!({"name": name, "uid": uid});
    if let Some(namespace) = &key.namespace {
        metadata["namespace"] = namespace.as_ref().into();
    }
    let body = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": kind.as_str(), "metadata": metadata,
        "status": {
            "observedGeneration": status.generation,
            "conditions": [{
                "type": READY,
                "status": if status.ready { "True" } else { "False" },
                "observedGeneration": status.generation,
                "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "reason": status.reason,
                "message": status.message,
            }],
        },
    });
    Request::builder()
        .method(Method::PATCH)
        .uri(uri)
        // JSON is YAML.
        .header(header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(serde_json::to_vec(&body).map_err(|_| CallFailure::Malformed)?)
        .map_err(|_| CallFailure::Malformed)
}

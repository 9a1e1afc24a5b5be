//! Writes the status of a custom resource, by server-side apply.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::policy_object::{MAX_RESPONSE_BYTES, READY, policy_path};
use crate::model::policy_resource::{GROUP, ObservedStatus, ResourceKey, VERSION};
use http::{Method, Request, StatusCode, header};
use serde_json::json;

/// The field manager of server-side apply.
const FIELD_MANAGER: &str = "claviger";

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusWritten {
    /// The status is written.
    Written,
    /// The object does not exist any more, or another object has its name.
    Gone,
}

impl Cluster {
    /// Writes the status of the object with this uid.
    ///
    /// # Errors
    /// The API server refuses the write, or the call fails.
    pub async fn apply_policy_status(
        &self,
        key: &ResourceKey,
        uid: &str,
        status: &ObservedStatus,
    ) -> Result<StatusWritten, CallFailure> {
        let response = self.call(request(key, uid, status)?, MAX_RESPONSE_BYTES).await?;
        match response.status {
            StatusCode::OK => Ok(StatusWritten::Written),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(StatusWritten::Gone),
            _ => Err(response.status_failure()),
        }
    }
}

fn request(key: &ResourceKey, uid: &str, observed: &ObservedStatus) -> Result<Request<Vec<u8>>, CallFailure> {
    let ObservedStatus { status, since } = observed;
    let kind = key.kind();
    let uri = format!("{}/status?fieldManager={FIELD_MANAGER}&force=true", policy_path(key)?);
    let mut metadata = json!({"name": key.name, "uid": uid});
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

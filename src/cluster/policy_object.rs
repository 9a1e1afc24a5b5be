//! A policy as an object of the API server: its path, its conversion to a `PolicyResource`, and the read of a single one.

use super::call_failure::CallFailure;
use super::client::Cluster;
use super::http_exchange::get;
use super::object_name::is_object_name;
use crate::model::may_deny::may_deny;
use crate::model::policy_resource::{
    GROUP, MAX_SPEC_BYTES, ObservedStatus, PolicyResource, ResourceKey, ResourceSpec, ResourceStatus, VERSION,
};
use jiff::Timestamp;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use std::io;

/// Maximum size of a response with one policy, as in a watch.
pub(super) const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// The type of the only condition that Claviger writes.
pub(super) const READY: &str = "Ready";

/// The path of a policy.
///
/// # Errors
/// `Malformed` if the name or the namespace cannot be a name of an object.
pub(super) fn policy_path(key: &ResourceKey) -> Result<String, CallFailure> {
    if ![Some(&key.name), key.namespace.as_ref()].into_iter().flatten().all(|name| is_object_name(name)) {
        return Err(CallFailure::Malformed);
    }
    let namespace = key.namespace.as_ref().map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
    Ok(format!("/apis/{GROUP}/{VERSION}/{namespace}{}/{}", key.kind().plural(), key.name))
}

impl Cluster {
    /// Reads the policy with this key. `None` if it does not exist.
    ///
    /// # Errors
    /// The call to the API server fails.
    pub async fn read_policy(&self, key: &ResourceKey) -> Result<Option<PolicyResource>, CallFailure> {
        let response = self.call(get(policy_path(key)?)?, MAX_RESPONSE_BYTES).await?;
        let Some(object) = response.decode_found::<DynamicObject>()? else { return Ok(None) };
        let resource = to_resource(object).filter(|resource| resource.key == *key);
        resource.map(Some).ok_or(CallFailure::Malformed)
    }
}

/// Converts an object. `None` if it has no name or no uid, which cannot happen with an object of the API server.
pub(super) fn to_resource(object: DynamicObject) -> Option<PolicyResource> {
    let DynamicObject { metadata, mut data, .. } = object;
    let created_at = metadata.creation_timestamp.map(|time| time.0).unwrap_or_default();
    let entries = metadata.managed_fields.unwrap_or_default();
    let writes = entries.into_iter().filter(|entry| entry.subresource.as_ref().is_none_or(String::is_empty));
    let last = writes.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    let (manager, updated_at) = last.map(|entry| (entry.manager, entry.time)).unwrap_or_default();
    let generation = metadata.generation.unwrap_or_default();
    Some(PolicyResource {
        key: ResourceKey { namespace: metadata.namespace.map(String::into), name: metadata.name?.into() },
        uid: metadata.uid?.into(),
        generation,
        created_at,
        updated_at: updated_at.map_or(created_at, |time| time.0),
        updated_by: manager.unwrap_or_default().into(),
        spec: to_spec(data.get_mut("spec").map(Value::take).unwrap_or_default()),
        status: data.get_mut("status").map(Value::take).and_then(parse_status),
    })
}

/// `Complete`, or `TooLarge` without the spec if it exceeds [`MAX_SPEC_BYTES`].
fn to_spec(spec: Value) -> ResourceSpec {
    if serde_json::to_writer(RemainingBytes(MAX_SPEC_BYTES), &spec).is_err() {
        return ResourceSpec::TooLarge { may_deny: may_deny(&spec) };
    }
    ResourceSpec::Complete(spec)
}

/// A writer that discards its input and refuses more than this number of bytes.
struct RemainingBytes(usize);

impl io::Write for RemainingBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    observed_generation: i64,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    observed_generation: i64,
    reason: String,
    message: String,
    last_transition_time: Timestamp,
}

/// Parses a status. `None` if Claviger did not write the status in this form; the status is written again then.
fn parse_status(status: Value) -> Option<ObservedStatus> {
    let Status { observed_generation, conditions } = serde_json::from_value(status).ok()?;
    let condition = conditions.into_iter().find(|condition| condition.kind == READY)?;
    let ready = match &*condition.status {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    (condition.observed_generation == observed_generation).then(|| ObservedStatus {
        status: ResourceStatus {
            ready,
            reason: condition.reason.into(),
            message: condition.message.into(),
            generation: observed_generation,
        },
        since: condition.last_transition_time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake_api_server::FakeApiServer;
    use serde_json::json;

    #[tokio::test]
    async fn read_policy_returns_the_object_or_none_or_the_failure() {
        let key = ResourceKey { namespace: Some("team-a".into()), name: "p".into() };
        let object = |name: &str| {
            json!({"apiVersion": "claviger.dev/v1alpha1", "kind": "Policy", "spec": {"effect": "deny"},
                "metadata": {"name": name, "namespace": "team-a", "uid": "u", "generation": 3}})
        };
        for (status, body, expected) in [
            (200, object("p").to_string(), Ok(Some(3))),
            (404, "{}".to_owned(), Ok(None)),
            (200, object("other").to_string(), Err(CallFailure::Malformed)),
            (200, "[]".to_owned(), Err(CallFailure::Malformed)),
            (403, "{}".to_owned(), Err(CallFailure::Credentials)),
            (503, "{}".to_owned(), Err(CallFailure::Overloaded)),
        ] {
            let cluster = FakeApiServer::responding(status, &body).await.cluster().await;
            let read = cluster.read_policy(&key).await.map(|found| found.map(|found| found.generation));
            assert_eq!(read, expected, "{status} {body}");
        }
        let hostile = ResourceKey { namespace: Some("../nodes".into()), name: "p".into() };
        let cluster = FakeApiServer::unreachable().await.cluster().await;
        assert_eq!(cluster.read_policy(&hostile).await, Err(CallFailure::Malformed));
    }

    #[test]
    fn a_spec_that_is_too_large_is_not_kept() {
        let object = |effect: &str, length: usize| {
            let object = json!({
                "apiVersion": "claviger.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "p", "uid": "u"},
                "spec": {"effect": effect, "description": "x".repeat(length)},
            });
            to_resource(serde_json::from_value(object).expect("an object")).expect("a policy").spec
        };
        let around = r#"{"description":"","effect":"deny"}"#.len();
        assert!(matches!(object("deny", MAX_SPEC_BYTES - around), ResourceSpec::Complete(_)));
        assert_eq!(object("deny", MAX_SPEC_BYTES - around + 1), ResourceSpec::TooLarge { may_deny: true });
        assert_eq!(object("allow", MAX_SPEC_BYTES), ResourceSpec::TooLarge { may_deny: false });
    }
}

//! The path of a policy in the API of the API server, and the bound of a response with a policy.

use super::error::CallFailure;
use super::name::is_object_name;
use crate::model::policy_resource::{GROUP, ResourceKey, VERSION};

/// Maximum size of a response with one policy, as in a watch.
pub(super) const MAX_RESPONSE_BYTES: usize = 8 << 20;

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

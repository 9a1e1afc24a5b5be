//! A caller in responses of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallerObject {
    /// Configured name of the authenticator.
    pub issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`, or the token's `sub`.
    pub subject: String,
    /// Namespace of the pod or `ServiceAccount`; null for OIDC callers.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `ServiceAccount` of the pod or token; null for OIDC callers.
    #[schema(required)]
    pub service_account: Option<String>,
    /// The pod; null for OIDC callers and for tokens that are bound to no pod.
    #[schema(required)]
    pub pod: Option<PodObject>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PodObject {
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
}

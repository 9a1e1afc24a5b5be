//! `administrators`: who may administer.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The checked section.
#[derive(Debug, Clone)]
pub struct Administrators {
    /// Whether Kubernetes callers are asked about by SubjectAccessReview.
    pub subject_access_review: bool,
    /// OIDC callers, of whom every claim must match.
    pub fixed: Vec<Static>,
}

/// One entry of `static`.
#[derive(Debug, Clone)]
pub struct Static {
    /// The authenticator that must have vouched.
    pub authenticator: Arc<str>,
    /// Claims and the values they must have; at least one.
    pub claims: BTreeMap<String, serde_json::Value>,
}

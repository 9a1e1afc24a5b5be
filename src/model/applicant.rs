//! Somebody who asks to administer.

use super::caller::Caller;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Somebody who asks to administer: vouched for as a caller is, but not necessarily bound to a pod. Nothing that
/// hands out secrets takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// Who it is.
    pub caller: Arc<Caller>,
    /// What the API server calls the bearer of a Kubernetes token; bearers of OIDC tokens have none.
    pub user: Option<Arc<ReviewedUser>>,
}

/// A user in the words of a TokenReview, kept to the letter: a SubjectAccessReview wants them back as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ReviewedUser {
    /// `username`.
    pub username: String,
    /// `uid`.
    pub uid: String,
    /// `groups`.
    pub groups: Vec<String>,
    /// `extra`.
    pub extra: BTreeMap<String, Vec<String>>,
}

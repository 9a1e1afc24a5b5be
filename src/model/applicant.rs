//! An authenticated user who requests an administrative action.

use super::caller::Caller;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An authenticated user who requests an administrative action. The token need not be bound to a pod, so no code that releases
/// secrets accepts an applicant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The authenticated identity.
    pub caller: Arc<Caller>,
    /// The user of the TokenReview. `None` for OIDC tokens, and for tokens that have only the audience for callers without a pod.
    pub user: Option<Arc<ReviewedUser>>,
}

/// The user of a TokenReview. The values are unchanged, because a SubjectAccessReview needs them as they are.
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

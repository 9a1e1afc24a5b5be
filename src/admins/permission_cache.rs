//! The cache of permissions, so that the many reads of one page need only one `SubjectAccessReview`.

use super::port::{AdminAction, Resource, Verb};
use crate::model::applicant::ReviewedUser;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a permission is cached.
const PERMISSION_TTL: Duration = Duration::from_secs(5);
const MAX_ENTRIES: u64 = 1_000;

/// A permission for one action. It contains every property of the user that was reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permission {
    issuer: Arc<str>,
    user: Arc<ReviewedUser>,
    verb: Verb,
    resource: Resource,
    name: Option<Box<str>>,
}

impl Permission {
    pub fn new(issuer: &Arc<str>, user: &Arc<ReviewedUser>, action: AdminAction<'_>) -> Self {
        let AdminAction { verb, resource, name } = action;
        Self { issuer: issuer.clone(), user: user.clone(), verb, resource, name: name.map(Into::into) }
    }
}

/// The cached permissions, each with its expiry.
pub struct PermissionCache(Cache<Permission, Instant>);

impl Default for PermissionCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(PERMISSION_TTL).build())
    }
}

impl PermissionCache {
    /// Whether a permission is cached and not expired, by tokio's clock, which tests can advance. moka's own expiry only frees the
    /// memory.
    pub async fn contains(&self, permission: &Permission) -> bool {
        self.0.get(permission).await.is_some_and(|expires_at| Instant::now() < expires_at)
    }

    pub async fn insert(&self, permission: Permission) {
        self.0.insert(permission, Instant::now() + PERMISSION_TTL).await;
    }
}

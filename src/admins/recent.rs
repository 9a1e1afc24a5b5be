//! The cache of recent permissions, so that one page of reads needs one `SubjectAccessReview` instead of a
//! hundred.

use super::port::{Act, Resource, Verb};
use crate::model::applicant::ReviewedUser;
use moka::future::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a permission is cached.
const ALLOWED_FOR: Duration = Duration::from_secs(5);
const MAX_ENTRIES: u64 = 1_000;

/// A permission: the whole user as reviewed, and the action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Allowed {
    issuer: Arc<str>,
    user: Arc<ReviewedUser>,
    verb: Verb,
    resource: Resource,
    name: Option<Box<str>>,
}

impl Allowed {
    pub fn new(issuer: &Arc<str>, user: &Arc<ReviewedUser>, act: Act<'_>) -> Self {
        let Act { verb, resource, name } = act;
        Self { issuer: issuer.clone(), user: user.clone(), verb, resource, name: name.map(Into::into) }
    }
}

/// Recent permissions, each with its expiry.
pub struct Recent(Cache<Allowed, Instant>);

impl Default for Recent {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(ALLOWED_FOR).build())
    }
}

impl Recent {
    /// By tokio's clock, which tests can advance. moka's own expiry only frees the memory.
    pub async fn holds(&self, allowed: &Allowed) -> bool {
        self.0.get(allowed).await.is_some_and(|until| Instant::now() < until)
    }

    pub async fn hold(&self, allowed: Allowed) {
        self.0.insert(allowed, Instant::now() + ALLOWED_FOR).await;
    }
}

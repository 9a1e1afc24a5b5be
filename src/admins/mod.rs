//! Authorisation of administrators by the API server's `SubjectAccessReview` or by the static list. A user is
//! refused if neither allows the action.

mod permission_cache;
mod port;
mod static_entries;

pub use port::{AdminAction, AdminRefusal, AdminsError, Resource, Verb};

use crate::cluster::access_review::{AccessDecision, ResourceAttributes};
use crate::cluster::{CallFailure, Cluster, Clusters};
use crate::config::Config;
use crate::config::administrators::StaticAdministrator;
use crate::config::authenticators::Kind;
use crate::model::applicant::{Applicant, ReviewedUser};
use permission_cache::{Permission, PermissionCache};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The API group in RBAC roles.
const GROUP: &str = "claviger.dev";

/// The rules that decide who may administer.
pub struct Administrators {
    /// The clusters that review users, by authenticator.
    clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
    static_entries: Vec<StaticAdministrator>,
    permissions: PermissionCache,
}

impl Administrators {
    /// Creates the rules of a configuration. A cluster without a client in `clusters` allows nothing.
    #[must_use]
    pub fn open(config: &Config, clusters: &Clusters) -> Self {
        let mut reviewing_clusters = BTreeMap::new();
        for authenticator in &config.authenticators {
            if config.administrators.subject_access_review.contains(&authenticator.name)
                && let Kind::Kubernetes(kubernetes) = &authenticator.kind
                && let Some(cluster) = clusters.get(kubernetes.kubeconfig.as_deref())
            {
                reviewing_clusters.insert(authenticator.name.clone(), cluster);
            }
        }
        Self {
            clusters: reviewing_clusters,
            static_entries: config.administrators.static_administrators.clone(),
            permissions: PermissionCache::default(),
        }
    }

    /// Allows an action only with an explicit permission: of the API server for a user of its cluster, of the static list for any
    /// other caller.
    ///
    /// # Errors
    /// `Refused` if the user is not allowed to perform the action, `Unavailable` if the call to the API server fails.
    pub async fn authorise(&self, applicant: &Applicant, action: AdminAction<'_>) -> Result<(), AdminsError> {
        match &applicant.user {
            Some(user) => self.review(&applicant.caller.issuer, user, action).await,
            None if static_entries::lists(&self.static_entries, &applicant.caller) => Ok(()),
            None => Err(AdminsError::Refused(AdminRefusal::NotListed)),
        }
    }

    /// Asks the user's cluster. A permission to read is cached briefly; a write is reviewed each time.
    async fn review(
        &self,
        issuer: &Arc<str>,
        user: &Arc<ReviewedUser>,
        action: AdminAction<'_>,
    ) -> Result<(), AdminsError> {
        let Some(cluster) = self.clusters.get(issuer) else {
            return Err(AdminsError::Refused(AdminRefusal::NotListed));
        };
        let cacheable = (!action.verb.is_write()).then(|| Permission::new(issuer, user, action));
        if let Some(permission) = &cacheable
            && self.permissions.contains(permission).await
        {
            return Ok(());
        }
        let (resource, verb) = (action.resource.as_str(), action.verb.as_str());
        let access = ResourceAttributes { group: GROUP, resource, verb, name: action.name };
        match cluster.access_review(user, access).await {
            Ok(AccessDecision::Allowed) => {
                if let Some(permission) = cacheable {
                    self.permissions.insert(permission).await;
                }
                Ok(())
            }
            Ok(AccessDecision::Denied) => Err(AdminsError::Refused(AdminRefusal::Denied)),
            Ok(AccessDecision::NoOpinion) => Err(AdminsError::Refused(AdminRefusal::NoOpinion)),
            Err(error) => Err(log_unavailable(issuer, error)),
        }
    }
}

/// Logs why a review failed, and returns the error for the caller.
fn log_unavailable(authenticator: &str, failure: CallFailure) -> AdminsError {
    if failure == CallFailure::Credentials {
        tracing::error!(
            authenticator,
            trouble = failure.as_str(),
            "the API server rejects the broker's credentials or RBAC; administrator requests fail"
        );
    } else {
        tracing::warn!(authenticator, trouble = failure.as_str(), "a SubjectAccessReview failed");
    }
    AdminsError::Unavailable
}

#[cfg(test)]
mod tests;

//! THE ADMINISTRATORS: authorisation by the API server's `SubjectAccessReview` or by the static list. All others
//! are refused.

mod port;
mod recent;
mod static_entries;

pub use port::{Act, AdminRefusal, AdminsError, Resource, Verb};

use crate::cluster::access_review::{Access, AccessDecision};
use crate::cluster::{CallFailure, Cluster, ClusterError, Clusters};
use crate::config::Config;
use crate::config::administrators::StaticAdministrator;
use crate::config::authenticators::Kind;
use crate::model::applicant::{Applicant, ReviewedUser};
use recent::{Allowed, Recent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The API group in RBAC roles.
const GROUP: &str = "claviger.dev";

/// The rules that decide who may administer.
pub struct Administrators {
    /// The clients for reviews, by authenticator, for those that are configured for reviews.
    clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
    static_entries: Vec<StaticAdministrator>,
    recent: Recent,
}

impl Administrators {
    /// Creates the rules of a configuration. A cluster without a client allows nothing.
    #[must_use]
    pub fn open(config: &Config, clusters: &Clusters) -> Self {
        let mut asked = BTreeMap::new();
        for authenticator in &config.authenticators {
            if config.administrators.subject_access_review.contains(&authenticator.name)
                && let Kind::Kubernetes(kubernetes) = &authenticator.kind
                && let Some(cluster) = clusters.get(kubernetes.kubeconfig.as_deref())
            {
                asked.insert(authenticator.name.clone(), cluster);
            }
        }
        Self {
            clusters: asked,
            static_entries: config.administrators.static_administrators.clone(),
            recent: Recent::default(),
        }
    }

    /// Whether a user may perform an action.
    ///
    /// # Errors
    /// Any result other than an explicit permission.
    pub async fn authorise(&self, applicant: &Applicant, act: Act<'_>) -> Result<(), AdminsError> {
        match &applicant.user {
            Some(user) => self.review(&applicant.caller.issuer, user, act).await,
            None if static_entries::lists(&self.static_entries, &applicant.caller) => Ok(()),
            None => Err(AdminsError::Refused(AdminRefusal::NotListed)),
        }
    }

    /// A permission is cached briefly; writes never use the cache.
    async fn review(&self, issuer: &Arc<str>, user: &Arc<ReviewedUser>, act: Act<'_>) -> Result<(), AdminsError> {
        let Some(cluster) = self.clusters.get(issuer) else {
            return Err(AdminsError::Refused(AdminRefusal::NotListed));
        };
        let allowed = (!act.verb.writes()).then(|| Allowed::new(issuer, user, act));
        if let Some(allowed) = &allowed
            && self.recent.holds(allowed).await
        {
            return Ok(());
        }
        let access = Access { group: GROUP, resource: act.resource.as_str(), verb: act.verb.as_str(), name: act.name };
        match cluster.access_review(user, access).await {
            Ok(AccessDecision::Allowed) => {
                if let Some(allowed) = allowed {
                    self.recent.hold(allowed).await;
                }
                Ok(())
            }
            Ok(AccessDecision::Denied) => Err(AdminsError::Refused(AdminRefusal::Denied)),
            Ok(AccessDecision::NoOpinion) => Err(AdminsError::Refused(AdminRefusal::NoOpinion)),
            Err(error) => Err(unavailable(issuer, error)),
        }
    }
}

fn unavailable(authenticator: &str, error: ClusterError) -> AdminsError {
    let ClusterError::Unavailable(trouble) = error;
    if trouble == CallFailure::Credentials {
        tracing::error!(
            authenticator,
            trouble = trouble.as_str(),
            "the API server rejects the broker's credentials or RBAC; administrator requests fail"
        );
    } else {
        tracing::warn!(authenticator, trouble = trouble.as_str(), "a SubjectAccessReview failed");
    }
    AdminsError::Unavailable
}

#[cfg(test)]
mod tests;

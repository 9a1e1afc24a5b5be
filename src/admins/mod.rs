//! May you administer: what an API server's SubjectAccessReview allows, or the static list. Everybody else may nothing.

mod fixed;
mod recent;

use crate::cluster::access_review::{Access, Verdict};
use crate::cluster::{Cluster, ClusterError, Clusters, Trouble};
use crate::config::Config;
use crate::config::administrators::Static;
use crate::config::authenticators::Kind;
use crate::model::applicant::{Applicant, ReviewedUser};
use recent::{Allowed, Recent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The API group of what is administered, as roles in a cluster name it.
const GROUP: &str = "claviger.dev";

/// What is done, in Kubernetes' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Look at one.
    Get,
    /// Look at all.
    List,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Take one away.
    Delete,
    /// Take away all that fit.
    DeleteCollection,
}

impl Verb {
    /// The word in roles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete | Self::DeleteCollection)
    }
}

/// What is administered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Policies.
    Policies,
    /// Outstanding tickets.
    Tickets,
    /// Leases.
    Leases,
    /// The audit log.
    Audit,
    /// Explanations.
    Decisions,
}

impl Resource {
    /// The word in roles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policies => "policies",
            Self::Tickets => "tickets",
            Self::Leases => "leases",
            Self::Audit => "audit",
            Self::Decisions => "decisions",
        }
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act<'a> {
    /// What.
    pub verb: Verb,
    /// To what.
    pub resource: Resource,
    /// To which of them, so that a role may name some of them; none for all.
    pub name: Option<&'a str>,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AdminsError {
    /// No.
    #[error("not an administrator: {}", .0.as_str())]
    Refused(Refusal),
    /// The API server cannot be asked. That is no yes either.
    #[error("the API server cannot be asked about an administrator")]
    Unavailable,
}

/// Why somebody was refused, for the audit event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The API server's authorisers say no.
    Denied,
    /// None of them allows it.
    NoOpinion,
    /// A bearer who is not in the static list, or a user of a cluster that is not asked.
    NotListed,
}

impl Refusal {
    /// The word in the audit event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied_by_cluster",
            Self::NoOpinion => "no_opinion",
            Self::NotListed => "not_listed",
        }
    }
}

/// Who may administer.
pub struct Administrators {
    /// The API servers to ask, by the name of the authenticator that vouched. None where they are not to be asked.
    clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
    fixed: Vec<Static>,
    recent: Recent,
}

impl Administrators {
    /// Those of a configuration. A cluster without a client allows nothing.
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
        Self { clusters: asked, fixed: config.administrators.fixed.clone(), recent: Recent::default() }
    }

    /// Whether somebody may do something.
    ///
    /// # Errors
    /// Everything but a plain yes.
    pub async fn authorise(&self, applicant: &Applicant, act: Act<'_>) -> Result<(), AdminsError> {
        match &applicant.user {
            Some(user) => self.review(&applicant.caller.issuer, user, act).await,
            None if fixed::lists(&self.fixed, &applicant.caller) => Ok(()),
            None => Err(AdminsError::Refused(Refusal::NotListed)),
        }
    }

    /// A yes is kept for a moment, but nothing is written on an old yes.
    async fn review(&self, issuer: &Arc<str>, user: &Arc<ReviewedUser>, act: Act<'_>) -> Result<(), AdminsError> {
        let Some(cluster) = self.clusters.get(issuer) else {
            return Err(AdminsError::Refused(Refusal::NotListed));
        };
        let allowed = (!act.verb.writes()).then(|| Allowed::new(issuer, user, act));
        if let Some(allowed) = &allowed
            && self.recent.holds(allowed).await
        {
            return Ok(());
        }
        let access = Access { group: GROUP, resource: act.resource.as_str(), verb: act.verb.as_str(), name: act.name };
        match cluster.access_review(user, access).await {
            Ok(Verdict::Allowed) => {
                if let Some(allowed) = allowed {
                    self.recent.hold(allowed).await;
                }
                Ok(())
            }
            Ok(Verdict::Denied) => Err(AdminsError::Refused(Refusal::Denied)),
            Ok(Verdict::NoOpinion) => Err(AdminsError::Refused(Refusal::NoOpinion)),
            Err(error) => Err(unavailable(issuer, error)),
        }
    }
}

fn unavailable(authenticator: &str, error: ClusterError) -> AdminsError {
    let ClusterError::Unavailable(trouble) = error;
    if trouble == Trouble::Credentials {
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

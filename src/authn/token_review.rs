//! Kubernetes: a ServiceAccount token bound to a pod, believed for the API server's word and the pod's state.

use super::bound_pod::{is_at_work, workload};
use super::recent::{Answer, Recent};
use super::unverified::UnverifiedToken;
use super::{Authenticator, AuthnError, Refusal};
use crate::cluster::token_review::Review;
use crate::cluster::{Cluster, ClusterError, Trouble};
use crate::config::authenticators as config;
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use crate::model::secret::SecretValue;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Vouches for the pods of one cluster.
pub struct TokenReview {
    reviewer: Arc<Reviewer>,
    cache_ttl: Duration,
    recent: Arc<Recent>,
    clock: Arc<dyn Clock>,
}

/// What a review needs, shared with the tasks that reviews run in.
struct Reviewer {
    name: Arc<str>,
    audience: String,
    cluster: Arc<Cluster>,
}

impl TokenReview {
    /// Asks this cluster.
    pub fn new(name: Arc<str>, config: &config::Kubernetes, cluster: Arc<Cluster>, clock: Arc<dyn Clock>) -> Self {
        let reviewer = Reviewer { name, audience: config.audience.clone(), cluster };
        let recent = Arc::new(Recent::new(config.cache_ttl));
        Self { reviewer: Arc::new(reviewer), cache_ttl: config.cache_ttl, recent, clock }
    }
}

#[async_trait]
impl Authenticator for TokenReview {
    fn name(&self) -> &Arc<str> {
        &self.reviewer.name
    }

    async fn authenticate(&self, token: &UnverifiedToken<'_>) -> Answer {
        let now = self.clock.now();
        token.check(&self.reviewer.audience, now).map_err(AuthnError::Refused)?;
        let left = token.expires_at().saturating_sub(now.as_second());
        let keep = self.cache_ttl.min(Duration::from_secs(left.try_into().unwrap_or(0)));
        let review = || {
            let (reviewer, bearer) = (self.reviewer.clone(), token.bearer().clone());
            async move { reviewer.review(&bearer).await }
        };
        self.recent.answer(token.fingerprint(), keep, review).await
    }

    async fn check_online(&self) -> Result<(), ClusterError> {
        let garbage = SecretValue::new("not-a-token".into());
        self.reviewer.cluster.token_review(&garbage, &self.reviewer.audience).await.map(|_| ())
    }
}

impl Reviewer {
    async fn review(&self, bearer: &SecretValue) -> Answer {
        let review = self.cluster.token_review(bearer, &self.audience).await;
        let user = match review.map_err(|error| self.unavailable(error))? {
            Review::Authenticated(user) => user,
            Review::NotAuthenticated => return Err(AuthnError::Refused(Refusal::NotAuthenticated)),
        };
        // An empty list is a server that does not look at audiences: the token was made for whoever.
        if !user.audiences.contains(&self.audience) {
            return Err(AuthnError::Refused(Refusal::WrongAudience));
        }
        let workload = workload(&user).ok_or(AuthnError::NotPodBound)?;
        let pod = self.cluster.pod(&workload.namespace, &workload.pod.name).await;
        match pod.map_err(|error| self.unavailable(error))? {
            Some(pod) if is_at_work(&pod, &workload) => Ok(Arc::new(Caller {
                issuer: self.name.clone(),
                subject: user.username,
                groups: user.groups,
                workload: Some(workload),
                claims: serde_json::Map::new(),
            })),
            _ => Err(AuthnError::Refused(Refusal::PodGone)),
        }
    }

    fn unavailable(&self, error: ClusterError) -> AuthnError {
        let (authenticator, ClusterError::Unavailable(trouble)) = (&*self.name, error);
        match trouble {
            Trouble::Credentials => tracing::error!(
                authenticator,
                trouble = trouble.as_str(),
                "the API server refuses the broker's own credentials or their RBAC: nobody can be authenticated"
            ),
            _ => tracing::warn!(authenticator, trouble = trouble.as_str(), "a token could not be reviewed"),
        }
        AuthnError::Unavailable
    }
}

//! The verb `explain`: the decision for a caller, and which part of each policy does not match. Reads no secret and issues no
//! ticket.

use super::administrator::Administrator;
use super::error::Error;
use super::pipeline::Broker;
use crate::admins::{AdminAction, Resource, Verb};
use crate::authn::{AddressHistory, AuthnError, BearerToken};
use crate::document::{decode, parse_json};
use crate::model::branch::Branch;
use crate::model::facts::Needs;
use crate::model::ipv6_prefix::ipv6_prefix;
use crate::model::repo::Repo;
use crate::model::request::UnverifiedRequest;
use crate::model::secret::SecretValue;
use crate::model::shadow::ShadowOutcome;
use crate::policy::{AuthenticatorKind, ExplainedPolicy, ExplainedSecret, Explanation, caller_from_description};
use crate::stores::Stores;
use crate::wire::decision::{DecisionExplained, DecisionRequest, PolicyExplained, SecretExplained};
use crate::wire::problem::Code;
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

impl Broker {
    /// Explains the decision for a described caller or for the caller of a token. If the token is refused,
    /// the reason in the explanation is that of the refusal, and no policies are listed.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `invalid_repo`, `invalid_branch`, `token_review_unavailable`,
    /// `policies_unavailable`, `audit_unavailable`.
    pub async fn explain(&self, administrator: &Administrator, body: &[u8]) -> Result<DecisionExplained, Error> {
        self.authorise(administrator, AdminAction { verb: Verb::Create, resource: Resource::Decisions, name: None })
            .await?;
        let DecisionRequest { caller, token, repo, branch } = parse_body(body)?;
        let now = self.stages.clock.now();
        let unverified = parse_request(repo.as_deref(), branch.as_deref(), administrator.context.source_ip, now)?;
        let policies = self.stages.policies.load_full();
        if !policies.unread_clusters().is_empty() {
            return Err(Code::PoliciesUnavailable.into());
        }
        let history = AddressHistory::clean(ipv6_prefix(administrator.context.source_ip));
        let (caller, facts, available) = match (caller, token.map(SecretValue::new)) {
            (Some(described), None) => {
                let (mut caller, facts) = caller_from_description(described).map_err(Error::InvalidRequest)?;
                if caller.issuer.is_empty()
                    && let Some(cluster) = self.only_cluster()
                {
                    caller.issuer = cluster;
                }
                // A fact that is not described does not exist.
                (Arc::new(caller), facts, Needs::ALL)
            }
            (None, Some(token)) => {
                match self.stages.authenticators.authenticate(BearerToken::new(&token), history).await {
                    Ok(caller) => {
                        let needs = policies.needs(&caller, &unverified);
                        let facts = self.facts(&caller, needs).await?;
                        let shadows = policies.shadow_policies(&caller, &unverified);
                        let all = match &shadows {
                            Some(shadows) => self.facts_of_shadows(&caller, &facts, needs, shadows).await,
                            None => None,
                        };
                        let (facts, available) = match (all, shadows) {
                            (Some(all), Some(shadows)) => (all, needs.union(shadows.needs())),
                            _ => (facts, needs),
                        };
                        (caller, facts, available)
                    }
                    Err(AuthnError::Refused(refusal)) => return Ok(explain_refused_token(refusal.as_str())),
                    Err(AuthnError::NotPodBound(_)) => return Ok(explain_refused_token(Code::NotPodBound.as_str())),
                    Err(AuthnError::Limited | AuthnError::UnknownKey | AuthnError::Unavailable) => {
                        return Err(Code::TokenReviewUnavailable.into());
                    }
                }
            }
            _ => return Err(Error::InvalidRequest("either caller or token must be given, and not both")),
        };
        Ok(to_object(policies.explain_with(&caller, (&facts, available), &unverified), &self.stages.stores))
    }

    /// The only kubernetes authenticator. A described caller without an issuer belongs to it. `None` if there are none or several.
    fn only_cluster(&self) -> Option<Arc<str>> {
        let authenticators = &self.stages.policy_bounds.authenticators;
        let mut clusters = authenticators.iter().filter(|(_, kind)| **kind == AuthenticatorKind::Kubernetes);
        let (name, _) = clusters.next()?;
        clusters.next().is_none().then(|| name.clone())
    }
}

fn parse_body(body: &[u8]) -> Result<DecisionRequest, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::InvalidRequest("the body is not UTF-8"))?;
    let invalid = |faults| Error::Faults(Code::InvalidRequest, faults);
    decode(parse_json(text).map_err(|fault| invalid(vec![fault]))?).map_err(invalid)
}

/// The request that is explained. A repo or branch that is omitted must be attested, as for a ticket.
fn parse_request(
    repo: Option<&str>,
    branch: Option<&str>,
    source_ip: IpAddr,
    time: Timestamp,
) -> Result<UnverifiedRequest, Error> {
    let repo = repo.map(Repo::try_from).transpose()?;
    let branch = branch.map(Branch::try_from).transpose()?;
    Ok(UnverifiedRequest { repo, branch, source_ip, time })
}

/// The explanation for a refused token. No policy is evaluated.
fn explain_refused_token(reason: &str) -> DecisionExplained {
    DecisionExplained { reason: reason.into(), ..DecisionExplained::default() }
}

fn to_object(explanation: Explanation, stores: &Stores) -> DecisionExplained {
    let policy = |policy: ExplainedPolicy| PolicyExplained {
        name: policy.name.to_string(),
        matched: policy.matched,
        failed_at: policy.failed_at.map(|part| part.as_str().to_owned()),
        detail: policy.detail,
        mode: policy.is_shadow.then(|| "audit".to_owned()),
        would_change: policy.shadow.map(|outcome| outcome != ShadowOutcome::NoChange),
    };
    let secret = |ExplainedSecret { secret, keys, write, encoding }| SecretExplained {
        store_name: stores.cloud_secret_name(&secret),
        store: secret.store.to_string(),
        path: secret.path,
        keys,
        write: write.and_then(|write| serde_json::from_str(write.as_json()).ok()),
        encoding: encoding.as_str().map(str::to_owned),
    };
    DecisionExplained {
        allowed: explanation.allowed,
        reason: explanation.reason.to_owned(),
        policies: explanation.policies.into_iter().map(policy).collect(),
        secrets: explanation.secrets.into_iter().map(secret).collect(),
    }
}

//! Explain: what the policies say to a caller, and which part of which policy says it. Reads no secret, issues no ticket.

use super::administer::Administrator;
use super::describe::describe;
use super::{Broker, Error};
use crate::admins::{Act, Resource, Verb};
use crate::authn::AuthnError;
use crate::document::{decode, parse_json};
use crate::model::branch::Branch;
use crate::model::caller::Caller;
use crate::model::facts::Facts;
use crate::model::repo::Repo;
use crate::model::request::Request;
use crate::model::secret::SecretValue;
use crate::policy::{Decision, Denial, Grant, GrantedSecret, PolicySet};
use crate::wire::decision::{DecisionExplained, DecisionRequest, PolicyExplained, SecretExplained};
use crate::wire::problem::Code;
use std::sync::Arc;

impl Broker {
    /// Explains a decision, by a description of the caller or by its token. A token that is refused is explained too.
    ///
    /// # Errors
    /// `denied`, `invalid_request`, `invalid_repo`, `invalid_branch`, `token_review_unavailable`.
    pub async fn explain(&self, who: &Administrator, body: &[u8]) -> Result<DecisionExplained, Error> {
        self.authorise(who, Act { verb: Verb::Create, resource: Resource::Decisions, name: None }).await?;
        let DecisionRequest { caller, token, repo, branch } = read(body)?;
        let request = request(repo.as_deref(), branch.as_deref())?;
        let (caller, facts) = match (caller, token.map(SecretValue::new)) {
            (Some(described), None) => describe(described).map(|(caller, facts)| (Arc::new(caller), facts))?,
            (None, Some(token)) => match self.parts.authenticators.authenticate(&token).await {
                Ok(caller) => (caller, Facts::default()),
                Err(AuthnError::Refused(refusal)) => return Ok(refused(refusal.as_str())),
                Err(AuthnError::NotPodBound) => return Ok(refused(Code::NotPodBound.as_str())),
                Err(AuthnError::Unavailable) => return Err(Code::TokenReviewUnavailable.into()),
            },
            _ => return Err(Error::InvalidRequest("either caller or token must be given, and not both")),
        };
        Ok(explanation(&self.parts.policies.load(), &caller, &facts, &request))
    }
}

fn read(body: &[u8]) -> Result<DecisionRequest, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::InvalidRequest("the body is not UTF-8"))?;
    let invalid = |faults| Error::Faults(Code::InvalidRequest, faults);
    decode(parse_json(text).map_err(|fault| invalid(vec![fault]))?).map_err(invalid)
}

fn request(repo: Option<&str>, branch: Option<&str>) -> Result<Request, Error> {
    let repo = Repo::try_from(repo.ok_or(Error::InvalidRequest("repo is missing"))?)?;
    let branch = Branch::try_from(branch.ok_or(Error::InvalidRequest("branch is missing"))?)?;
    Ok(Request { repo, branch })
}

/// Nobody vouches for the token, so that no policy was looked at.
fn refused(reason: &str) -> DecisionExplained {
    DecisionExplained { reason: reason.into(), ..DecisionExplained::default() }
}

/// The same decision that a ticket would be issued by, with every policy's part in it. No policy asks for facts yet.
fn explanation(policies: &PolicySet, caller: &Caller, _: &Facts, request: &Request) -> DecisionExplained {
    let decision = policies.decide(caller, request);
    let explained = policies.policies().iter().map(|policy| {
        let failed_at = policy.mismatch(caller, request);
        PolicyExplained {
            name: policy.name().to_string(),
            matched: failed_at.is_none(),
            failed_at: failed_at.map(|part| part.as_str().to_owned()),
            detail: Some(match failed_at {
                Some(part) => format!("none of its {} fits", part.as_str()),
                None => part_in(&decision, policy.name()).to_owned(),
            }),
        }
    });
    let policies = explained.collect();
    match decision {
        Decision::Granted(Grant { secrets, delivery, .. }) => {
            let allowed = delivery.ticket || delivery.direct;
            let reason = if allowed { "granted" } else { Code::DeliveryNotAllowed.as_str() }.to_owned();
            let secrets = if allowed { secrets.iter().map(secret).collect() } else { Vec::new() };
            DecisionExplained { allowed, reason, policies, secrets }
        }
        Decision::Denied(denial) => DecisionExplained { policies, ..refused(denial.as_str()) },
    }
}

/// What follows from a policy that matches.
fn part_in(decision: &Decision, name: &str) -> &'static str {
    const NO_PATH: &str =
        "matches, but a path cannot be filled in or leads out of the ceiling, so that it grants nothing";
    match decision {
        Decision::Granted(grant) if grant.policies.iter().any(|policy| &*policy.name == name) => "matches and allows",
        Decision::Denied(Denial::DeniedByPolicy(policies)) => {
            if policies.iter().any(|policy| &*policy.name == name) {
                "matches and denies"
            } else {
                "matches, but a deny policy matches too"
            }
        }
        _ => NO_PATH,
    }
}

fn secret(granted: &GrantedSecret) -> SecretExplained {
    let keys = match granted.rule.written_patterns() {
        [] => vec!["**".to_owned()],
        patterns => patterns.to_vec(),
    };
    SecretExplained { store: granted.secret.store.to_string(), path: granted.secret.path.clone(), keys }
}

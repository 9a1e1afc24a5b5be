//! Who are you: the first step of every verb that wants a caller.

use super::context::Context;
use super::error::Error;
use super::pipeline::Broker;
use crate::authn::{AuthnError, Standing};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::applicant::Applicant;
use crate::model::caller::Caller;
use crate::model::ipv6_prefix::ipv6_prefix;
use crate::model::secret::SecretValue;
use crate::traces::Stage;
use crate::wire::problem::Code;
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Instrument as _;

impl Broker {
    /// Has somebody vouch for the bearer of a token.
    ///
    /// # Errors
    /// `unauthenticated`, `not_pod_bound`, `token_review_unavailable`, and `rate_limited` where the address has shown too many
    /// bad tokens: then few new ones of it are reviewed, so that a flood does not reach the API server.
    pub async fn authenticate(&self, bearer: Option<&SecretValue>, context: &Context) -> Result<Arc<Caller>, Error> {
        let Some(bearer) = bearer else {
            return Err(self.refuse_shape("no_token", context.source_ip));
        };
        if let Some(known) = self.stages.authenticators.recall(bearer).await {
            return Ok(known);
        }
        let standing = self.standing(context.source_ip);
        let answer = self.stages.authenticators.authenticate(bearer, standing);
        self.vouched(answer.instrument(Stage::Authn.span()).await, standing, context)
    }

    /// The same for somebody who asks to administer, who need not be a pod.
    ///
    /// # Errors
    /// As above, and `rate_limited` where the same person asks too often.
    pub async fn authenticate_applicant(
        &self,
        bearer: Option<&SecretValue>,
        context: &Context,
    ) -> Result<Applicant, Error> {
        let Some(bearer) = bearer else {
            return Err(self.refuse_shape("no_token", context.source_ip));
        };
        let known = self.stages.authenticators.recall_applicant(bearer).await;
        let applicant = if let Some(known) = known {
            known
        } else {
            let standing = self.standing(context.source_ip);
            let answer = self.stages.authenticators.authenticate_applicant(bearer, standing);
            self.vouched(answer.instrument(Stage::Authn.span()).await, standing, context)?
        };
        if !self.callers.charge(applicant.caller.account()) {
            return Err(Code::RateLimited.into());
        }
        Ok(applicant)
    }

    fn standing(&self, source_ip: IpAddr) -> Standing {
        let address = ipv6_prefix(source_ip);
        if self.failures.is_exhausted(&address) {
            Standing::exhausted(address)
        } else if self.failed_lately.is_exhausted(&address) {
            Standing::failing(address)
        } else {
            Standing::clean(address)
        }
    }

    fn vouched<T>(&self, answer: Result<T, AuthnError>, standing: Standing, context: &Context) -> Result<T, Error> {
        answer.map_err(|error| match error {
            AuthnError::Refused(refusal) if refusal.is_by_shape() => {
                self.refuse_shape(refusal.as_str(), context.source_ip)
            }
            AuthnError::Refused(_) | AuthnError::NotPodBound if standing.is_exhausted() => {
                self.refuse(Code::RateLimited, "rate_limited", context.source_ip)
            }
            AuthnError::Refused(refusal) => self.refuse(Code::Unauthenticated, refusal.as_str(), context.source_ip),
            AuthnError::NotPodBound => self.refuse(Code::NotPodBound, "not_pod_bound", context.source_ip),
            // Not reviewed, so neither bad nor good: charging it would keep the address exhausted for ever.
            AuthnError::Limited => {
                self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, "rate_limited", context.source_ip);
                Code::RateLimited.into()
            }
            // Anybody can name a key: so many from an address are told to come again, as the issuer may have it soon.
            AuthnError::UnknownKey if !self.misshapen.charge(ipv6_prefix(context.source_ip)) => {
                self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, "rate_limited", context.source_ip);
                Code::RateLimited.into()
            }
            AuthnError::UnknownKey | AuthnError::Unavailable => {
                let reason = Code::TokenReviewUnavailable.as_str();
                self.aggregated.add(EventType::AuthnFailed, Outcome::Failed, reason, context.source_ip);
                Code::TokenReviewUnavailable.into()
            }
        })
    }

    /// Refuses what was shown for its shape alone.
    fn refuse_shape(&self, reason: &'static str, source_ip: IpAddr) -> Error {
        let (code, reason) = if self.misshapen.charge(ipv6_prefix(source_ip)) {
            (Code::Unauthenticated, reason)
        } else {
            (Code::RateLimited, "rate_limited")
        };
        self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, reason, source_ip);
        code.into()
    }

    fn refuse(&self, code: Code, reason: &'static str, source_ip: IpAddr) -> Error {
        self.failures.charge(ipv6_prefix(source_ip));
        self.failed_lately.charge(ipv6_prefix(source_ip));
        self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, reason, source_ip);
        code.into()
    }
}

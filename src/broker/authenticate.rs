//! Authentication: the first step of every verb that needs a caller.

use super::context::Context;
use super::error::Error;
use super::pipeline::Broker;
use crate::authn::{AddressHistory, AuthnError, BearerToken};
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
    /// Authenticates the caller by its bearer token.
    ///
    /// # Errors
    /// `unauthenticated`, `not_pod_bound`, `token_review_unavailable`, and `rate_limited` if the address has sent too many bad
    /// tokens. Then few of its unknown tokens are reviewed, so that a flood does not reach the API server.
    pub async fn authenticate(&self, bearer: Option<&SecretValue>, context: &Context) -> Result<Arc<Caller>, Error> {
        let Some(bearer) = bearer else {
            return Err(self.refuse_malformed("no_token", context.source_ip));
        };
        let token = BearerToken::new(bearer);
        if let Some(known) = self.stages.authenticators.recall(token).await {
            return Ok(known);
        }
        let history = self.history(context.source_ip);
        let answer = self.stages.authenticators.authenticate(token, history);
        self.checked(answer.instrument(Stage::Authn.span()).await, history, context)
    }

    /// Authenticates a user of the admin API, whose token need not be bound to a pod.
    ///
    /// # Errors
    /// As for [`Broker::authenticate`], and `rate_limited` if the user sends too many requests.
    pub async fn authenticate_applicant(
        &self,
        bearer: Option<&SecretValue>,
        context: &Context,
    ) -> Result<Applicant, Error> {
        let Some(bearer) = bearer else {
            return Err(self.refuse_malformed("no_token", context.source_ip));
        };
        let token = BearerToken::new(bearer);
        let known = self.stages.authenticators.recall_applicant(token).await;
        let applicant = if let Some(known) = known {
            known
        } else {
            let history = self.history(context.source_ip);
            let answer = self.stages.authenticators.authenticate_applicant(token, history);
            self.checked(answer.instrument(Stage::Authn.span()).await, history, context)?
        };
        if !self.callers.charge(applicant.caller.quota_identity()) {
            return Err(Code::RateLimited.into());
        }
        Ok(applicant)
    }

    fn history(&self, source_ip: IpAddr) -> AddressHistory {
        let address = ipv6_prefix(source_ip);
        if self.failures.is_exhausted(&address) {
            AddressHistory::exhausted(address)
        } else if self.failing_addresses.is_exhausted(&address) {
            AddressHistory::failing(address)
        } else {
            AddressHistory::clean(address)
        }
    }

    fn checked<T>(
        &self,
        answer: Result<T, AuthnError>,
        history: AddressHistory,
        context: &Context,
    ) -> Result<T, Error> {
        answer.map_err(|error| match error {
            AuthnError::Refused(refusal) if refusal.is_by_shape() => {
                self.refuse_malformed(refusal.as_str(), context.source_ip)
            }
            AuthnError::NotPodBound(caller) => self.refuse_unbound(&caller, context.source_ip),
            AuthnError::Refused(_) if history.is_exhausted() => {
                self.refuse(Code::RateLimited, "rate_limited", context.source_ip)
            }
            AuthnError::Refused(refusal) => self.refuse(Code::Unauthenticated, refusal.as_str(), context.source_ip),
            // Not reviewed, so it is not charged: otherwise the address would stay exhausted for ever.
            AuthnError::Limited => {
                self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, "rate_limited", context.source_ip);
                Code::RateLimited.into()
            }
            // The issuer may publish an unknown key soon, so the client is told to retry. Up to a limit, because any client can name one.
            AuthnError::UnknownKey if !self.malformed_tokens.charge(ipv6_prefix(context.source_ip)) => {
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

    /// Refuses a missing or malformed token.
    fn refuse_malformed(&self, reason: &'static str, source_ip: IpAddr) -> Error {
        let (code, reason) = if self.malformed_tokens.charge(ipv6_prefix(source_ip)) {
            (Code::Unauthenticated, reason)
        } else {
            (Code::RateLimited, "rate_limited")
        };
        self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, reason, source_ip);
        code.into()
    }

    /// Refuses a valid token that is bound to no pod. The failure is charged to the subject and not to the address, because all
    /// requests of External Secrets Operator come from one address.
    fn refuse_unbound(&self, caller: &Arc<Caller>, source_ip: IpAddr) -> Error {
        let code =
            if self.unbound_failures.charge(caller.quota_identity()) { Code::NotPodBound } else { Code::RateLimited };
        self.aggregated.add_of(caller, EventType::AuthnFailed, Outcome::Denied, code.as_str(), source_ip);
        code.into()
    }

    fn refuse(&self, code: Code, reason: &'static str, source_ip: IpAddr) -> Error {
        self.failures.charge(ipv6_prefix(source_ip));
        self.failing_addresses.charge(ipv6_prefix(source_ip));
        self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, reason, source_ip);
        code.into()
    }
}

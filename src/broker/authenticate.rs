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
    /// tokens. Few new tokens from such an address are reviewed, so that a flood does not reach the API server.
    pub async fn authenticate(&self, bearer: Option<&SecretValue>, context: &Context) -> Result<Arc<Caller>, Error> {
        let Some(bearer) = bearer else {
            return Err(self.refuse_malformed("no_token", context.source_ip));
        };
        let token = BearerToken::new(bearer);
        if let Some(caller) = self.stages.authenticators.cached_caller(token).await {
            return Ok(caller);
        }
        let history = self.address_history(context.source_ip);
        let authentication = self.stages.authenticators.authenticate(token, history);
        let result = authentication.instrument(Stage::Authn.span()).await;
        result.map_err(|error| self.refuse_authentication(error, history, context))
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
        let cached = self.stages.authenticators.cached_applicant(token).await;
        let applicant = if let Some(cached) = cached {
            cached
        } else {
            let history = self.address_history(context.source_ip);
            let authentication = self.stages.authenticators.authenticate_applicant(token, history);
            let result = authentication.instrument(Stage::Authn.span()).await;
            result.map_err(|error| self.refuse_authentication(error, history, context))?
        };
        if !self.requests.charge(applicant.caller.quota_identity()) {
            return Err(Code::RateLimited.into());
        }
        Ok(applicant)
    }

    fn address_history(&self, source_ip: IpAddr) -> AddressHistory {
        let address = ipv6_prefix(source_ip);
        if self.failures.is_exhausted(&address) {
            AddressHistory::exhausted(address)
        } else if self.failing_addresses.is_exhausted(&address) {
            AddressHistory::failing(address)
        } else {
            AddressHistory::clean(address)
        }
    }

    /// Counts a failed authentication, also against the failure limit of the address or subject, and returns the error of the verb.
    fn refuse_authentication(&self, error: AuthnError, history: AddressHistory, context: &Context) -> Error {
        match error {
            AuthnError::Refused(refusal) if refusal.is_before_signature_check() => {
                self.refuse_malformed(refusal.as_str(), context.source_ip)
            }
            AuthnError::NotPodBound(caller) => self.refuse_unbound(&caller, context.source_ip),
            AuthnError::Refused(_) if history.is_exhausted() => {
                self.refuse(Code::RateLimited, "rate_limited", context.source_ip)
            }
            AuthnError::Refused(refusal) => self.refuse(Code::Unauthenticated, refusal.as_str(), context.source_ip),
            // A token that was not reviewed does not count as a failure: an address that goes on sending tokens would stay above its
            // failure limit for ever.
            AuthnError::Limited => {
                self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, "rate_limited", context.source_ip);
                Code::RateLimited.into()
            }
            // A client may retry, because the issuer may publish the key soon. The limit stops clients that name random keys.
            AuthnError::UnknownKey if !self.malformed_tokens.charge(ipv6_prefix(context.source_ip)) => {
                self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, "rate_limited", context.source_ip);
                Code::RateLimited.into()
            }
            AuthnError::UnknownKey | AuthnError::Unavailable => {
                let reason = Code::TokenReviewUnavailable.as_str();
                self.aggregated.add(EventType::AuthnFailed, Outcome::Failed, reason, context.source_ip);
                Code::TokenReviewUnavailable.into()
            }
        }
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

    /// Refuses a valid token that is not bound to a pod. The failure counts against the limit of the subject and not of the address,
    /// because all requests of External Secrets Operator come from one address.
    fn refuse_unbound(&self, caller: &Arc<Caller>, source_ip: IpAddr) -> Error {
        let code =
            if self.unbound_failures.charge(caller.quota_identity()) { Code::NotPodBound } else { Code::RateLimited };
        self.aggregated.add_for_caller(caller, EventType::AuthnFailed, Outcome::Denied, code.as_str(), source_ip);
        code.into()
    }

    /// Refuses a token whose signature or pod was refused. Counts a failure of the address.
    fn refuse(&self, code: Code, reason: &'static str, source_ip: IpAddr) -> Error {
        self.failures.charge(ipv6_prefix(source_ip));
        self.failing_addresses.charge(ipv6_prefix(source_ip));
        self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, reason, source_ip);
        code.into()
    }
}

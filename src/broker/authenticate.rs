//! Who are you: the first step of every verb that wants a caller.

use super::{Broker, Context, Error};
use crate::authn::AuthnError;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::applicant::Applicant;
use crate::model::caller::Caller;
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
    /// bad tokens: then only tokens that are known already are taken from it, so that a flood does not reach the API server.
    pub async fn authenticate(&self, bearer: Option<&SecretValue>, context: &Context) -> Result<Arc<Caller>, Error> {
        let Some(bearer) = bearer else {
            return Err(self.refuse(Code::Unauthenticated, "no_token", context.source_ip));
        };
        if self.failures.is_exhausted(&fold(context.source_ip)) {
            let known = self.parts.authenticators.recall(bearer).await;
            return known.ok_or_else(|| self.refuse(Code::RateLimited, "rate_limited", context.source_ip));
        }
        let answer = self.parts.authenticators.authenticate(bearer).instrument(Stage::Authn.span()).await;
        self.vouched(answer, context)
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
            return Err(self.refuse(Code::Unauthenticated, "no_token", context.source_ip));
        };
        let applicant = if self.failures.is_exhausted(&fold(context.source_ip)) {
            let known = self.parts.authenticators.recall_applicant(bearer).await;
            known.ok_or_else(|| self.refuse(Code::RateLimited, "rate_limited", context.source_ip))?
        } else {
            let answer = self.parts.authenticators.authenticate_applicant(bearer).instrument(Stage::Authn.span()).await;
            self.vouched(answer, context)?
        };
        if !self.callers.charge(applicant.caller.identity()) {
            return Err(Code::RateLimited.into());
        }
        Ok(applicant)
    }

    fn vouched<T>(&self, answer: Result<T, AuthnError>, context: &Context) -> Result<T, Error> {
        answer.map_err(|error| match error {
            AuthnError::Refused(refusal) => self.refuse(Code::Unauthenticated, refusal.as_str(), context.source_ip),
            AuthnError::NotPodBound => self.refuse(Code::NotPodBound, "not_pod_bound", context.source_ip),
            AuthnError::Unavailable => {
                let reason = Code::TokenReviewUnavailable.as_str();
                self.summed.add(EventType::AuthnFailed, Outcome::Failed, reason, context.source_ip);
                Code::TokenReviewUnavailable.into()
            }
        })
    }

    fn refuse(&self, code: Code, reason: &'static str, source_ip: IpAddr) -> Error {
        self.failures.charge(fold(source_ip));
        self.summed.add(EventType::AuthnFailed, Outcome::Denied, reason, source_ip);
        code.into()
    }
}

/// Whoever has one IPv6 address has its whole /64.
#[must_use]
pub fn fold(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

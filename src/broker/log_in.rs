//! Login, which Vault's clients do before a read: reviews the token and counts the request against the caller's rate limit.

use super::context::Context;
use super::error::Error;
use super::pipeline::Broker;
use crate::authn::{BearerToken, TokenLifetime};
use crate::metrics::labels::{EventType, Outcome};
use crate::model::caller::Caller;
use crate::model::secret::SecretValue;
use crate::wire::problem::Code;
use std::sync::Arc;

/// Minimum remaining lifetime of a token at login. A Vault agent logs in again after two thirds of the lifetime, so a shorter one
/// would cause a busy loop.
const MIN_LIFETIME_SECONDS: u64 = 30;

/// The caller of a token, and the token's validity.
pub struct Session {
    pub caller: Arc<Caller>,
    /// The validity of the token.
    pub lifetime: TokenLifetime,
}

impl Broker {
    /// Reviews a token that a client will send with its reads.
    ///
    /// # Errors
    /// As for [`Broker::session`], `draining`, and `unauthenticated` for a token that is valid for less than 30 s.
    pub async fn log_in(&self, bearer: Option<&SecretValue>, context: &Context) -> Result<Session, Error> {
        if self.is_draining() {
            return Err(Code::Draining.into());
        }
        let session = self.session(bearer, context).await?;
        if session.lifetime.remaining_seconds < MIN_LIFETIME_SECONDS {
            Err(self.refuse_expiring(context))
        } else {
            Ok(session)
        }
    }

    /// Reviews a token and returns its validity.
    ///
    /// # Errors
    /// As for [`Broker::authenticate`], and `rate_limited` if the caller sends too many requests.
    pub async fn session(&self, bearer: Option<&SecretValue>, context: &Context) -> Result<Session, Error> {
        let caller = self.authenticate(bearer, context).await?;
        if !self.requests.charge(caller.quota_identity()) {
            return Err(Code::RateLimited.into());
        }
        let lifetime = bearer.and_then(|bearer| self.stages.authenticators.lifetime_of(BearerToken::new(bearer)));
        let lifetime = lifetime.ok_or(Error::Plain(Code::Unauthenticated))?;
        // Reviews tolerate clock skew, and so accept a token for some seconds after its expiry.
        if lifetime.remaining_seconds > 0 {
            Ok(Session { caller, lifetime })
        } else {
            Err(self.refuse_expiring(context))
        }
    }

    fn refuse_expiring(&self, context: &Context) -> Error {
        self.aggregated.add(EventType::AuthnFailed, Outcome::Denied, "token_expires_soon", context.source_ip);
        Error::ExpiresSoon
    }
}

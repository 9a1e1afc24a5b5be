//! The port: what every authenticator does.

use super::error::{AuthnError, CannotAsk};
use super::review_gate::Standing;
use super::unverified::{Fingerprint, UnverifiedToken};
use crate::model::applicant::Applicant;
use crate::model::caller::Caller;
use async_trait::async_trait;
use std::sync::Arc;

/// Turns a bearer token into a caller, or says why not.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The configured name: the issuer of the callers it vouches for.
    fn name(&self) -> &Arc<str>;

    /// The `iss` of its tokens. Without one it takes the tokens that no other authenticator has the issuer of.
    fn issuer(&self) -> Option<&str> {
        None
    }

    /// Vouches for the bearer of a token from an address of this standing.
    ///
    /// # Errors
    /// See [`AuthnError`].
    async fn authenticate(&self, token: &UnverifiedToken<'_>, standing: Standing) -> Result<Arc<Caller>, AuthnError>;

    /// Whom it has vouched for lately on a token with this fingerprint, if it still does.
    async fn held(&self, _token: &Fingerprint) -> Option<Applicant> {
        None
    }

    /// Vouches for somebody who asks to administer, and need not be a pod.
    ///
    /// # Errors
    /// See [`AuthnError`].
    async fn authenticate_applicant(
        &self,
        token: &UnverifiedToken<'_>,
        standing: Standing,
    ) -> Result<Applicant, AuthnError> {
        self.authenticate(token, standing).await.map(without_review)
    }

    /// Reads its files again; what is bad there does not replace what was good.
    async fn reload(&self) {}

    /// Whether whoever must be asked can be asked.
    ///
    /// # Errors
    /// When there is no usable answer.
    async fn check_online(&self) -> Result<(), CannotAsk> {
        Ok(())
    }
}

pub(super) fn without_review(caller: Arc<Caller>) -> Applicant {
    Applicant { caller, user: None }
}

//! The port: what every authenticator can do.

use super::error::{AuthnError, OnlineCheckError};
use super::review_gate::AddressHistory;
use super::unverified_token::{Fingerprint, UnverifiedToken};
use crate::model::applicant::Applicant;
use crate::model::caller::Caller;
use async_trait::async_trait;
use std::sync::Arc;

/// Turns bearer tokens into callers.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The configured name, which becomes the `issuer` of its callers.
    fn name(&self) -> &Arc<str>;

    /// The `iss` of the tokens of this authenticator. An authenticator without an issuer gets the tokens whose `iss` is configured
    /// for no authenticator.
    fn issuer(&self) -> Option<&str> {
        None
    }

    /// Authenticates the caller of a token. `history` is that of the address that the token comes from.
    ///
    /// # Errors
    /// See [`AuthnError`].
    async fn authenticate(
        &self,
        token: &UnverifiedToken<'_>,
        history: AddressHistory,
    ) -> Result<Arc<Caller>, AuthnError>;

    /// The cached identity for this token fingerprint, if it has not expired.
    async fn cached(&self, _token: &Fingerprint) -> Option<Applicant> {
        None
    }

    /// Authenticates a user of the admin API, whose token need not be bound to a pod.
    ///
    /// # Errors
    /// See [`AuthnError`].
    async fn authenticate_applicant(
        &self,
        token: &UnverifiedToken<'_>,
        history: AddressHistory,
    ) -> Result<Applicant, AuthnError> {
        self.authenticate(token, history).await.map(without_review)
    }

    /// Reloads the files of this authenticator. An invalid file does not replace a valid one.
    async fn reload(&self) {}

    /// Checks that the API server or the issuer can be reached.
    ///
    /// # Errors
    /// See [`OnlineCheckError`].
    async fn check_online(&self) -> Result<(), OnlineCheckError> {
        Ok(())
    }
}

/// An applicant without a reviewed user, so that no SubjectAccessReview is possible: only the configured list of administrators can
/// allow its actions.
pub(super) fn without_review(caller: Arc<Caller>) -> Applicant {
    Applicant { caller, user: None }
}

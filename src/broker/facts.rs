//! Attestation, as the verbs call it: the facts about a caller's pod and its Tekton runs.

use super::error::Error;
use super::pipeline::Broker;
use crate::attest::AttestError;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::traces::Stage;
use crate::wire::problem::Code;
use std::net::IpAddr;
use std::sync::Arc;
use tracing::Instrument as _;

impl Broker {
    /// The needed facts about a caller. A pod or run that does not exist gives no facts, and no error.
    ///
    /// # Errors
    /// `token_review_unavailable` if the call to the API server fails, `attestation_pending` if Tekton has not yet written
    /// a needed fact.
    pub(super) async fn facts(&self, caller: &Caller, needs: Needs) -> Result<Facts, Error> {
        let facts = self.stages.attestors.facts(caller, needs).instrument(Stage::Attest.span()).await;
        facts.map_err(Error::from)
    }

    /// Reads the admission policies of the clusters periodically. Never returns unless all of them are off.
    pub async fn follow_admission_policies(self: Arc<Self>) {
        self.stages.attestors.poll_admission_policies().await;
    }

    /// The addresses of the caller's pod. Empty if the caller has no pod or the pod has ended.
    ///
    /// # Errors
    /// `token_review_unavailable` if the call to the API server fails.
    pub(super) async fn pod_addresses(&self, caller: &Caller) -> Result<Vec<IpAddr>, Error> {
        let addresses = self.stages.attestors.addresses(caller).instrument(Stage::Attest.span()).await;
        addresses.map_err(Error::from)
    }
}

impl From<AttestError> for Error {
    fn from(error: AttestError) -> Self {
        Self::Plain(match error {
            AttestError::NotYet => Code::AttestationPending,
            AttestError::Unavailable => Code::TokenReviewUnavailable,
        })
    }
}

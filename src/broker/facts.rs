//! What are you building: what the cluster says of a caller, as far as the policies need it.

use super::error::Error;
use super::pipeline::Broker;
use crate::attest::AttestError;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::traces::Stage;
use crate::wire::problem::Code;
use std::net::IpAddr;
use tracing::Instrument as _;

impl Broker {
    /// The facts that are needed and can be had.
    ///
    /// # Errors
    /// `token_review_unavailable` where the API server gives no usable answer, `attestation_pending` where Tekton has not written
    /// what is needed: deciding without what a policy asks for would be guessing.
    pub(super) async fn facts(&self, caller: &Caller, needs: Needs) -> Result<Facts, Error> {
        let facts = self.stages.attestors.facts(caller, needs).instrument(Stage::Attest.span()).await;
        facts.map_err(Error::from)
    }

    /// The addresses of a caller's pod, as long as it is at work. A caller without a pod has none.
    ///
    /// # Errors
    /// `token_review_unavailable` where the API server gives no usable answer.
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

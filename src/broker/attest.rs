//! What are you building: what the cluster says of a caller, as far as the policies need it.

use super::{Broker, Error};
use crate::attest::AttestError;
use crate::model::caller::Caller;
use crate::model::facts::{Facts, Needs};
use crate::traces::Stage;
use crate::wire::problem::Code;
use tracing::Instrument as _;

impl Broker {
    /// The facts that are needed and can be had.
    ///
    /// # Errors
    /// `token_review_unavailable` where the API server gives no usable answer: deciding without what a policy asks for
    /// would be guessing.
    pub(super) async fn facts(&self, caller: &Caller, needs: Needs) -> Result<Facts, Error> {
        let facts = self.parts.attestors.facts(caller, needs).instrument(Stage::Attest.span()).await;
        facts.map_err(|AttestError::Unavailable| Code::TokenReviewUnavailable.into())
    }
}

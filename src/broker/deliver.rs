//! The verb `deliver`: a caller gets its secrets in the response, without a ticket.

use super::error::Error;
use super::gather::set_stale_reason;
use super::issue_request::{DeliveryMode, IssueRequest};
use super::pipeline::{Broker, Delivered};
use super::refusal::{EventData, Refusal};
use super::versions_digest;
use crate::metrics::labels::Outcome;
use crate::model::format::RequestedFormat;
use crate::render;
use crate::traces::Stage;
use crate::wire::problem::Code;

impl Broker {
    /// Delivers secrets if the policies allow direct delivery. With `version`, only if the bundle has this version
    /// number; otherwise the error is `secret_not_found`.
    ///
    /// # Errors
    /// Those that openapi/claviger.json lists for `POST /v1/secrets`.
    pub async fn deliver(
        &self,
        request: &IssueRequest,
        format: &RequestedFormat,
        version: Option<u64>,
    ) -> Result<Delivered, Error> {
        let _running = self.start_verb();
        let mut event = self.open_event(request.caller.clone(), &request.context, DeliveryMode::Direct);
        match self.gather_and_render(request, format, version).await {
            Ok((delivered, event_data)) => {
                event_data.write_into(&mut event);
                event.outcome = Outcome::Ok;
                set_stale_reason(&mut event, delivered.stale);
                event.close().await?;
                Ok(delivered)
            }
            Err(refusal) => Err(self.close_refused(event, refusal, request, DeliveryMode::Direct).await),
        }
    }

    async fn gather_and_render(
        &self,
        request: &IssueRequest,
        format: &RequestedFormat,
        version: Option<u64>,
    ) -> Result<(Delivered, EventData), Refusal> {
        let gathered = self.gather(request, DeliveryMode::Direct).await?;
        let (event_data, created_at, bundle) = (gathered.event_data(), gathered.created_at, gathered.bundle);
        if version.is_some_and(|version| version != u64::from(versions_digest::version_number(&bundle.versions))) {
            return Err(Refusal::new(Code::SecretNotFound, EventData { keys: [].into(), ..event_data }));
        }
        match Stage::Render.span().in_scope(|| render::render(&bundle, format)) {
            Ok(rendered) => Ok((Delivered::new(rendered, bundle, created_at), event_data)),
            Err(refused) => Err(Refusal::new(refused, event_data)),
        }
    }
}

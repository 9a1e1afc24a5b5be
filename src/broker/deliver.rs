//! Deliver: a caller gets its secrets in the answer itself, without a ticket.

use super::error::Error;
use super::gather::Gathered;
use super::gather::{DeliveryMode, IssueRequest};
use super::pipeline::{Broker, Delivered};
use super::versions;
use crate::audit::Event;
use crate::metrics::labels::Outcome;
use crate::model::format::Rendering;
use crate::render;
use crate::traces::Stage;
use crate::wire::problem::Code;
use tokio::time::timeout;

impl Broker {
    /// Delivers secrets where the policies allow it directly: with a version, only the bundle that has this number.
    ///
    /// # Errors
    /// See api.md's list for `POST /v1/tickets`, and `unrenderable`. After an error nothing was delivered.
    pub async fn deliver(
        &self,
        ask: &IssueRequest,
        rendering: &Rendering,
        version: Option<u64>,
    ) -> Result<Delivered, Error> {
        let _under_way = self.under_way();
        let mut event = self.open_event(ask, DeliveryMode::Direct);
        let rendering = self.gather_rendered(ask, rendering, version, &mut event);
        let rendered = timeout(self.stages.limits.request_timeout, rendering).await;
        match rendered.unwrap_or(Err(Error::Plain(Code::Timeout))) {
            Ok(delivered) => {
                event.outcome = Outcome::Ok;
                event.close().await?;
                Ok(delivered)
            }
            Err(error) => Err(self.failed(error, event, ask).await),
        }
    }

    async fn gather_rendered(
        &self,
        ask: &IssueRequest,
        rendering: &Rendering,
        version: Option<u64>,
        event: &mut Event,
    ) -> Result<Delivered, Error> {
        let Gathered { bundle, .. } = self.gather(ask, DeliveryMode::Direct, event).await?;
        if version.is_some_and(|version| version != u64::from(versions::number(&bundle.versions))) {
            event.keys.clear();
            return Err(Code::SecretNotFound.into());
        }
        let rendered = Stage::Render.span().in_scope(|| render::render(&bundle, rendering))?;
        Ok(Delivered::of(rendered, bundle))
    }
}

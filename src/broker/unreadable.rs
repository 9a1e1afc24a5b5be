//! A caller is known, but what it asks for cannot be read: a failed request like any other, charged and recorded.

use super::{Broker, Context, Error, Way};
use crate::audit::OpenEvent;
use crate::metrics::labels::Outcome;
use crate::model::caller::Caller;
use crate::wire::problem::Code;
use std::sync::Arc;

impl Broker {
    /// Records why a request was not read, and says what is to be answered.
    pub async fn unreadable(&self, caller: Arc<Caller>, context: &Context, way: Way, error: Error) -> Error {
        if !self.callers.charge(caller.account()) {
            let reason = Code::RateLimited.as_str();
            self.summed.add(way.failed(), Outcome::Failed, reason, context.source_ip);
            return Code::RateLimited.into();
        }
        let mut event = OpenEvent::new(&self.parts.audit, context.event(way.failed(), Outcome::Failed));
        event.caller = Some(caller);
        event.reason = Some(error.code().as_str());
        self.record_refused(event).await.err().map_or(error, Error::from)
    }
}

//! What an edge knows of a request besides its body.

use crate::audit::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::request_id::RequestId;
use crate::model::via::Via;
use std::net::IpAddr;
use std::sync::Arc;

/// Where a request comes from and what it is called.
#[derive(Debug, Clone)]
pub struct Context {
    /// Our id for it.
    pub request_id: RequestId,
    /// The caller's id for it, where it sent a sane one.
    pub client_request_id: Option<String>,
    /// The address it comes from, past the proxies we trust.
    pub source_ip: IpAddr,
    /// Whether that is the client's: a trusted proxy may have sent something that is no address.
    pub source_is_known: bool,
    /// The trace it belongs to, where it is traced.
    pub trace_id: Option<Arc<str>>,
    /// The API that it uses; `None` for the native one.
    pub via: Option<Via>,
}

impl Context {
    /// An event of this request.
    pub(super) fn event(&self, kind: EventType, outcome: Outcome) -> Event {
        let mut event = Event::new(kind, outcome);
        event.request_id = Some(self.request_id.clone());
        event.client_request_id.clone_from(&self.client_request_id);
        event.source_ip = Some(self.source_ip);
        event.trace_id.clone_from(&self.trace_id);
        event.via = self.via;
        event
    }
}

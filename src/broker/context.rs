//! The context of a request: its ids and its source.

use crate::audit::Event;
use crate::metrics::labels::{EventType, Outcome};
use crate::model::compatible_api::CompatibleApi;
use crate::model::request_id::RequestId;
use std::net::IpAddr;
use std::sync::Arc;

/// The ids and the source of a request.
#[derive(Debug, Clone)]
pub struct Context {
    pub request_id: RequestId,
    /// The valid `X-Request-Id` of the client, if any.
    pub client_request_id: Option<String>,
    /// The client's address: of the peer, or as trusted proxies report it.
    pub source_ip: IpAddr,
    /// False if a trusted proxy sent an invalid address. `source_ip` is then the address of the proxy.
    pub source_is_known: bool,
    /// The trace id, if the request is traced.
    pub trace_id: Option<Arc<str>>,
    /// The compatible API that the client uses. `None` for the native one.
    pub via: Option<CompatibleApi>,
}

impl Context {
    /// An event about this request.
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

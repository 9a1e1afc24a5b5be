//! Entry points for fuzz targets: the parsers that run before a handler.

use super::{head_scan, ticket_body};
use crate::wire::ticket::{SecretsRequest, TicketRequest};

/// The body of `POST /v1/tickets` as JSON.
#[must_use]
pub fn ticket_json(body: &[u8]) -> Option<TicketRequest> {
    ticket_body::parse_json(body).ok()
}

/// The body of `POST /v1/secrets` as JSON.
#[must_use]
pub fn secrets_json(body: &[u8]) -> Option<SecretsRequest> {
    ticket_body::parse_json(body).ok()
}

/// The body of either request as a form.
#[must_use]
pub fn form(body: &[u8]) -> Option<SecretsRequest> {
    ticket_body::parse_form(body).ok()
}

/// What `head_scan` passes to the HTTP parser, with a disallowed byte overwritten, if a connection delivers `bytes` in pieces of
/// `size`.
#[must_use]
pub fn scanned(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut scan = head_scan::Scan::default();
    bytes.chunks_mut(size.max(1)).for_each(|piece| scan.scan(piece));
    bytes
}

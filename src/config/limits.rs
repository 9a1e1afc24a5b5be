//! `limits`: bounds on everything a stranger can send.

use std::num::NonZeroU32;
use std::time::Duration;

/// The checked section.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// Requests for tickets a second, for one caller.
    pub requests_per_second_per_caller: NonZeroU32,
    /// Refused requests a second, for one source address.
    pub failures_per_second_per_address: NonZeroU32,
    /// The budget of a whole request.
    pub request_timeout: Duration,
    /// The time for TLS handshake, first byte and headers, each.
    pub header_timeout: Duration,
    /// The most connections at once.
    pub max_connections: usize,
}

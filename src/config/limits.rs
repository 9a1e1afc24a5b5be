//! `limits`: bounds on requests and connections of clients.

use super::fault_collector::{FaultCollector, MILLISECOND, MINUTE};
use super::size::{MIB, UnparsedSize};
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// The validated section.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum size of a request body, in bytes.
    pub body_bytes: usize,
    /// Maximum number of ticket requests per second of one caller.
    pub requests_per_second_per_caller: NonZeroU32,
    /// Maximum number of refused requests per second of one source address.
    pub failures_per_second_per_address: NonZeroU32,
    /// Maximum number of `TokenReview`s per second for tokens that no earlier review accepted. One limit for all source addresses
    /// and API servers together.
    pub reviews_per_second: NonZeroU32,
    /// The time limit of a whole request.
    pub request_timeout: Duration,
    /// The time limit of each of these: the TLS handshake, the first byte, the headers.
    pub header_timeout: Duration,
    /// Maximum number of concurrent connections.
    pub max_connections: usize,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawLimits {
    body_bytes: Option<UnparsedSize>,
    requests_per_second_per_caller: Option<u64>,
    failures_per_second_per_address: Option<u64>,
    reviews_per_second: Option<u64>,
    request_timeout: Option<String>,
    header_timeout: Option<String>,
    max_connections: Option<u64>,
}

impl RawLimits {
    pub(super) fn validate(self, faults: &mut FaultCollector) -> Option<Limits> {
        let body_bytes = faults.require_size("/limits/bodyBytes", self.body_bytes, 1..=16 * MIB);
        let requests = require_rate(faults, "/limits/requestsPerSecondPerCaller", self.requests_per_second_per_caller);
        let failures =
            require_rate(faults, "/limits/failuresPerSecondPerAddress", self.failures_per_second_per_address);
        let reviews = require_rate(faults, "/limits/reviewsPerSecond", self.reviews_per_second);
        let request_timeout =
            faults.require_duration("/limits/requestTimeout", self.request_timeout, MILLISECOND..=MINUTE * 5);
        let header_timeout =
            faults.require_duration("/limits/headerTimeout", self.header_timeout, MILLISECOND..=MINUTE);
        let max_connections = faults.require_number("/limits/maxConnections", self.max_connections, 1..=1_000_000);
        Some(Limits {
            body_bytes: usize::try_from(body_bytes?).ok()?,
            requests_per_second_per_caller: requests?,
            failures_per_second_per_address: failures?,
            reviews_per_second: reviews?,
            request_timeout: request_timeout?,
            header_timeout: header_timeout?,
            max_connections: usize::try_from(max_connections?).ok()?,
        })
    }
}

fn require_rate(faults: &mut FaultCollector, pointer: &str, value: Option<u64>) -> Option<NonZeroU32> {
    let number = faults.require_number(pointer, value, 1..=1_000_000)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

//! `limits`: bounds on everything that clients send.

use super::check::{Check, MILLISECOND, MINUTE};
use super::size::{MIB, Size};
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// The checked section.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum size of a request body, in bytes.
    pub body_bytes: usize,
    /// Ticket requests per second for one caller.
    pub requests_per_second_per_caller: NonZeroU32,
    /// Refused requests per second for one source address.
    pub failures_per_second_per_address: NonZeroU32,
    /// `TokenReview`s per second for tokens that are not cached, over all addresses.
    pub reviews_per_second: NonZeroU32,
    /// The time limit of a whole request.
    pub request_timeout: Duration,
    /// The time limit for each of: TLS handshake, first byte, headers.
    pub header_timeout: Duration,
    /// Maximum number of concurrent connections.
    pub max_connections: usize,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawLimits {
    body_bytes: Option<Size>,
    requests_per_second_per_caller: Option<u64>,
    failures_per_second_per_address: Option<u64>,
    reviews_per_second: Option<u64>,
    request_timeout: Option<String>,
    header_timeout: Option<String>,
    max_connections: Option<u64>,
}

impl RawLimits {
    pub(super) fn check(self, check: &mut Check) -> Option<Limits> {
        let body_bytes = check.size("/limits/bodyBytes", self.body_bytes, 1..=16 * MIB);
        let requests = rate(check, "/limits/requestsPerSecondPerCaller", self.requests_per_second_per_caller);
        let failures = rate(check, "/limits/failuresPerSecondPerAddress", self.failures_per_second_per_address);
        let reviews = rate(check, "/limits/reviewsPerSecond", self.reviews_per_second);
        let request_timeout = check.duration("/limits/requestTimeout", self.request_timeout, MILLISECOND..=MINUTE * 5);
        let header_timeout = check.duration("/limits/headerTimeout", self.header_timeout, MILLISECOND..=MINUTE);
        let max_connections = check.number("/limits/maxConnections", self.max_connections, 1..=1_000_000);
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

fn rate(check: &mut Check, at: &str, value: Option<u64>) -> Option<NonZeroU32> {
    let number = check.number(at, value, 1..=1_000_000)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new)
}

//! `limits`: bounds on everything a stranger can send.

use super::check::{Check, MILLISECOND, MINUTE};
use serde::{Deserialize, Deserializer, de};
use std::fmt;
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
    /// Tokens that were not vouched for before and are reviewed in a second, for all addresses together.
    pub reviews_per_second: NonZeroU32,
    /// The budget of a whole request.
    pub request_timeout: Duration,
    /// The time for TLS handshake, first byte and headers, each.
    pub header_timeout: Duration,
    /// The most connections at once.
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
        let body_bytes = size(check, "/limits/bodyBytes", self.body_bytes);
        let requests = rate(check, "/limits/requestsPerSecondPerCaller", self.requests_per_second_per_caller);
        let failures = rate(check, "/limits/failuresPerSecondPerAddress", self.failures_per_second_per_address);
        let reviews = rate(check, "/limits/reviewsPerSecond", self.reviews_per_second);
        let request_timeout = check.duration("/limits/requestTimeout", self.request_timeout, MILLISECOND..=MINUTE * 5);
        let header_timeout = check.duration("/limits/headerTimeout", self.header_timeout, MILLISECOND..=MINUTE);
        let max_connections = check.number("/limits/maxConnections", self.max_connections, 1..=1_000_000);
        Some(Limits {
            body_bytes: body_bytes?,
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

/// A size as it is written: a text or a number.
struct Size(String);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(A_SIZE)
            }

            fn visit_str<E>(self, text: &str) -> Result<Size, E> {
                Ok(Size(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Size, E> {
                Ok(Size(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const A_SIZE: &str = "a size such as 64KiB, 1MiB or 65536";
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

fn size(check: &mut Check, at: &str, value: Option<Size>) -> Option<usize> {
    let Size(text) = check.required(at, value)?;
    let (digits, unit) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, KIB),
        (_, Some(digits)) => (digits, MIB),
        _ => (text.as_str(), 1),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let bytes = digits.parse::<u64>().ok().filter(|_| plain).and_then(|number| number.checked_mul(unit));
    let bytes = check.noted(at, bytes.ok_or_else(|| format!("must be {A_SIZE}")))?;
    if !(1..=16 * MIB).contains(&bytes) {
        check.fault(at, "must be between 1 byte and 16MiB");
        return None;
    }
    usize::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn sizes_have_binary_units_or_none() {
        for (text, bytes) in [
            ("64KiB", Some(65536)),
            ("1MiB", Some(1_048_576)),
            ("1", Some(1)),
            ("16MiB", Some(16_777_216)),
            ("17MiB", None),
            ("0", None),
            ("", None),
            ("KiB", None),
            ("64 KiB", None),
            ("64kib", None),
            ("64KB", None),
            ("+1", None),
            ("-1", None),
            ("1.5MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615MiB", None),
        ] {
            let mut check = Check::new(Path::new(""));
            assert_eq!(size(&mut check, "/x", Some(Size(text.into()))), bytes, "{text:?}");
            assert_eq!(check.into_faults().len(), usize::from(bytes.is_none()), "{text:?}");
        }
    }
}

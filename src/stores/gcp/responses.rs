//! The meaning of Google's responses: a status and an error become one class, and a version's data becomes a secret. Pure.
//!
//! Sources: the reference of `projects.secrets.versions.access`, AIP-193 (errors), and RFC 8693 with RFC 6749 for the exchange of
//! tokens. Only JSON with `NOT_FOUND` means that a secret is absent: a front page's 404 is HTML.

use crate::config::secret_values::SecretValues;
use crate::model::secret::Secret;
use crate::stores::access_token::AccessToken;
use crate::stores::calls::ResponseMeaning;
use crate::stores::cloud_values::parse_keys_and_values;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::oauth_response::{bearer_token, error_code};
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use crate::stores::renewal::token_lifetime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, Crc};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use zeroize::Zeroizing;

/// The checksum of `dataCrc32c`.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Maximum length of an error that is parsed. Each of its details takes more memory than its text.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// The error in a body, as all APIs of Google send it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: String,
}

fn error_body(body: &[u8]) -> Option<ErrorBody> {
    #[derive(Deserialize)]
    struct Body {
        error: ErrorBody,
    }
    if body.len() > MAX_ERROR_BYTES {
        return None;
    }
    parse_object::<Body>(body).map(|body| body.error)
}

/// The meaning of a response to a read whose status is not 200.
pub(super) fn refusal(status: u16, body: &[u8]) -> ResponseMeaning {
    let error = error_body(body);
    let code = error.as_ref().map_or("", |error| error.status.as_str());
    match (status, code) {
        (404, "NOT_FOUND") => ResponseMeaning::new(ReadError::Absent, "NOT_FOUND"),
        (404, _) => ResponseMeaning::new(ReadError::Misconfigured, "not_an_api"),
        // A version that is disabled or destroyed.
        (400, "FAILED_PRECONDITION") => ResponseMeaning::new(ReadError::Deleted, "FAILED_PRECONDITION"),
        (400, _) => ResponseMeaning::new(ReadError::Misconfigured, "INVALID_ARGUMENT"),
        (401, _) => ResponseMeaning::suspect("UNAUTHENTICATED"),
        (403, _) if error.as_ref().is_some_and(is_api_disabled) => {
            ResponseMeaning::new(ReadError::Misconfigured, "SERVICE_DISABLED")
        }
        // Also of a secret that does not exist, if the right is granted for single secrets.
        (403, _) => ResponseMeaning::new(ReadError::Forbidden, "PERMISSION_DENIED"),
        (429, _) => ResponseMeaning::throttled("RESOURCE_EXHAUSTED"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// Whether the API is not enabled in the project.
fn is_api_disabled(error: &ErrorBody) -> bool {
    error.details.iter().any(|detail| detail.reason == "SERVICE_DISABLED")
}

/// Why a response has no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The data was changed on the way.
    WrongChecksum,
    /// Another reason.
    Failed(ReadError),
}

impl From<ReadError> for Unreadable {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unreadable> for ReadError {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::WrongChecksum => Self::Unavailable,
            Unreadable::Failed(error) => error,
        }
    }
}

/// The response to the read of a secret of that name.
///
/// # Errors
/// `WrongChecksum` if the checksum is wrong, `Misconfigured` if the data has not the configured form, `Unavailable` if the response is
/// malformed or concerns another secret.
pub(super) fn parse_secret(
    body: &[u8],
    requested_name: &str,
    form: SecretValues,
    path: &StorePath,
) -> Result<Secret, Unreadable> {
    #[derive(Deserialize)]
    struct Body<'a> {
        name: String,
        #[serde(borrow)]
        payload: Payload<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        data_crc32c: Option<String>,
    }
    let Body { name, payload } = parse_object(body).ok_or(ReadError::Unavailable)?;
    let version = version_of(&name, requested_name).ok_or(ReadError::Unavailable)?;
    // Protobuf's JSON leaves out empty bytes.
    let base64 = payload.data.map_or_else(|| Ok(Zeroizing::default()), |data| unescape(data.get()));
    let base64 = base64.map_err(|_| ReadError::Unavailable)?;
    // Allocated with the final size: a vector that grows leaves copies behind.
    let mut data = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD.decode_vec(base64.as_bytes(), &mut data).map_err(|_| ReadError::Unavailable)?;
    if payload.data_crc32c.is_some_and(|given| given.parse() != Ok(CRC32C.checksum(&data))) {
        return Err(Unreadable::WrongChecksum);
    }
    let text = std::str::from_utf8(&data).map_err(|_| ReadError::Misconfigured)?;
    let data = parse_keys_and_values(Zeroizing::new(text.to_owned()), form, path)?;
    Ok(Secret { data, version: Some(version), created_at: None, stale: false })
}

/// The version in a name such as `projects/123/secrets/NAME/versions/5`. The name has the project's number, whatever was
/// asked; only the secret is compared.
fn version_of(name: &str, requested_name: &str) -> Option<String> {
    let (rest, version) = name.rsplit_once("/versions/")?;
    let (parent, secret) = rest.rsplit_once("/secrets/")?;
    let is_number = (1..=20).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
    (parent.starts_with("projects/") && secret == requested_name && is_number).then(|| version.to_owned())
}

/// The meaning of an error response to a token exchange.
pub(super) fn exchange_refusal(status: u16, body: &[u8]) -> ResponseMeaning {
    match (status, error_code(body).as_str()) {
        (400, "invalid_grant") => ResponseMeaning::new(ReadError::Forbidden, "invalid_grant"),
        (400, "unauthorized_client" | "access_denied") => {
            ResponseMeaning::new(ReadError::Forbidden, "unauthorized_client")
        }
        // The pool or the provider does not exist.
        (400, "invalid_target") => ResponseMeaning::new(ReadError::Misconfigured, "invalid_target"),
        (400, "invalid_request") => ResponseMeaning::new(ReadError::Misconfigured, "invalid_request"),
        (400 | 404, _) => ResponseMeaning::new(ReadError::Misconfigured, "status"),
        (401 | 403, _) => ResponseMeaning::new(ReadError::Forbidden, "status"),
        (429, _) => ResponseMeaning::throttled("status"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// The meaning of an error response to an impersonation, or of the metadata server.
pub(super) const fn token_refusal(status: u16) -> ResponseMeaning {
    match status {
        // 404: the service account does not exist, or the caller may not see it.
        401 | 403 | 404 => ResponseMeaning::new(ReadError::Forbidden, "status"),
        400 => ResponseMeaning::new(ReadError::Misconfigured, "status"),
        429 => ResponseMeaning::throttled("status"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// Parses the token of an exchange (RFC 8693) or of the metadata server, with its lifetime.
pub(super) fn parse_token(body: &[u8]) -> Option<(AccessToken, Duration)> {
    let (token, ttl) = bearer_token(body)?;
    Some((AccessToken::new(&token)?, ttl))
}

/// Parses the token of an impersonation, with its lifetime.
pub(super) fn parse_impersonation(body: &[u8], now: Timestamp) -> Option<(AccessToken, Duration)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow)]
        access_token: &'a RawValue,
        expire_time: String,
    }
    let Body { access_token, expire_time } = parse_object(body)?;
    let left = expire_time.parse::<Timestamp>().ok()?.duration_since(now);
    Some((AccessToken::from_json(access_token)?, token_lifetime(u64::try_from(left.as_secs()).ok()?)?))
}

#[cfg(test)]
mod tests;

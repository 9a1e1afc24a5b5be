//! Parses Google's responses: a status and an error become one of our errors, and the data of a version becomes a secret. Pure.
//!
//! Sources: the reference of `projects.secrets.versions.access`, AIP-193 (errors), and RFC 8693 with RFC 6749 for the exchange
//! of tokens. Only JSON with `NOT_FOUND` means that a secret is absent, because the 404 of a front end is HTML.

use crate::config::value_format::ValueFormat;
use crate::model::secret::Secret;
use crate::stores::access_token::AccessToken;
use crate::stores::cloud_values::parse_keys_and_values;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::oauth_response::{bearer_token, error_code};
use crate::stores::port::ReadError;
use crate::stores::renewal::token_lifetime;
use crate::stores::server_calls::ResponseMeaning;
use crate::stores::store_path::StorePath;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_32_ISCSI, Crc};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use zeroize::Zeroizing;

/// The checksum algorithm of `dataCrc32c`.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Maximum length of an error body that is parsed, because parsed details need more memory than their text.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// The error in a body, in the form of all Google APIs.
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

fn parse_error(body: &[u8]) -> Option<ErrorBody> {
    #[derive(Deserialize)]
    struct Body {
        error: ErrorBody,
    }
    if body.len() > MAX_ERROR_BYTES {
        return None;
    }
    parse_object::<Body>(body).map(|body| body.error)
}

/// What the response to a read means if its status is not 200.
pub(super) fn classify_error(status: u16, body: &[u8]) -> ResponseMeaning {
    let error = parse_error(body);
    let code = error.as_ref().map_or("", |error| error.status.as_str());
    match (status, code) {
        (404, "NOT_FOUND") => ResponseMeaning::new(ReadError::Absent, "NOT_FOUND"),
        (404, _) => ResponseMeaning::new(ReadError::Misconfigured, "not_an_api"),
        // The version is disabled or destroyed.
        (400, "FAILED_PRECONDITION") => ResponseMeaning::new(ReadError::Deleted, "FAILED_PRECONDITION"),
        (400, _) => ResponseMeaning::new(ReadError::Misconfigured, "INVALID_ARGUMENT"),
        (401, _) => ResponseMeaning::suspect_credentials("UNAUTHENTICATED"),
        (403, _) if error.as_ref().is_some_and(is_api_disabled) => {
            ResponseMeaning::new(ReadError::Misconfigured, "SERVICE_DISABLED")
        }
        // Also for a secret that does not exist, if permissions are granted for single secrets.
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
pub(super) enum SecretParseError {
    /// The data does not match its checksum.
    WrongChecksum,
    /// Another reason.
    Other(ReadError),
}

impl From<ReadError> for SecretParseError {
    fn from(error: ReadError) -> Self {
        Self::Other(error)
    }
}

impl From<SecretParseError> for ReadError {
    fn from(error: SecretParseError) -> Self {
        match error {
            SecretParseError::WrongChecksum => Self::Unavailable,
            SecretParseError::Other(error) => error,
        }
    }
}

/// Parses the response to the read of the secret with this name.
///
/// # Errors
/// `WrongChecksum` if the checksum is wrong, `Misconfigured` if the data does not have the configured form, `Unavailable` if
/// the response is malformed or concerns another secret.
pub(super) fn parse_secret(
    body: &[u8],
    requested_name: &str,
    form: ValueFormat,
    path: &StorePath,
) -> Result<Secret, SecretParseError> {
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
    let version = parse_version(&name, requested_name).ok_or(ReadError::Unavailable)?;
    // The JSON of Protocol Buffers omits empty bytes.
    let base64 = payload.data.map_or_else(|| Ok(Zeroizing::default()), |data| unescape(data.get()));
    let base64 = base64.map_err(|_| ReadError::Unavailable)?;
    // Large enough for the final size: a vector that grows leaves copies in memory.
    let mut data = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD.decode_vec(base64.as_bytes(), &mut data).map_err(|_| ReadError::Unavailable)?;
    if payload.data_crc32c.is_some_and(|checksum| checksum.parse() != Ok(CRC32C.checksum(&data))) {
        return Err(SecretParseError::WrongChecksum);
    }
    let text = std::str::from_utf8(&data).map_err(|_| ReadError::Misconfigured)?;
    let data = parse_keys_and_values(Zeroizing::new(text.to_owned()), form, path)?;
    Ok(Secret { data, version: Some(version), created_at: None, stale: false })
}

/// Parses the version from a name such as `projects/123/secrets/NAME/versions/5`. Only the secret is compared, because the name
/// has the number of the project even if the request had its ID.
fn parse_version(name: &str, requested_name: &str) -> Option<String> {
    let (rest, version) = name.rsplit_once("/versions/")?;
    let (parent, secret) = rest.rsplit_once("/secrets/")?;
    let is_number = (1..=20).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
    (parent.starts_with("projects/") && secret == requested_name && is_number).then(|| version.to_owned())
}

/// What an error response to a token exchange means.
pub(super) fn classify_exchange_error(status: u16, body: &[u8]) -> ResponseMeaning {
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

/// What an error response to an impersonation, or of the metadata server, means. Only its status is used.
pub(super) const fn classify_iam_or_metadata_error(status: u16) -> ResponseMeaning {
    match status {
        // 404: the service account does not exist, or the caller is not allowed to see it.
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
    let remaining = expire_time.parse::<Timestamp>().ok()?.duration_since(now);
    Some((AccessToken::from_json(access_token)?, token_lifetime(u64::try_from(remaining.as_secs()).ok()?)?))
}

#[cfg(test)]
mod tests;

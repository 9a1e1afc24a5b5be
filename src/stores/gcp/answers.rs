//! The meaning of Google's answers: a status and an error become one class, and a version's data becomes a secret. Pure.
//!
//! Sources: the reference of `projects.secrets.versions.access`, AIP-193 (errors), and RFC 8693 with RFC 6749 for the exchange of
//! tokens. Only JSON with `NOT_FOUND` means that a secret is absent: a front page's 404 is HTML.

use crate::config::secret_values::SecretValues;
use crate::model::secret::Secret;
use crate::stores::access_token::AccessToken;
use crate::stores::calls::Meaning;
use crate::stores::cloud::Unreadable;
use crate::stores::cloud_values::keys_and_values;
use crate::stores::json_text::{object, unescape};
use crate::stores::oauth_answer::bearer_token;
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

/// Maximum length of an error that is looked at. Each of its details takes more memory than its text.
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
    object::<Body>(body).map(|body| body.error)
}

/// The meaning of an answer to a read whose status is not 200.
pub(super) fn refusal(status: u16, body: &[u8]) -> Meaning {
    let error = error_body(body);
    let code = error.as_ref().map_or("", |error| error.status.as_str());
    match (status, code) {
        (404, "NOT_FOUND") => Meaning::plain(ReadError::Absent, "NOT_FOUND"),
        (404, _) => Meaning::plain(ReadError::Misconfigured, "not_an_api"),
        // A version that is disabled or destroyed.
        (400, "FAILED_PRECONDITION") => Meaning::plain(ReadError::Deleted, "FAILED_PRECONDITION"),
        (400, _) => Meaning::plain(ReadError::Misconfigured, "INVALID_ARGUMENT"),
        (401, _) => Meaning::suspect("UNAUTHENTICATED"),
        (403, _) if error.as_ref().is_some_and(is_api_disabled) => {
            Meaning::plain(ReadError::Misconfigured, "SERVICE_DISABLED")
        }
        // Also of a secret that does not exist, if the right is granted for single secrets.
        (403, _) => Meaning::plain(ReadError::Forbidden, "PERMISSION_DENIED"),
        (429, _) => Meaning::throttled("RESOURCE_EXHAUSTED"),
        _ => Meaning::plain(ReadError::Unavailable, "status"),
    }
}

/// Whether the API is not enabled in the project.
fn is_api_disabled(error: &ErrorBody) -> bool {
    error.details.iter().any(|detail| detail.reason == "SERVICE_DISABLED")
}

/// The answer to the read of a secret of that name.
///
/// # Errors
/// `Garbled` if the checksum is wrong, `Misconfigured` if the data has not the configured form, `Unavailable` if the answer is
/// malformed or concerns another secret.
pub(super) fn secret(body: &[u8], asked: &str, form: SecretValues, path: &StorePath) -> Result<Secret, Unreadable> {
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
    let Body { name, payload } = object(body).ok_or(ReadError::Unavailable)?;
    let version = version_of(&name, asked).ok_or(ReadError::Unavailable)?;
    // Protobuf's JSON leaves out empty bytes.
    let base64 = payload.data.map_or_else(|| Ok(Zeroizing::default()), |data| unescape(data.get()));
    let base64 = base64.map_err(|_| ReadError::Unavailable)?;
    // No growth, which would leave copies behind.
    let mut data = Zeroizing::new(Vec::with_capacity(base64.len()));
    STANDARD.decode_vec(base64.as_bytes(), &mut data).map_err(|_| ReadError::Unavailable)?;
    if payload.data_crc32c.is_some_and(|given| given.parse() != Ok(CRC32C.checksum(&data))) {
        return Err(Unreadable::Garbled);
    }
    let text = std::str::from_utf8(&data).map_err(|_| ReadError::Misconfigured)?;
    let data = keys_and_values(Zeroizing::new(text.to_owned()), form, path)?;
    Ok(Secret { data, version: Some(version), created_at: None, stale: false })
}

/// The version in a name such as `projects/123/secrets/NAME/versions/5`. The name has the project's number, whatever was
/// asked; only the secret is compared.
fn version_of(name: &str, asked: &str) -> Option<String> {
    let (rest, version) = name.rsplit_once("/versions/")?;
    let (parent, secret) = rest.rsplit_once("/secrets/")?;
    let is_number = (1..=20).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
    (parent.starts_with("projects/") && secret == asked && is_number).then(|| version.to_owned())
}

/// The meaning of a refused exchange of tokens.
pub(super) fn exchange_refusal(status: u16, body: &[u8]) -> Meaning {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        error: String,
    }
    let code = object::<Body>(body).unwrap_or_default().error;
    match (status, code.as_str()) {
        (400, "invalid_grant") => Meaning::plain(ReadError::Forbidden, "invalid_grant"),
        (400, "unauthorized_client" | "access_denied") => Meaning::plain(ReadError::Forbidden, "unauthorized_client"),
        // No such pool or provider.
        (400, "invalid_target") => Meaning::plain(ReadError::Misconfigured, "invalid_target"),
        (400, "invalid_request") => Meaning::plain(ReadError::Misconfigured, "invalid_request"),
        (400 | 404, _) => Meaning::plain(ReadError::Misconfigured, "status"),
        (401 | 403, _) => Meaning::plain(ReadError::Forbidden, "status"),
        (429, _) => Meaning::throttled("status"),
        _ => Meaning::plain(ReadError::Unavailable, "status"),
    }
}

/// The meaning of a refused impersonation, or of a refusal of the metadata server.
pub(super) const fn token_refusal(status: u16) -> Meaning {
    match status {
        // 404: there is no such service account, or none that this caller may see.
        401 | 403 | 404 => Meaning::plain(ReadError::Forbidden, "status"),
        400 => Meaning::plain(ReadError::Misconfigured, "status"),
        429 => Meaning::throttled("status"),
        _ => Meaning::plain(ReadError::Unavailable, "status"),
    }
}

/// The token of an exchange (RFC 8693) or of the metadata server, with its lifetime.
pub(super) fn granted(body: &[u8]) -> Option<(AccessToken, Duration)> {
    let (token, ttl) = bearer_token(body)?;
    Some((AccessToken::new(&token)?, ttl))
}

/// The token of an impersonation, with its lifetime.
pub(super) fn impersonated(body: &[u8], now: Timestamp) -> Option<(AccessToken, Duration)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow)]
        access_token: &'a RawValue,
        expire_time: String,
    }
    let Body { access_token, expire_time } = object(body)?;
    let left = expire_time.parse::<Timestamp>().ok()?.duration_since(now);
    Some((AccessToken::of_json(access_token)?, token_lifetime(u64::try_from(left.as_secs()).ok()?)?))
}

#[cfg(test)]
mod tests;

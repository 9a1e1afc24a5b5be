//! Parses Azure's responses: a status and an error code become one of our errors, and a version becomes a secret. Pure.
//!
//! Sources: the reference of Key Vault's `Get Secret` (REST, 2025-07-01), its page on errors, and RFC 6749 for logins. Only
//! JSON with `SecretNotFound` means that a secret is absent, because the 404 of a gateway is HTML.

use crate::config::azure_key_vault::ExpiredSecrets;
use crate::config::value_format::ValueFormat;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::cloud_values::parse_keys_and_values;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::oauth_response::{bearer_token, error_code};
use crate::stores::port::ReadError;
use crate::stores::server_calls::ResponseMeaning;
use crate::stores::store_path::StorePath;
use crate::stores::values::into_secret_value;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The code of an error, and the code of its `innererror`.
#[derive(Default)]
struct ErrorCodes {
    outer: String,
    inner: String,
}

fn parse_error_codes(body: &[u8]) -> ErrorCodes {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ErrorBody {
        code: String,
        innererror: Option<InnerError>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct InnerError {
        code: String,
    }
    #[derive(Deserialize)]
    struct Body {
        error: ErrorBody,
    }
    parse_object::<Body>(body).map_or_else(ErrorCodes::default, |Body { error }| ErrorCodes {
        outer: error.code,
        inner: error.innererror.unwrap_or_default().code,
    })
}

/// What the response to a read means if its status is not 200.
pub(super) fn classify_error(status: u16, body: &[u8]) -> ResponseMeaning {
    let ErrorCodes { outer, inner } = parse_error_codes(body);
    match (status, outer.as_str(), inner.as_str()) {
        // Also for a secret that was deleted and can be recovered.
        (404, "SecretNotFound", _) => ResponseMeaning::new(ReadError::Absent, "SecretNotFound"),
        (404, ..) => ResponseMeaning::new(ReadError::Misconfigured, "not_a_vault"),
        // Disabled on purpose, so it counts as deleted.
        (403, _, "SecretDisabled") => ResponseMeaning::new(ReadError::Deleted, "SecretDisabled"),
        (403, ..) => ResponseMeaning::new(ReadError::Forbidden, "Forbidden"),
        (401, ..) => ResponseMeaning::suspect_credentials("Unauthorized"),
        (400, "BadParameter", _) => ResponseMeaning::new(ReadError::Misconfigured, "BadParameter"),
        (400, ..) => ResponseMeaning::new(ReadError::Misconfigured, "status"),
        (429, ..) => ResponseMeaning::throttled("Throttled"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// What an error response to a login means. For the same token, Entra ID returns `invalid_request` or `invalid_client`.
pub(super) fn classify_login_error(status: u16, body: &[u8]) -> ResponseMeaning {
    match (status, error_code(body).as_str()) {
        (400, "invalid_scope") => ResponseMeaning::new(ReadError::Misconfigured, "invalid_scope"),
        (400 | 401 | 403, "invalid_client") => ResponseMeaning::new(ReadError::Forbidden, "invalid_client"),
        (400 | 401 | 403, "invalid_request") => ResponseMeaning::new(ReadError::Forbidden, "invalid_request"),
        (400 | 401 | 403, "unauthorized_client") => ResponseMeaning::new(ReadError::Forbidden, "unauthorized_client"),
        (401 | 403, _) => ResponseMeaning::new(ReadError::Forbidden, "status"),
        (400, "temporarily_unavailable") => ResponseMeaning::new(ReadError::Unavailable, "temporarily_unavailable"),
        (400, code) if !code.is_empty() => ResponseMeaning::new(ReadError::Forbidden, "status"),
        // The URL is probably not that of an authority.
        (400 | 404, _) => ResponseMeaning::new(ReadError::Misconfigured, "status"),
        (429, _) => ResponseMeaning::throttled("status"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// Parses the token of a login, with its lifetime.
pub(super) fn parse_token(body: &[u8]) -> Option<(SecretValue, Duration)> {
    let (token, ttl) = bearer_token(body)?;
    let is_usable = !token.is_empty() && HeaderValue::from_str(&token).is_ok();
    is_usable.then(|| (into_secret_value(token), ttl))
}

/// A secret and its validity period, in seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DatedSecret {
    secret: Secret,
    not_before: Option<i64>,
    expires: Option<i64>,
}

impl DatedSecret {
    /// Returns the secret, if it is valid now or if `expired` allows secrets outside of their validity period.
    ///
    /// # Errors
    /// `Deleted` if the secret is expired or not valid yet.
    pub(super) fn if_valid_now(self, expired: ExpiredSecrets, now: Timestamp) -> Result<Secret, ReadError> {
        let now = now.as_second();
        let is_early = self.not_before.is_some_and(|not_before| now < not_before);
        let is_late = self.expires.is_some_and(|expires| now >= expires);
        if expired == ExpiredSecrets::Refuse && (is_early || is_late) {
            Err(ReadError::Deleted)
        } else {
            Ok(self.secret)
        }
    }
}

/// Parses the response to the read of the secret with this name.
///
/// # Errors
/// `Deleted` if the secret is disabled, `Misconfigured` if the value does not have the configured form, `Unavailable` if the
/// response is malformed or concerns another secret.
pub(super) fn parse_secret(
    body: &[u8],
    requested_name: &str,
    form: ValueFormat,
    path: &StorePath,
) -> Result<DatedSecret, ReadError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
        id: String,
        attributes: Attributes,
    }
    #[derive(Deserialize)]
    struct Attributes {
        enabled: Option<bool>,
        nbf: Option<i64>,
        exp: Option<i64>,
        created: Option<i64>,
    }
    let Body { value, id, attributes } = parse_object(body).ok_or(ReadError::Unavailable)?;
    let version = parse_version(&id, requested_name).ok_or(ReadError::Unavailable)?;
    if attributes.enabled == Some(false) {
        return Err(ReadError::Deleted);
    }
    let text = unescape(value.get()).map_err(|_| ReadError::Unavailable)?;
    let data = parse_keys_and_values(text, form, path)?;
    let created_at = attributes.created.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let secret = Secret { data, version: Some(version), created_at, stale: false };
    Ok(DatedSecret { secret, not_before: attributes.nbf, expires: attributes.exp })
}

/// Parses the version from an ID such as `https://VAULT/secrets/NAME/VERSION`. Names are compared without case, as Key Vault
/// does.
fn parse_version(id: &str, requested_name: &str) -> Option<String> {
    let (rest, version) = id.rsplit_once('/')?;
    let (vault, name) = rest.rsplit_once('/')?;
    let is_version = (1..=64).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_alphanumeric());
    (vault.ends_with("/secrets") && name.eq_ignore_ascii_case(requested_name) && is_version).then(|| version.to_owned())
}

#[cfg(test)]
mod tests;

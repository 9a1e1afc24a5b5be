//! The meaning of Azure's responses: a status and an error code become one class, and a version becomes a secret. Pure.
//!
//! Sources: the reference of Key Vault's `Get Secret` (REST, 2025-07-01), its page on errors, and RFC 6749 for logins. Only JSON
//! with `SecretNotFound` means that a secret is absent; a gateway's 404 is HTML.

use crate::config::azure_key_vault::ExpiredSecrets;
use crate::config::secret_values::SecretValues;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::calls::ResponseMeaning;
use crate::stores::cloud_values::parse_keys_and_values;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::oauth_response::{bearer_token, error_code};
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use crate::stores::values::into_secret_value;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The code of an error, and the code of its `innererror`.
#[derive(Default)]
struct Codes {
    outer: String,
    inner: String,
}

fn codes(body: &[u8]) -> Codes {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ErrorBody {
        code: String,
        innererror: Option<Inner>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        code: String,
    }
    #[derive(Deserialize)]
    struct Body {
        error: ErrorBody,
    }
    parse_object::<Body>(body).map_or_else(Codes::default, |Body { error }| Codes {
        outer: error.code,
        inner: error.innererror.unwrap_or_default().code,
    })
}

/// The meaning of a response to a read whose status is not 200.
pub(super) fn refusal(status: u16, body: &[u8]) -> ResponseMeaning {
    let Codes { outer, inner } = codes(body);
    match (status, outer.as_str(), inner.as_str()) {
        // Also of a secret that is deleted and can be recovered.
        (404, "SecretNotFound", _) => ResponseMeaning::new(ReadError::Absent, "SecretNotFound"),
        (404, ..) => ResponseMeaning::new(ReadError::Misconfigured, "not_a_vault"),
        // Disabled on purpose, so it counts as deleted.
        (403, _, "SecretDisabled") => ResponseMeaning::new(ReadError::Deleted, "SecretDisabled"),
        (403, ..) => ResponseMeaning::new(ReadError::Forbidden, "Forbidden"),
        (401, ..) => ResponseMeaning::suspect("Unauthorized"),
        (400, "BadParameter", _) => ResponseMeaning::new(ReadError::Misconfigured, "BadParameter"),
        (400, ..) => ResponseMeaning::new(ReadError::Misconfigured, "status"),
        (429, ..) => ResponseMeaning::throttled("Throttled"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// The meaning of an error response to a login. Entra ID returns `invalid_request` or `invalid_client` for the same token.
pub(super) fn login_refusal(status: u16, body: &[u8]) -> ResponseMeaning {
    match (status, error_code(body).as_str()) {
        (400, "invalid_scope") => ResponseMeaning::new(ReadError::Misconfigured, "invalid_scope"),
        (400 | 401 | 403, "invalid_client") => ResponseMeaning::new(ReadError::Forbidden, "invalid_client"),
        (400 | 401 | 403, "invalid_request") => ResponseMeaning::new(ReadError::Forbidden, "invalid_request"),
        (400 | 401 | 403, "unauthorized_client") => ResponseMeaning::new(ReadError::Forbidden, "unauthorized_client"),
        (401 | 403, _) => ResponseMeaning::new(ReadError::Forbidden, "status"),
        (400, "temporarily_unavailable") => ResponseMeaning::new(ReadError::Unavailable, "temporarily_unavailable"),
        (400, code) if !code.is_empty() => ResponseMeaning::new(ReadError::Forbidden, "status"),
        // The URL is not that of an authority.
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

/// A secret and its validity, in seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DatedSecret {
    secret: Secret,
    not_before: Option<i64>,
    expires: Option<i64>,
}

impl DatedSecret {
    /// The secret, if it is valid now or `expired` says to serve it anyway.
    ///
    /// # Errors
    /// `Deleted` if it is expired or not valid yet.
    pub(super) fn if_valid_now(self, expired: ExpiredSecrets, now: Timestamp) -> Result<Secret, ReadError> {
        let now = now.as_second();
        let is_early = self.not_before.is_some_and(|from| now < from);
        let is_late = self.expires.is_some_and(|until| now >= until);
        if expired == ExpiredSecrets::Refuse && (is_early || is_late) {
            Err(ReadError::Deleted)
        } else {
            Ok(self.secret)
        }
    }
}

/// The response to the read of a secret of that name.
///
/// # Errors
/// `Deleted` if it is not enabled, `Misconfigured` if the value has not the configured form, `Unavailable` if the response is
/// malformed or concerns another secret.
pub(super) fn parse_secret(
    body: &[u8],
    requested_name: &str,
    form: SecretValues,
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
    let version = version_of(&id, requested_name).ok_or(ReadError::Unavailable)?;
    if attributes.enabled == Some(false) {
        return Err(ReadError::Deleted);
    }
    let text = unescape(value.get()).map_err(|_| ReadError::Unavailable)?;
    let data = parse_keys_and_values(text, form, path)?;
    let created_at = attributes.created.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let secret = Secret { data, version: Some(version), created_at, stale: false };
    Ok(DatedSecret { secret, not_before: attributes.nbf, expires: attributes.exp })
}

/// The version in an id such as `https://VAULT/secrets/NAME/VERSION`. Names are compared without case, as Key Vault does.
fn version_of(id: &str, requested_name: &str) -> Option<String> {
    let (rest, version) = id.rsplit_once('/')?;
    let (vault, name) = rest.rsplit_once('/')?;
    let is_version = (1..=64).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_alphanumeric());
    (vault.ends_with("/secrets") && name.eq_ignore_ascii_case(requested_name) && is_version).then(|| version.to_owned())
}

#[cfg(test)]
mod tests;

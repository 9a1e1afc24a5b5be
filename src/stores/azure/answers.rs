//! The meaning of Azure's answers: a status and an error code become one class, and a version becomes a secret. Pure.
//!
//! Sources: the reference of Key Vault's `Get Secret` (REST, 2025-07-01), its page on errors, and RFC 6749 for logins. Only JSON
//! with `SecretNotFound` means that a secret is absent; a gateway's 404 is HTML.

use crate::config::azure_key_vault::ExpiredSecrets;
use crate::config::secret_values::SecretValues;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::calls::Meaning;
use crate::stores::cloud_values::keys_and_values;
use crate::stores::json_text::{object, unescape};
use crate::stores::oauth_answer::bearer_token;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use crate::stores::values::owned;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The code of an error, and the one inside it.
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
    object::<Body>(body).map_or_else(Codes::default, |Body { error }| Codes {
        outer: error.code,
        inner: error.innererror.unwrap_or_default().code,
    })
}

/// The meaning of an answer to a read whose status is not 200.
pub(super) fn refusal(status: u16, body: &[u8]) -> Meaning {
    let Codes { outer, inner } = codes(body);
    match (status, outer.as_str(), inner.as_str()) {
        // Also of a secret that is deleted and can be recovered.
        (404, "SecretNotFound", _) => Meaning::plain(ReadError::Absent, "SecretNotFound"),
        (404, ..) => Meaning::plain(ReadError::Misconfigured, "not_a_vault"),
        // Whoever disabled it means that it is not read.
        (403, _, "SecretDisabled") => Meaning::plain(ReadError::Deleted, "SecretDisabled"),
        (403, ..) => Meaning::plain(ReadError::Forbidden, "Forbidden"),
        (401, ..) => Meaning::suspect("Unauthorized"),
        (400, "BadParameter", _) => Meaning::plain(ReadError::Misconfigured, "BadParameter"),
        (400, ..) => Meaning::plain(ReadError::Misconfigured, "status"),
        (429, ..) => Meaning::throttled("Throttled"),
        _ => Meaning::plain(ReadError::Unavailable, "status"),
    }
}

/// The meaning of a refused login. Entra ID says `invalid_request` or `invalid_client` of the same token.
pub(super) fn login_refusal(status: u16, body: &[u8]) -> Meaning {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        error: String,
    }
    let code = object::<Body>(body).unwrap_or_default().error;
    match (status, code.as_str()) {
        (400, "invalid_scope") => Meaning::plain(ReadError::Misconfigured, "invalid_scope"),
        (400 | 401 | 403, "invalid_client") => Meaning::plain(ReadError::Forbidden, "invalid_client"),
        (400 | 401 | 403, "invalid_request") => Meaning::plain(ReadError::Forbidden, "invalid_request"),
        (400 | 401 | 403, "unauthorized_client") => Meaning::plain(ReadError::Forbidden, "unauthorized_client"),
        (401 | 403, _) => Meaning::plain(ReadError::Forbidden, "status"),
        (400, "temporarily_unavailable") => Meaning::plain(ReadError::Unavailable, "temporarily_unavailable"),
        (400, code) if !code.is_empty() => Meaning::plain(ReadError::Forbidden, "status"),
        // No authority is there.
        (400 | 404, _) => Meaning::plain(ReadError::Misconfigured, "status"),
        (429, _) => Meaning::throttled("status"),
        _ => Meaning::plain(ReadError::Unavailable, "status"),
    }
}

/// The token of a login, with its lifetime.
pub(super) fn granted(body: &[u8]) -> Option<(SecretValue, Duration)> {
    let (token, ttl) = bearer_token(body)?;
    let is_usable = !token.is_empty() && HeaderValue::from_str(&token).is_ok();
    is_usable.then(|| (owned(token), ttl))
}

/// A secret and when it may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DatedSecret {
    secret: Secret,
    not_before: Option<i64>,
    expires: Option<i64>,
}

impl DatedSecret {
    /// The secret. One whose dates do not include now counts as deleted, if they are to be followed.
    ///
    /// # Errors
    /// `Deleted`.
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

/// The answer to the read of a secret of that name.
///
/// # Errors
/// `Deleted` if it is not enabled, `Misconfigured` if the value has not the configured form, `Unavailable` if the answer is
/// malformed or concerns another secret.
pub(super) fn secret(body: &[u8], asked: &str, form: SecretValues, path: &StorePath) -> Result<DatedSecret, ReadError> {
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
    let Body { value, id, attributes } = object(body).ok_or(ReadError::Unavailable)?;
    let version = version_of(&id, asked).ok_or(ReadError::Unavailable)?;
    if attributes.enabled == Some(false) {
        return Err(ReadError::Deleted);
    }
    let text = unescape(value.get()).map_err(|_| ReadError::Unavailable)?;
    let data = keys_and_values(text, form, path)?;
    let created_at = attributes.created.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let secret = Secret { data, version: Some(version), created_at, stale: false };
    Ok(DatedSecret { secret, not_before: attributes.nbf, expires: attributes.exp })
}

/// The version in an id such as `https://VAULT/secrets/NAME/VERSION`. Names are compared without case, as Key Vault does.
fn version_of(id: &str, asked: &str) -> Option<String> {
    let (rest, version) = id.rsplit_once('/')?;
    let (vault, name) = rest.rsplit_once('/')?;
    let is_version = (1..=64).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_alphanumeric());
    (vault.ends_with("/secrets") && name.eq_ignore_ascii_case(asked) && is_version).then(|| version.to_owned())
}

#[cfg(test)]
mod tests;

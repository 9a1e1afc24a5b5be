//! The meaning of AWS's responses: a status and an error code become one class of error. Pure.
//!
//! Exactly one response means that a secret is absent. Unknown responses are `Unavailable`.

use crate::model::secret::Secret;
use crate::stores::calls::ResponseMeaning;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::port::ReadError;
use crate::stores::values::parse_values;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The classes of error codes that Secrets Manager, STS and AWS's front ends send with a status of 4xx.
///
/// `DecryptionFailure` concerns the secret: its KMS key is deleted or disabled, perhaps on purpose. So no stale secret is
/// served.
const CODES: &[(&str, ReadError)] = &[
    ("ResourceNotFoundException", ReadError::Absent),
    ("InvalidParameterException", ReadError::Misconfigured),
    ("ValidationException", ReadError::Misconfigured),
    ("ValidationError", ReadError::Misconfigured),
    ("DecryptionFailure", ReadError::Misconfigured),
    ("DecryptionFailureException", ReadError::Misconfigured),
    ("RegionDisabledException", ReadError::Misconfigured),
    ("AccessDeniedException", ReadError::Forbidden),
    ("AccessDenied", ReadError::Forbidden),
    ("NotAuthorized", ReadError::Forbidden),
    ("OptInRequired", ReadError::Forbidden),
    ("InvalidIdentityToken", ReadError::Forbidden),
    ("IDPRejectedClaim", ReadError::Forbidden),
    ("IDPCommunicationError", ReadError::Unavailable),
];

/// The codes for refused credentials, and for a wrong clock.
const CREDENTIAL_CODES: &[&str] = &[
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
];

/// The codes of an overloaded server.
const THROTTLED: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "SlowDown",
];

/// The meaning of an error.
pub(super) fn refusal(status: u16, code: Option<&str>, message: Option<&str>) -> ResponseMeaning {
    let code = code.unwrap_or_default();
    let find = |codes: &[&'static str]| codes.iter().find(|known| **known == code).copied();
    // Errors of AWS are 4xx; with any other status the code is not reliable.
    if !(400..500).contains(&status) {
        return ResponseMeaning::new(ReadError::Unavailable, "status");
    }
    if code == "InvalidRequestException" {
        return ResponseMeaning::new(invalid_request(message.unwrap_or_default()), "InvalidRequestException");
    }
    if let Some((word, error)) = CODES.iter().find(|(known, _)| *known == code) {
        return ResponseMeaning::new(*error, word);
    }
    if let Some(word) = find(CREDENTIAL_CODES) {
        return ResponseMeaning::suspect(word);
    }
    if let Some(word) = find(THROTTLED) {
        return ResponseMeaning::throttled(word);
    }
    match status {
        401 | 403 => ResponseMeaning::suspect("status"),
        429 => ResponseMeaning::throttled("status"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// AWS has one code for all invalid requests; only the message says that the secret is marked for deletion. If AWS changes
/// the message, a deleted secret is reported as misconfigured.
fn invalid_request(message: &str) -> ReadError {
    let message = message.to_ascii_lowercase();
    let deleted = ["marked for deletion", "scheduled for deletion", "marked deleted"];
    if deleted.iter().any(|words| message.contains(words)) { ReadError::Deleted } else { ReadError::Misconfigured }
}

/// The response to the read of a secret with this name.
///
/// # Errors
/// `Misconfigured` if the secret is not a JSON object of keys and values, `Unavailable` if the response is malformed or
/// concerns another secret.
pub(super) fn parse_secret(body: &[u8], requested_name: &str) -> Result<Secret, ReadError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        name: String,
        version_id: Option<String>,
        created_date: Option<f64>,
        #[serde(borrow)]
        secret_string: Option<&'a RawValue>,
        #[serde(borrow)]
        secret_binary: Option<&'a RawValue>,
    }
    let Body { name, version_id, created_date, secret_string, secret_binary } =
        parse_object(body).ok_or(ReadError::Unavailable)?;
    let text = match (secret_string, secret_binary) {
        (Some(text), None) if name == requested_name => unescape(text.get()).map_err(|_| ReadError::Unavailable)?,
        (None, Some(_)) if name == requested_name => return Err(ReadError::Misconfigured),
        _ => return Err(ReadError::Unavailable),
    };
    let object = serde_json::from_str(&text).map_err(|_| ReadError::Misconfigured)?;
    let data = parse_values(object).map_err(|_| ReadError::Misconfigured)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "casting a float saturates, and no store is older than its milliseconds"
    )]
    let created_at = created_date.and_then(|seconds| Timestamp::from_millisecond((seconds * 1000.0) as i64).ok());
    Ok(Secret { data, version: version_id, created_at, stale: false })
}

#[cfg(test)]
mod tests;

//! Parses AWS's responses: a status and an error code become one of our errors. Pure.
//!
//! Exactly one response means that a secret is absent. Unknown responses are `Unavailable`.

use crate::model::secret::Secret;
use crate::stores::json_text::{parse_object, unescape};
use crate::stores::port::ReadError;
use crate::stores::server_calls::ResponseMeaning;
use crate::stores::values::parse_values;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Our errors for the error codes that Secrets Manager, STS and AWS's front ends send with a status of 4xx.
///
/// `DecryptionFailure` is not `Unavailable`, with which a stale secret would be served: the KMS key was deleted or disabled,
/// perhaps on purpose.
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
const THROTTLING_CODES: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "SlowDown",
];

/// What an error response means.
pub(super) fn classify_error(status: u16, code: Option<&str>, message: Option<&str>) -> ResponseMeaning {
    let code = code.unwrap_or_default();
    let find = |codes: &[&'static str]| codes.iter().find(|known| **known == code).copied();
    // Errors of AWS are 4xx; with any other status the code is not reliable.
    if !(400..500).contains(&status) {
        return ResponseMeaning::new(ReadError::Unavailable, "status");
    }
    if code == "InvalidRequestException" {
        return ResponseMeaning::new(classify_invalid_request(message.unwrap_or_default()), "InvalidRequestException");
    }
    if let Some((code, error)) = CODES.iter().find(|(known, _)| *known == code) {
        return ResponseMeaning::new(*error, code);
    }
    if let Some(code) = find(CREDENTIAL_CODES) {
        return ResponseMeaning::suspect_credentials(code);
    }
    if let Some(code) = find(THROTTLING_CODES) {
        return ResponseMeaning::throttled(code);
    }
    match status {
        401 | 403 => ResponseMeaning::suspect_credentials("status"),
        429 => ResponseMeaning::throttled("status"),
        _ => ResponseMeaning::new(ReadError::Unavailable, "status"),
    }
}

/// The error for `InvalidRequestException`, of which only the message says that the secret is marked for deletion. If AWS
/// changes the message, a deleted secret is reported as misconfigured.
fn classify_invalid_request(message: &str) -> ReadError {
    let message = message.to_ascii_lowercase();
    let phrases = ["marked for deletion", "scheduled for deletion", "marked deleted"];
    if phrases.iter().any(|phrase| message.contains(phrase)) { ReadError::Deleted } else { ReadError::Misconfigured }
}

/// Parses the response to the read of the secret with this name.
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
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and i64 has enough milliseconds")]
    let created_at = created_date.and_then(|seconds| Timestamp::from_millisecond((seconds * 1000.0) as i64).ok());
    Ok(Secret { data, version: version_id, created_at, stale: false })
}

#[cfg(test)]
mod tests;

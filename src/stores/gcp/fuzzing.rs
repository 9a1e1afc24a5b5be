//! Entry points for fuzz targets: the meaning of answers, without a project.

use super::answers;
use crate::config::secret_values::SecretValues;
use crate::model::secret::Secret;
use crate::stores::cloud::Unreadable;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use http::HeaderValue;
use jiff::Timestamp;
use std::time::Duration;

/// The answer to the read of the secret of a path with this name.
///
/// # Errors
/// See [`ReadError`].
pub fn secret(status: u16, body: &[u8], name: &str, path: &str, form: SecretValues) -> Result<Secret, ReadError> {
    let path = StorePath::try_from(path).map_err(|_| ReadError::Misconfigured)?;
    if status != 200 {
        return Err(answers::refusal(status, body).error);
    }
    answers::secret(body, name, form, &path).map_err(|error| match error {
        Unreadable::Garbled => ReadError::Unavailable,
        Unreadable::Failed(error) => error,
    })
}

/// The answer to an exchange of tokens: the header and its life.
///
/// # Errors
/// See [`ReadError`].
pub fn exchange(status: u16, body: &[u8]) -> Result<(HeaderValue, Duration), ReadError> {
    if status != 200 {
        return Err(answers::exchange_refusal(status, body).error);
    }
    answers::granted(body).map(|(token, ttl)| (token.header(), ttl)).ok_or(ReadError::Unavailable)
}

/// The answer to an impersonation: the header and its life.
#[must_use]
pub fn impersonated(body: &[u8], now: Timestamp) -> Option<(HeaderValue, Duration)> {
    answers::impersonated(body, now).map(|(token, ttl)| (token.header(), ttl))
}

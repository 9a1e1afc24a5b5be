//! Entry points for fuzz targets: the parsers of responses, without a project.

use super::responses;
use crate::config::value_format::ValueFormat;
use crate::model::secret::Secret;
use crate::stores::port::ReadError;
use crate::stores::store_path::StorePath;
use http::HeaderValue;
use jiff::Timestamp;
use std::time::Duration;

/// The response to the read of the secret of a path with this name.
///
/// # Errors
/// See [`ReadError`].
pub fn secret(status: u16, body: &[u8], name: &str, path: &str, form: ValueFormat) -> Result<Secret, ReadError> {
    let path = StorePath::try_from(path).map_err(|_| ReadError::Misconfigured)?;
    if status != 200 {
        return Err(responses::classify_error(status, body).error);
    }
    responses::parse_secret(body, name, form, &path).map_err(ReadError::from)
}

/// The response to an exchange of tokens: the header and its lifetime.
///
/// # Errors
/// See [`ReadError`].
pub fn exchange(status: u16, body: &[u8]) -> Result<(HeaderValue, Duration), ReadError> {
    if status != 200 {
        return Err(responses::classify_exchange_error(status, body).error);
    }
    responses::parse_token(body).map(|(token, ttl)| (token.header(), ttl)).ok_or(ReadError::Unavailable)
}

/// The response to an impersonation: the header and its lifetime.
#[must_use]
pub fn parse_impersonation(body: &[u8], now: Timestamp) -> Option<(HeaderValue, Duration)> {
    responses::parse_impersonation(body, now).map(|(token, ttl)| (token.header(), ttl))
}

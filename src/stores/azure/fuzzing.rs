//! Entry points for fuzz targets: the parsers of responses, without a vault.

use super::responses;
use crate::config::azure_key_vault::ExpiredSecrets;
use crate::config::value_format::ValueFormat;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::port::ReadError;
use crate::stores::store_path::StorePath;
use jiff::Timestamp;
use std::time::Duration;

/// The response to the read of the secret of a path with this name.
///
/// # Errors
/// See [`ReadError`].
pub fn secret(
    status: u16,
    body: &[u8],
    name: &str,
    path: &str,
    form: ValueFormat,
    now: Timestamp,
) -> Result<Secret, ReadError> {
    let path = StorePath::try_from(path).map_err(|_| ReadError::Misconfigured)?;
    if status == 200 {
        responses::parse_secret(body, name, form, &path)?.if_valid_now(ExpiredSecrets::Refuse, now)
    } else {
        Err(responses::classify_error(status, body).error)
    }
}

/// The response to a login: the token and its lifetime.
///
/// # Errors
/// See [`ReadError`].
pub fn login(status: u16, body: &[u8]) -> Result<(SecretValue, Duration), ReadError> {
    if status == 200 {
        responses::parse_token(body).ok_or(ReadError::Unavailable)
    } else {
        Err(responses::classify_login_error(status, body).error)
    }
}

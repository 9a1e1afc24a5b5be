//! Entry points for fuzz targets: the parsers of responses, without a server.

use super::mounts::Engine;
use super::responses;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::outbound::StoreResponse;
use crate::stores::port::ReadError;
use crate::stores::store_path::StorePath;
use std::time::Duration;
use zeroize::Zeroizing;

fn response(status: u16, body: &[u8]) -> StoreResponse {
    StoreResponse { status, retry_after: None, body: Zeroizing::new(body.to_vec()) }
}

/// The response to the read of a secret, from an engine with or without versions.
///
/// # Errors
/// See [`ReadError`].
pub fn secret(status: u16, body: &[u8], versioned: bool) -> Result<Secret, ReadError> {
    responses::parse_secret(&response(status, body), if versioned { Engine::KvV2 } else { Engine::KvV1 })
}

/// The response to the preflight of a path: the path again, if it is below the mount.
///
/// # Errors
/// See [`ReadError`]; an invalid path is `Misconfigured`.
pub fn mount(status: u16, body: &[u8], path: &str) -> Result<Option<String>, ReadError> {
    let path = StorePath::try_from(path).map_err(|_| ReadError::Misconfigured)?;
    responses::parse_mount(&response(status, body), &path)
        .map(|mount| Some(format!("{}{}", mount.path, mount.relative_path(&path)?)))
}

/// The response to a login: the token and its lifetime.
///
/// # Errors
/// See [`ReadError`].
pub fn login(status: u16, body: &[u8]) -> Result<(SecretValue, Duration), ReadError> {
    responses::parse_login(&response(status, body)).map(|granted| (granted.token, granted.grant.ttl))
}

/// The response to a token's look-up of itself; `None` for one that never expires.
///
/// # Errors
/// See [`ReadError`].
pub fn own_token(status: u16, body: &[u8]) -> Result<Option<Duration>, ReadError> {
    responses::parse_token_lookup(&response(status, body)).map(|grant| grant.map(|grant| grant.ttl))
}

//! Entry points for fuzz targets: the meaning of answers, without a server.

use super::answers;
use super::mounts::Engine;
use crate::model::secret::{Secret, SecretValue};
use crate::stores::outbound::Answer;
use crate::stores::path::StorePath;
use crate::stores::port::ReadError;
use std::time::Duration;
use zeroize::Zeroizing;

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer { status, retry_after: None, body: Zeroizing::new(body.to_vec()) }
}

/// The answer to the read of a secret, from an engine with or without versions.
///
/// # Errors
/// See [`ReadError`].
pub fn secret(status: u16, body: &[u8], versioned: bool) -> Result<Secret, ReadError> {
    answers::secret(&answer(status, body), if versioned { Engine::KvV2 } else { Engine::KvV1 })
}

/// The answer to the preflight of a path: the path again, if it is below the mount.
///
/// # Errors
/// See [`ReadError`]; an invalid path is `Misconfigured`.
pub fn mount(status: u16, body: &[u8], path: &str) -> Result<Option<String>, ReadError> {
    let path = StorePath::try_from(path).map_err(|_| ReadError::Misconfigured)?;
    answers::mount(&answer(status, body), &path).map(|mount| Some(format!("{}{}", mount.path, mount.below(&path)?)))
}

/// The answer to a login: the token and its life.
///
/// # Errors
/// See [`ReadError`].
pub fn login(status: u16, body: &[u8]) -> Result<(SecretValue, Duration), ReadError> {
    answers::login(&answer(status, body)).map(|granted| (granted.token, granted.grant.ttl))
}

/// The answer to a token's look-up of itself; `None` for one that never expires.
///
/// # Errors
/// See [`ReadError`].
pub fn own_token(status: u16, body: &[u8]) -> Result<Option<Duration>, ReadError> {
    answers::own_token(&answer(status, body)).map(|grant| grant.map(|grant| grant.ttl))
}

//! Logging in: credentials from a file become a token.

use super::answers;
use super::client::Call;
use super::exchange::Exchange;
use super::token::{Stamp, header};
use crate::config::stores::VaultAuth;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::breaker::Target;
use crate::stores::credential_file;
use crate::stores::dynamic::Grant;
use crate::stores::port::ReadError;
use http::{HeaderValue, Method};
use serde::Serialize;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// What a login gives.
pub(super) struct LoggedIn {
    /// The token.
    pub(super) header: HeaderValue,
    /// For how long; a token from a file does not say.
    pub(super) grant: Option<Grant>,
    /// The file that it came from.
    pub(super) stamp: Option<Stamp>,
    /// How many calls it is good for; none where that is not limited.
    pub(super) uses: Option<u32>,
}

/// Gets a token. `has_worked` is whether this login has given one before.
///
/// # Errors
/// `Forbidden` where the store refuses the credentials, `Misconfigured` where it knows no such mount or role. A refusal of
/// a login that has worked is `Unavailable`: a server answers so, too, while it cannot have the token reviewed.
pub(super) async fn log_in(
    exchange: &Exchange,
    auth: &VaultAuth,
    has_worked: bool,
    request: &RequestId,
) -> Result<LoggedIn, ReadError> {
    let (mount, body) = match auth {
        VaultAuth::Kubernetes { mount, role, token_file } | VaultAuth::Jwt { mount, role, token_file } => {
            let jwt = credential_file::read(&exchange.store, token_file).await?;
            (mount, jwt_body(role, &jwt)?)
        }
        VaultAuth::AppRole { mount, role_id, secret_id_file } => {
            let secret_id = credential_file::read(&exchange.store, secret_id_file).await?;
            (mount, app_role_body(role_id, &secret_id)?)
        }
        VaultAuth::TokenFile(file) => {
            // The stamp before the text: a file replaced in between is read once too often, never once too seldom.
            let stamp = stamp(file).await;
            let header = header(&credential_file::read(&exchange.store, file).await?);
            let header = header.ok_or_else(|| credential_file::unusable(&exchange.store))?;
            return Ok(LoggedIn { header, grant: None, stamp, uses: None });
        }
    };
    let path = format!("auth/{mount}/login");
    let group = format!("auth/{mount}/");
    let (method, target) = (Method::POST, Target::group(&group));
    let call = Call { method, path: &path, target, token: None, body: Some(body), once: true, makes: false };
    let meaning = |answer: &_| match answers::login(answer) {
        Err(ReadError::Forbidden) if has_worked => Err(ReadError::Unavailable),
        result => result,
    };
    let granted = exchange.ask(StoreOperation::Login, call, request, meaning).await.map_err(|failed| failed.error)?;
    let header = header(&granted.token).ok_or(ReadError::Unavailable)?;
    Ok(LoggedIn { header, grant: Some(granted.grant), stamp: None, uses: granted.uses })
}

#[expect(clippy::disallowed_methods, reason = "the store has this token reviewed")]
fn jwt_body(role: &str, jwt: &SecretValue) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    #[derive(Serialize)]
    struct Login<'a> {
        role: &'a str,
        jwt: &'a str,
    }
    body(jwt, &Login { role, jwt: jwt.expose_secret() })
}

#[expect(clippy::disallowed_methods, reason = "the store checks this secret id")]
fn app_role_body(role_id: &str, secret_id: &SecretValue) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    #[derive(Serialize)]
    struct Login<'a> {
        role_id: &'a str,
        secret_id: &'a str,
    }
    body(secret_id, &Login { role_id, secret_id: secret_id.expose_secret() })
}

/// The body, written into room enough from the start: a vector that grows leaves its old contents behind.
fn body(credential: &SecretValue, login: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut body = Zeroizing::new(Vec::with_capacity(6 * credential.len() + 4096));
    serde_json::to_writer(&mut *body, login).map_err(|_| ReadError::Unavailable)?;
    Ok(body)
}

/// The state of a file; none where it cannot be seen.
pub(super) async fn stamp(file: &Path) -> Option<Stamp> {
    let seen = tokio::fs::metadata(file).await.ok()?;
    Some(Stamp { modified: seen.modified().ok()?, length: seen.len(), inode: seen.ino() })
}

//! Logs in: exchanges the credentials in a file for a token, or reads the token from its file.

use super::call::{Call, CallOptions};
use super::responses;
use super::server::VaultServer;
use super::token::token_header;
use crate::config::stores::VaultAuthMethod;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::stores::breaker::BreakerTarget;
use crate::stores::credential_file;
use crate::stores::dynamic_store::GrantedLifetime;
use crate::stores::port::ReadError;
use crate::trust::FileStamp;
use http::HeaderValue;
use rustify::endpoint::Endpoint;
use std::path::Path;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::auth::oidc::requests::JWTLoginRequest;

pub(super) struct LoginResult {
    /// The token.
    pub(super) header: HeaderValue,
    /// The lifetime. `None` for a token from a file, whose lifetime is unknown.
    pub(super) grant: Option<GrantedLifetime>,
    /// The state of the token file, if the token is from a file.
    pub(super) stamp: Option<FileStamp>,
    /// Number of calls that the token can be used for (`num_uses`). `None` if unlimited.
    pub(super) uses: Option<u32>,
}

/// Gets a token. `has_logged_in_before` says that a login has succeeded before.
///
/// # Errors
/// `Forbidden` if the store refuses the credentials, `Misconfigured` for an unknown mount or role. If a login has succeeded
/// before, a refusal is `Unavailable`, because a server also refuses while it cannot reach the Kubernetes API to review the
/// token.
pub(super) async fn obtain_token(
    server: &VaultServer,
    auth: &VaultAuthMethod,
    has_logged_in_before: bool,
    request_id: &RequestId,
) -> Result<LoginResult, ReadError> {
    match auth {
        VaultAuthMethod::Kubernetes { mount, role, token_file } => {
            let jwt = expose(&credential_file::read(&server.calls.store, token_file).await?);
            let endpoint = LoginWithKubernetesRequest { mount: mount.clone(), role: role.clone(), jwt };
            exchange_for_token(server, mount, endpoint, has_logged_in_before, request_id).await
        }
        VaultAuthMethod::Jwt { mount, role, token_file } => {
            let jwt = expose(&credential_file::read(&server.calls.store, token_file).await?);
            let endpoint = JWTLoginRequest { mount: mount.clone(), role: Some(role.clone()), jwt };
            exchange_for_token(server, mount, endpoint, has_logged_in_before, request_id).await
        }
        VaultAuthMethod::AppRole { mount, role_id, secret_id_file } => {
            let secret_id = expose(&credential_file::read(&server.calls.store, secret_id_file).await?);
            let endpoint = LoginWithApproleRequest { mount: mount.clone(), role_id: role_id.clone(), secret_id };
            exchange_for_token(server, mount, endpoint, has_logged_in_before, request_id).await
        }
        VaultAuthMethod::TokenFile(file) => {
            // Read before the token: a file that is replaced in between is then read again later.
            let stamp = file_stamp(file).await;
            let header = token_header(&credential_file::read(&server.calls.store, file).await?);
            let header = header.ok_or_else(|| credential_file::log_unusable(&server.calls.store))?;
            Ok(LoginResult { header, grant: None, stamp, uses: None })
        }
    }
}

/// Copies a credential for an endpoint type, which takes a plain string. The allocator overwrites freed memory.
#[expect(clippy::disallowed_methods, reason = "the store checks this credential")]
fn expose(credential: &SecretValue) -> String {
    credential.expose_secret().to_owned()
}

async fn exchange_for_token(
    server: &VaultServer,
    mount: &str,
    endpoint: impl Endpoint,
    has_logged_in_before: bool,
    request_id: &RequestId,
) -> Result<LoginResult, ReadError> {
    let group = format!("auth/{mount}/");
    let options =
        CallOptions { no_retry: true, ..CallOptions::new(StoreOperation::Login, BreakerTarget::group(&group)) };
    let parse = |response: &_| match responses::parse_login(response) {
        Err(ReadError::Forbidden) if has_logged_in_before => Err(ReadError::Unavailable),
        result => result,
    };
    let call = Call { endpoint, options, token: None };
    let granted = server.call(call, request_id, parse).await.map_err(|failed| failed.error)?;
    let header = token_header(&granted.token).ok_or(ReadError::Unavailable)?;
    Ok(LoginResult { header, grant: Some(granted.grant), stamp: None, uses: granted.uses })
}

/// Reads the state of a file. `None` if it cannot be read.
pub(super) async fn file_stamp(file: &Path) -> Option<FileStamp> {
    tokio::fs::metadata(file).await.ok().map(FileStamp::from)
}

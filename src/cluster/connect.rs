//! Builds a client from a kubeconfig or from the in-cluster files, without contacting the API server.

use super::call_limit::CallLimit;
use super::client::{Cluster, Connection};
use super::connect_error::{ConnectError, KubeconfigFault};
use super::credentials::CredentialReader;
use super::http_exchange;
use super::kubeconfig::{self, ClientInputs};
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use kube::{Client, Config};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// The result of a successful check.
pub struct CheckedCredentials {
    /// Settings that work but should be changed.
    pub warnings: Vec<KubeconfigFault>,
    /// The claims of the broker's own token. `None` if `kube` adds the token to calls itself, or if it is no JWT with an issuer.
    pub own_token: Option<OwnToken>,
}

/// Unverified claims of the broker's own token. The API server accepts this token, so the issuer and the audiences of the token are
/// those of the API server.
pub struct OwnToken {
    /// The cluster's issuer.
    pub issuer: String,
    /// The audiences of the token. One of them is the API server's own.
    pub audiences: Vec<String>,
}

/// Checks whether a kubeconfig (or without one, the in-cluster files) has everything that a client needs. Sends nothing and runs no
/// credential plugin.
///
/// # Errors
/// See [`ConnectError`].
pub fn check_credentials(kubeconfig: Option<&Path>) -> Result<CheckedCredentials, ConnectError> {
    let ClientInputs { warnings, authorization, .. } = read_inputs(kubeconfig)?;
    Ok(CheckedCredentials { warnings, own_token: authorization.as_ref().and_then(parse_own_token) })
}

fn parse_own_token(authorization: &HeaderValue) -> Option<OwnToken> {
    let claims = authorization.to_str().ok()?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let audiences = match &claims["aud"] {
        Value::String(audience) => vec![audience.clone()],
        Value::Array(audiences) => audiences.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Some(OwnToken { issuer: claims["iss"].as_str()?.to_owned(), audiences })
}

impl Cluster {
    /// Creates a client for the current context of a kubeconfig or, without a kubeconfig, for the cluster that the
    /// broker runs in (`kube` finds it by environment variables and mounted files). The API server is not contacted. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// No client can be built.
    #[expect(clippy::unused_async, reason = "kube's client needs a runtime")]
    pub async fn connect(kubeconfig: Option<&Path>, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        let connection = Connection::open(kubeconfig)?;
        let stamps = Mutex::new(connection.stamps());
        let kubeconfig = kubeconfig.map(Path::to_path_buf);
        let (reviews, other_calls) = (CallLimit::new(32, 512), CallLimit::new(32, 512));
        let (connection, reload_failed) = (ArcSwap::from_pointee(connection), AtomicBool::new(false));
        Ok(Self { connection, kubeconfig, stamps, reload_failed, reviews, other_calls, metrics })
    }
}

impl Connection {
    /// Reads the files and builds a client.
    pub(super) fn open(kubeconfig: Option<&Path>) -> Result<Self, ConnectError> {
        let ClientInputs { mut config, authorization, files, .. } = read_inputs(kubeconfig)?;
        // Each call has its own deadline. `kube` must not retry, so that a failed call is reported at once.
        config.connect_timeout = Some(http_exchange::CALL_TIMEOUT);
        config.default_retry = false;
        // `kube` panics if a credential plugin returns a token that is not a valid header value.
        let client = catch_unwind(AssertUnwindSafe(|| Client::try_from(config)));
        let client = client.ok().and_then(Result::ok).ok_or(ConnectError::Unusable)?;
        Ok(Self { client, authorization, files })
    }
}

fn read_inputs(kubeconfig: Option<&Path>) -> Result<ClientInputs, ConnectError> {
    match kubeconfig {
        Some(path) => kubeconfig::read(path),
        None => read_in_cluster_files(),
    }
}

/// Reads token and CA of the pod that the broker runs in, and records their stamps, so that a change of either is detected.
fn read_in_cluster_files() -> Result<ClientInputs, ConnectError> {
    let mut config = Config::incluster().map_err(|_| ConnectError::NotInCluster)?;
    let mut reader = CredentialReader::default();
    if let Some(file) = config.root_cert_file.take() {
        reader.record_stamp(&file);
    }
    let token_file = config.auth_info.token_file.take();
    let authorization = token_file.and_then(|file| reader.read_token_file(&file, Path::new(&file), None));
    let CredentialReader { faults, warnings, files, .. } = reader;
    if faults.is_empty() {
        Ok(ClientInputs { config, authorization, files, warnings })
    } else {
        Err(ConnectError::Faults(faults))
    }
}

#[cfg(test)]
mod tests;

//! Builds a client from a kubeconfig or from the in-cluster files. Sends nothing.

use super::call_limit::CallLimit;
use super::client::{Cluster, Link};
use super::credentials::Reader;
use super::exchange;
use super::kubeconfig::{self, Access, Unusable};
use super::kubeconfig_fault::KubeconfigFault;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use kube::{Client, Config};
use serde_json::Value;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Why no client could be built. Error texts of `kube` are not used: its YAML errors quote the kubeconfig, which
/// holds credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read.
    #[error("the kubeconfig cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// The file is not a kubeconfig, or its current context is incomplete.
    #[error("is not a kubeconfig with a complete current context")]
    NotAKubeconfig,
    /// Values in the kubeconfig, or in a file it refers to, cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<KubeconfigFault>),
    /// There is no kubeconfig, and this process does not run in a cluster.
    #[error("there is no kubeconfig, and the process does not run in a cluster")]
    NotInCluster,
    /// The address, the certificates or the credentials cannot be used.
    #[error("the cluster's address, certificates or credentials cannot be used")]
    Unusable,
}

impl From<Unusable> for ConnectError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Unreadable(kind) => Self::Unreadable(kind),
            Unusable::NotAKubeconfig => Self::NotAKubeconfig,
            Unusable::Faults(faults) => Self::Faults(faults),
        }
    }
}

/// The result of a successful check.
pub struct Checked {
    /// Settings that work but should be changed.
    pub warnings: Vec<KubeconfigFault>,
    /// The claims of the broker's own token, if it is a `ServiceAccount` token.
    pub own: Option<OwnToken>,
}

/// Unverified claims of the broker's own token. The API server accepts this token, so its issuer and audiences are
/// those of the API server.
pub struct OwnToken {
    /// The cluster's issuer.
    pub issuer: String,
    /// Includes the API server's own audience.
    pub audiences: Vec<String>,
}

/// Checks whether a kubeconfig, or the in-cluster files, have everything that a client needs. Sends nothing and
/// runs no credential plugin.
///
/// # Errors
/// See [`ConnectError`].
pub fn check(kubeconfig: Option<&Path>) -> Result<Checked, ConnectError> {
    let Access { warnings, authorization, .. } = access(kubeconfig)?;
    Ok(Checked { warnings, own: authorization.as_ref().and_then(own_token) })
}

fn own_token(authorization: &HeaderValue) -> Option<OwnToken> {
    let claims = authorization.to_str().ok()?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let audiences = match &claims["aud"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Some(OwnToken { issuer: claims["iss"].as_str()?.to_owned(), audiences })
}

impl Cluster {
    /// Creates a client for the current context of a kubeconfig or, without a kubeconfig, for the cluster that the
    /// broker runs in (`kube` finds it by environment variables and mounted files). Needs a tokio runtime.
    ///
    /// # Errors
    /// No client can be built. The API server is not contacted.
    #[expect(clippy::unused_async, reason = "the library's client wants a runtime")]
    pub async fn connect(kubeconfig: Option<&Path>, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        let link = Link::open(kubeconfig)?;
        let stamps = Mutex::new(link.stamps());
        let kubeconfig = kubeconfig.map(Path::to_path_buf);
        let (reviews, reads) = (CallLimit::new(32, 512), CallLimit::new(32, 512));
        Ok(Self { link: ArcSwap::from_pointee(link), kubeconfig, stamps, reviews, reads, metrics })
    }
}

impl Link {
    /// Reads the files and builds a client.
    pub(super) fn open(kubeconfig: Option<&Path>) -> Result<Self, ConnectError> {
        let Access { mut config, authorization, files, .. } = access(kubeconfig)?;
        // Each call has its own deadline, and a failed call is reported at once: no hidden retries.
        config.connect_timeout = Some(exchange::DEADLINE);
        config.default_retry = false;
        // `kube` panics if a credential plugin returns a token that is not a valid header value.
        let client = catch_unwind(AssertUnwindSafe(|| Client::try_from(config)));
        let client = client.ok().and_then(Result::ok).ok_or(ConnectError::Unusable)?;
        Ok(Self { client, authorization, files })
    }
}

fn access(kubeconfig: Option<&Path>) -> Result<Access, ConnectError> {
    match kubeconfig {
        Some(path) => Ok(kubeconfig::read(path)?),
        None => in_cluster(),
    }
}

/// Token and CA are read here as well, so that a change of either is noticed.
fn in_cluster() -> Result<Access, ConnectError> {
    let mut config = Config::incluster().map_err(|_| ConnectError::NotInCluster)?;
    let mut reader = Reader::default();
    if let Some(file) = config.root_cert_file.take() {
        reader.watch(&file);
    }
    let token_file = config.auth_info.token_file.take();
    let authorization = token_file.and_then(|file| reader.token_file(&file, Path::new(&file), None));
    let Reader { faults, warnings, files, .. } = reader;
    if faults.is_empty() {
        Ok(Access { config, authorization, files, warnings })
    } else {
        Err(ConnectError::Faults(faults))
    }
}

#[cfg(test)]
mod tests;

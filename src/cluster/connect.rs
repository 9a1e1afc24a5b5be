//! From a kubeconfig, or from the pod we run in, to a client. Nothing is sent yet.

use super::client::{Cluster, Link};
use super::credentials::Reader;
use super::exchange;
use super::kubeconfig::{self, Access, Unusable};
use super::kubeconfig_fault::KubeconfigFault;
use super::lanes::Lanes;
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

/// Why there is no client. Texts of `kube` are left out: its YAML errors quote the file, which holds credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read.
    #[error("the kubeconfig cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// The file is no kubeconfig, or its current context is incomplete.
    #[error("is not a kubeconfig with a complete current context")]
    NotAKubeconfig,
    /// What stands in the kubeconfig, or in a file that it names, cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<KubeconfigFault>),
    /// There is no kubeconfig, and this process does not run in a cluster.
    #[error("there is no kubeconfig, and no ServiceAccount of a cluster to run under")]
    NotInCluster,
    /// Address, certificates or credentials cannot be used.
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

/// What was found where everything that a client needs is there.
pub struct Checked {
    /// What works and should be otherwise.
    pub warnings: Vec<KubeconfigFault>,
    /// What the broker's own token says of itself, where it is a ServiceAccount's.
    pub own: Option<OwnToken>,
}

/// The unverified claims of the broker's own token. It is good at the API server, so they are the API server's.
pub struct OwnToken {
    /// The cluster's issuer.
    pub issuer: String,
    /// The API server's audience is one of them.
    pub audiences: Vec<String>,
}

/// Whether a kubeconfig, or without one the pod we run in, has everything that a client needs. Nothing is sent, and no credential
/// plugin runs.
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
    /// Makes a client for the cluster of a kubeconfig's current context, or without one for the cluster we run in
    /// (`kube` finds it by environment and mounted files). Needs a tokio runtime.
    ///
    /// # Errors
    /// When there is nothing to connect with. Whether the API server answers is not asked.
    #[expect(clippy::unused_async, reason = "the library's client wants a runtime")]
    pub async fn connect(kubeconfig: Option<&Path>, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        let link = Link::open(kubeconfig)?;
        let seen = Mutex::new(link.stamps());
        let kubeconfig = kubeconfig.map(Path::to_path_buf);
        let (reviews, reads) = (Lanes::new(32, 512), Lanes::new(32, 512));
        Ok(Self { link: ArcSwap::from_pointee(link), kubeconfig, seen, reviews, reads, metrics })
    }
}

impl Link {
    /// Reads the files, and makes a client of them.
    pub(super) fn open(kubeconfig: Option<&Path>) -> Result<Self, ConnectError> {
        let Access { mut config, authorization, files, .. } = access(kubeconfig)?;
        // Each call has one deadline of its own, and a call that fails is told at once: no retries in secret.
        config.connect_timeout = Some(exchange::DEADLINE);
        config.default_retry = false;
        // The library panics where a credential plugin answers with a token that no header can carry.
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

/// Token and CA are read here too, so that they are read again when they change.
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

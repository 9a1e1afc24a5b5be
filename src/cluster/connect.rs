//! From a kubeconfig, or from the pod we run in, to a client. Nothing is sent yet.

use super::lanes::Lanes;
use super::{Cluster, exchange};
use crate::metrics::Metrics;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why there is no client. Texts of `kube` are left out: its YAML errors quote the file, which holds credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig, or a file that it names, cannot be read.
    #[error("the kubeconfig or a file that it names cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// The file is no kubeconfig, or its current context is incomplete.
    #[error("not a kubeconfig with a complete current context")]
    NotAKubeconfig,
    /// There is no kubeconfig, and this process does not run in a cluster.
    #[error("there is no kubeconfig, and no ServiceAccount of a cluster to run under")]
    NotInCluster,
    /// Address, certificates or credentials cannot be used.
    #[error("the cluster's address, certificates or credentials cannot be used")]
    Unusable,
}

impl Cluster {
    /// Makes a client for the cluster of a kubeconfig's current context, or without one for the cluster we run in
    /// (`kube` finds it by environment and mounted files, and re-reads the mounted token). Needs a tokio runtime.
    ///
    /// # Errors
    /// When there is nothing to connect with. Whether the API server answers is not asked.
    pub async fn connect(kubeconfig: Option<&Path>, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        let mut config = match kubeconfig {
            Some(path) => from_file(path).await?,
            None => Config::incluster().map_err(|_| ConnectError::NotInCluster)?,
        };
        // Each call has one deadline of its own, and a call that fails is told at once: no retries in secret.
        config.connect_timeout = Some(exchange::DEADLINE);
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|_| ConnectError::Unusable)?;
        Ok(Self { client, reviews: Lanes::new(32, 512), reads: Lanes::new(32, 512), metrics })
    }
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| reason(&error))?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(|error| reason(&error))
}

fn reason(error: &KubeconfigError) -> ConnectError {
    use kube::config::LoadDataError::ReadFile;
    match error {
        KubeconfigError::ReadConfig(io, _)
        | KubeconfigError::LoadCertificateAuthority(ReadFile(io, _))
        | KubeconfigError::LoadClientCertificate(ReadFile(io, _))
        | KubeconfigError::LoadClientKey(ReadFile(io, _)) => ConnectError::Unreadable(io.kind()),
        _ => ConnectError::NotAKubeconfig,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::fake;

    async fn connect(text: &str) -> Result<Cluster, ConnectError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, text).unwrap();
        Cluster::connect(Some(&path), Arc::new(Metrics::new(&[], &[]).unwrap())).await
    }

    #[tokio::test]
    async fn a_kubeconfig_makes_a_client_and_its_faults_are_told_without_its_text() {
        assert!(connect(&fake::kubeconfig("http://127.0.0.1:1")).await.is_ok());

        for text in ["", "a: [", "token: hunter2\n  bad: indentation", "kind: Config\ncurrent-context: hunter2"] {
            let error = connect(text).await.err().expect("no kubeconfig");
            assert_eq!(error, ConnectError::NotAKubeconfig, "{text:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let absent = Cluster::connect(Some(Path::new("/nonexistent")), Arc::new(Metrics::new(&[], &[]).unwrap())).await;
        assert_eq!(absent.err(), Some(ConnectError::Unreadable(io::ErrorKind::NotFound)));
    }
}

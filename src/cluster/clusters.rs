//! One client for each configured cluster, shared by all stages.

use super::client::Cluster;
use super::client_reload;
use super::connect_error::ConnectError;
use crate::metrics::Metrics;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Clients by kubeconfig path; `None` is the cluster that the broker runs in.
#[derive(Default)]
pub struct Clusters(BTreeMap<Option<PathBuf>, Arc<Cluster>>);

impl Clusters {
    /// Creates a client for this cluster unless one exists, and starts a task that reloads its files when they change.
    ///
    /// # Errors
    /// See [`Cluster::connect`].
    pub async fn connect(&mut self, kubeconfig: Option<&Path>, metrics: &Arc<Metrics>) -> Result<(), ConnectError> {
        if let Entry::Vacant(entry) = self.0.entry(kubeconfig.map(Path::to_path_buf)) {
            let cluster = Arc::new(Cluster::connect(kubeconfig, metrics.clone()).await?);
            tokio::spawn(client_reload::poll_for_changes(Arc::downgrade(&cluster)));
            entry.insert(cluster);
        }
        Ok(())
    }

    /// The client of this cluster, if one was created.
    #[must_use]
    pub fn get(&self, kubeconfig: Option<&Path>) -> Option<Arc<Cluster>> {
        self.0.get(&kubeconfig.map(Path::to_path_buf)).cloned()
    }
}

//! Reloads the client when a kubeconfig, CA, token or client certificate file changes.

use super::client::{Cluster, Connection};
use crate::trust::FileStamp;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// Interval of the checks for changed files. Files are polled, not watched, because the kubelet replaces a mounted file by swapping
/// a symbolic link.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

impl Connection {
    /// The stamps of the files that the client was built from.
    pub(super) fn stamps(&self) -> Vec<Option<FileStamp>> {
        self.files.iter().map(|(_, stamp)| *stamp).collect()
    }
}

impl Cluster {
    /// Rebuilds the client if one of its files has changed. If the new files cannot be used, the old client stays, and the next call
    /// tries again: what was missing may be a file that only the new kubeconfig names.
    pub fn reload_if_changed(&self) {
        let current: Vec<_> = self.connection.load().files.iter().map(|(path, _)| FileStamp::read(path)).collect();
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = *stamps != current;
        if !has_changed && !self.reload_failed.load(Ordering::Relaxed) {
            return;
        }
        *stamps = current;
        let opened = Connection::open(self.kubeconfig.as_deref());
        let failed_before = self.reload_failed.swap(opened.is_err(), Ordering::Relaxed);
        match opened {
            Ok(connection) => {
                *stamps = connection.stamps();
                self.connection.store(Arc::new(connection));
                tracing::info!("API server credentials and certificates reloaded");
            }
            // The same failure every two seconds is logged once.
            Err(_) if failed_before && !has_changed => {}
            Err(error) => tracing::error!(
                %error,
                "API server credentials and certificates could not be reloaded; keeping the previous ones"
            ),
        }
    }
}

/// Checks the files periodically until the last `Arc` of the cluster is dropped.
pub(super) async fn poll_for_changes(cluster: Weak<Cluster>) {
    loop {
        sleep(POLL_INTERVAL).await;
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.reload_if_changed();
    }
}

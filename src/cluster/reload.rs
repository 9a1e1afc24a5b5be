//! Reloads the client when a kubeconfig, CA, token or client certificate file changes.

use super::client::{Cluster, Link};
use super::stamp::Stamp;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// Interval of the check for changed files. The kubelet replaces a mounted file by swapping a symbolic link.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

impl Link {
    /// The stamps of the files that the client was built from.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(|(_, stamp)| *stamp).collect()
    }
}

impl Cluster {
    /// Rebuilds the client if one of its files has changed. If the new files cannot be used, the old client stays.
    pub fn reload_if_changed(&self) {
        let now: Vec<_> = self.link.load().files.iter().map(|(path, _)| Stamp::of(path)).collect();
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *stamps == now {
            return;
        }
        *stamps = now;
        match Link::open(self.kubeconfig.as_deref()) {
            Ok(link) => {
                *stamps = link.stamps();
                self.link.store(Arc::new(link));
                tracing::info!("API server credentials and certificates reloaded");
            }
            Err(error) => tracing::error!(
                %error,
                "API server credentials and certificates could not be reloaded; keeping the previous ones"
            ),
        }
    }
}

/// Checks the files until the last `Arc` of the cluster is dropped.
pub(super) async fn follow(cluster: Weak<Cluster>) {
    loop {
        sleep(POLL_INTERVAL).await;
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.reload_if_changed();
    }
}

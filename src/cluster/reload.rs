//! A kubeconfig, a CA, a token or a client certificate that is replaced: read again when its file has changed.

use super::client::{Cluster, Link};
use super::stamp::Stamp;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked whether a file has changed. The kubelet replaces a mounted file by swapping a link.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Link {
    /// The files it was made of, as they were then.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(|(_, stamp)| *stamp).collect()
    }
}

impl Cluster {
    /// Makes the client anew if a file that it was made of has changed. What is bad there does not replace what was good.
    pub fn reload_if_changed(&self) {
        let now: Vec<_> = self.link.load().files.iter().map(|(path, _)| Stamp::of(path)).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        *seen = now;
        match Link::open(self.kubeconfig.as_deref()) {
            Ok(link) => {
                *seen = link.stamps();
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

/// Looks after the files for as long as somebody holds the cluster.
pub(super) async fn follow(cluster: Weak<Cluster>) {
    loop {
        sleep(LOOK_EVERY).await;
        let Some(cluster) = cluster.upgrade() else { return };
        cluster.reload_if_changed();
    }
}

//! Reloads policies, certificates and tokens while the process runs. Invalid files never replace valid ones.

use super::policies::FILE_POLL_INTERVAL;
use super::tls::Certificate;
use crate::broker::Broker;
use crate::policy::PolicyRegister;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Everything that can be reloaded.
pub struct Reload {
    /// Reloads the authenticators and stores.
    pub broker: Arc<Broker>,
    pub policies: Arc<PolicyRegister>,
    pub certificate: Option<Arc<Certificate>>,
}

impl Reload {
    /// Reloads everything on each notification, and changed files periodically, until the process stops. Returns the
    /// notifier and the task.
    pub fn start(self, stopped: watch::Receiver<bool>) -> (Arc<Notify>, JoinHandle<()>) {
        let requested = Arc::new(Notify::new());
        (requested.clone(), tokio::spawn(self.run(requested, stopped)))
    }

    async fn run(mut self, requested: Arc<Notify>, mut stopped: watch::Receiver<bool>) {
        let mut ticks = interval(FILE_POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = requested.notified() => self.reload_all().await,
                _ = ticks.tick() => self.reload_changed().await,
                () = &mut stop => return,
            }
        }
    }

    /// Reloads everything, on `SIGHUP`.
    async fn reload_all(&mut self) {
        self.broker.reload().await;
        if let Some(certificate) = &self.certificate {
            certificate.reload();
        }
        self.policies.reload_files_confirmed().await;
        tracing::info!("policies, certificates, keys and tokens reloaded");
    }

    /// Reloads policies and certificates whose files have changed.
    async fn reload_changed(&mut self) {
        if let Some(certificate) = &self.certificate {
            certificate.reload_if_changed();
        }
        self.policies.reload_files().await;
    }
}

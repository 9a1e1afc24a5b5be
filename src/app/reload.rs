//! Reloads policies, certificates and tokens while the process runs. Invalid files never replace valid ones.

use super::policies::FILE_POLL_INTERVAL;
use super::stop::{Stop, wait_for_stop};
use super::tls::Certificate;
use crate::broker::Broker;
use crate::policy::PolicyRegister;
use std::sync::Arc;
use tokio::sync::Notify;
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
    pub fn start(self, stop: Stop) -> (Arc<Notify>, JoinHandle<()>) {
        let requested = Arc::new(Notify::new());
        (requested.clone(), tokio::spawn(self.run(requested, stop)))
    }

    async fn run(mut self, requested: Arc<Notify>, stop: Stop) {
        let mut ticks = interval(FILE_POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stopped = wait_for_stop(stop);
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = requested.notified() => self.reload_all().await,
                _ = ticks.tick() => self.reload_changed().await,
                () = &mut stopped => return,
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

//! What is reloaded while the process runs: policies, certificates, tokens. Bad files never replace good ones.

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
    /// For its authenticators and stores.
    pub broker: Arc<Broker>,
    /// The policies.
    pub policies: Arc<PolicyRegister>,
    /// The certificate.
    pub certificate: Option<Arc<Certificate>>,
}

impl Reload {
    /// Reloads everything on each notification and changed files periodically, until the process stops.
    pub fn start(self, stopped: watch::Receiver<bool>) -> (Arc<Notify>, JoinHandle<()>) {
        let asked = Arc::new(Notify::new());
        (asked.clone(), tokio::spawn(self.run(asked, stopped)))
    }

    async fn run(mut self, asked: Arc<Notify>, mut stopped: watch::Receiver<bool>) {
        let mut look = interval(FILE_POLL_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = asked.notified() => self.reload_all().await,
                _ = look.tick() => self.reload_changed().await,
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

//! What is read again while the process runs: policies, certificates, tokens. What is bad never replaces what was good.

use super::tls::Certificate;
use crate::broker::Broker;
use crate::policy::PolicyRegister;
use std::sync::Arc;

/// Everything that can be read again.
pub struct Reload {
    /// For its authenticators and stores.
    pub broker: Arc<Broker>,
    /// The policies.
    pub policies: Arc<PolicyRegister>,
    /// The certificate.
    pub certificate: Option<Arc<Certificate>>,
}

impl Reload {
    /// All of it, on `SIGHUP`.
    pub async fn everything(&mut self) {
        self.broker.reload().await;
        if let Some(certificate) = &self.certificate {
            certificate.reload();
        }
        self.policies.reread_files().await;
        tracing::info!("policies, certificates, keys and tokens were read again");
    }

    /// Policies and certificates whose files have changed.
    pub async fn what_changed(&mut self) {
        if let Some(certificate) = &self.certificate {
            certificate.reload_if_changed();
        }
        self.policies.reread_files().await;
    }
}

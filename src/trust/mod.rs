//! THE CERTIFICATES of outgoing connections: which server certificate is accepted, which client certificate is shown, and
//! the word for a connection that fails.
//!
//! A certificate that stands byte for byte in the CA file is accepted like one that a CA of the file has signed: its name
//! and its dates count all the same. Files are read again when they have changed, at the next handshake; a file that is
//! not usable never replaces a good one. Nothing of a certificate reaches a log.

mod client_certificate;
mod error;
mod failure;
mod provider;
mod reread;
mod roots;
mod sessions;
mod verifier;

pub use error::TrustError;
pub use failure::ConnectFailure;

use client_certificate::ClientCertificate;
use provider::provider;
use reread::Reread;
use roots::Roots;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use sessions::Sessions;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use verifier::Verifier;

/// Where trust and identity come from.
#[derive(Debug, Clone, Default)]
pub struct TrustFiles {
    /// PEM certificates that servers are checked against; the system's where there is none.
    pub ca: Option<PathBuf>,
    /// What is shown to a server that asks for a client certificate.
    pub client: Option<ClientFiles>,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The PEM chain, the client's own certificate first.
    pub certificate: PathBuf,
    /// The PEM key.
    pub key: PathBuf,
}

/// The TLS settings of the connections to one server. A clone shares them.
#[derive(Debug, Clone)]
pub struct Trust {
    config: ClientConfig,
    verifier: Arc<Verifier>,
    shown: Arc<ClientCertificate>,
    /// Whether any answer has come over a connection made with this.
    answered: Arc<AtomicBool>,
}

impl Trust {
    /// Reads the files. `owner` is the configured name of whose they are, for the log.
    ///
    /// # Errors
    /// When a file is not usable, or there are no roots.
    pub fn open(owner: &str, files: &TrustFiles) -> Result<Self, TrustError> {
        let verifier = match &files.ca {
            Some(file) => {
                let reread =
                    Reread::open(owner, "caFile", vec![file.clone()], Roots::read).map_err(|()| TrustError::CaFile)?;
                Verifier::File(reread)
            }
            None => Verifier::system()?,
        };
        let client = files.client.as_ref().map(|ClientFiles { certificate, key }| {
            let files = vec![certificate.clone(), key.clone()];
            Reread::open(owner, "clientCertFile", files, client_certificate::read)
                .map_err(|()| TrustError::ClientCertificate)
        });
        let client = client.transpose()?;
        let watched: Vec<PathBuf> =
            files.ca.iter().chain(files.client.iter().flat_map(ClientFiles::both)).cloned().collect();
        Self::of(verifier, client, watched)
    }

    /// From certificates that are at hand, which are never read again.
    ///
    /// # Errors
    /// When one of them cannot be a trust anchor, or there are none.
    pub fn of_certificates(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TrustError> {
        let roots = Roots::new(certificates).ok_or(TrustError::CaFile)?;
        Self::of(Verifier::Fixed(roots), None, Vec::new())
    }

    fn of(
        verifier: Verifier,
        client: Option<Reread<rustls::sign::CertifiedKey>>,
        watched: Vec<PathBuf>,
    ) -> Result<Self, TrustError> {
        let (verifier, shown) = (Arc::new(verifier), Arc::new(ClientCertificate::new(client)));
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|_| TrustError::SystemRoots)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(shown.clone());
        // A resumed session is one whose certificate is not looked at again.
        config.resumption = Resumption::store(Arc::new(Sessions::new(watched)));
        Ok(Self { config, verifier, shown, answered: Arc::default() })
    }

    /// For an HTTP client.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Notes that a server has answered: it takes what it was shown.
    pub fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Why a connection or a request over it failed; none where the error says nothing of the connection.
    #[must_use]
    pub fn failure(&self, error: &(dyn Error + 'static)) -> Option<ConnectFailure> {
        // In TLS 1.3 the handshake of a client without a certificate succeeds, and the server ends the connection
        // afterwards: its alert may be lost in the reset that follows.
        let asked_in_vain = self.shown.asked_in_vain() && !self.answered.load(Ordering::Relaxed);
        if asked_in_vain && failure::was_ended(error) {
            return Some(ConnectFailure::ClientCertificateRequired);
        }
        ConnectFailure::of(error)
    }

    /// Reads the files now, changed or not.
    ///
    /// # Errors
    /// When one is not usable; then the last good one stays.
    pub fn reload(&self) -> Result<(), TrustError> {
        self.verifier.reload().map_err(|()| TrustError::CaFile)?;
        self.shown.reload().map_err(|()| TrustError::ClientCertificate)
    }
}

impl ClientFiles {
    fn both(&self) -> [&PathBuf; 2] {
        [&self.certificate, &self.key]
    }
}

#[cfg(test)]
mod tests;

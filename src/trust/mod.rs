//! THE CERTIFICATES of outgoing connections: which server certificates are accepted, which client certificate is
//! sent, and the cause of a failed connection.
//!
//! A certificate that is in the CA file byte for byte is accepted like one signed by a CA of the file: its names
//! and dates are checked all the same. Changed files are read again at the next handshake; a file that cannot be
//! used never replaces a good one. Nothing of a certificate is logged.

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

/// The files with CA certificates and client certificate.
#[derive(Debug, Clone, Default)]
pub struct TrustFiles {
    /// PEM root certificates for servers; the system's without.
    pub ca: Option<PathBuf>,
    /// The client certificate, for servers that request one.
    pub client: Option<ClientFiles>,
}

/// A client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The PEM chain, leaf first.
    pub certificate: PathBuf,
    /// The PEM key.
    pub key: PathBuf,
}

/// The TLS settings for connections to one server. Clones share them.
#[derive(Debug, Clone)]
pub struct Trust {
    config: ClientConfig,
    verifier: Arc<Verifier>,
    shown: Arc<ClientCertificate>,
    /// Whether any answer has arrived over a connection with these settings.
    answered: Arc<AtomicBool>,
}

impl Trust {
    /// Reads the files. `owner` is the configured name of the server, for the log.
    ///
    /// # Errors
    /// A file cannot be used, or there are no root certificates.
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

    /// Settings from certificates in memory, which never change.
    ///
    /// # Errors
    /// A certificate cannot be a trust anchor, or there are none.
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
        // A resumed session skips the certificate check.
        config.resumption = Resumption::store(Arc::new(Sessions::new(watched)));
        Ok(Self { config, verifier, shown, answered: Arc::default() })
    }

    /// The configuration for an HTTP client.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Records that a server has answered: it accepts the client certificate, or needs none.
    pub fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Why a connection or a request over it failed; `None` if the error says nothing about the connection.
    #[must_use]
    pub fn failure(&self, error: &(dyn Error + 'static)) -> Option<ConnectFailure> {
        // In TLS 1.3 the handshake of a client without a certificate succeeds, and the server ends the connection
        // afterwards. Its alert can be lost in the following reset.
        let asked_in_vain = self.shown.asked_in_vain() && !self.answered.load(Ordering::Relaxed);
        if asked_in_vain && failure::was_ended(error) {
            return Some(ConnectFailure::ClientCertificateRequired);
        }
        ConnectFailure::of(error)
    }

    /// Reads the files now, changed or not.
    ///
    /// # Errors
    /// A file cannot be used; the last good state stays.
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

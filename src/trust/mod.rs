//! Outgoing TLS: the verification of server certificates, the client certificate, and the cause of a failed connection.
//!
//! A server certificate is accepted if a CA in the CA file signed it (or without a CA file, a CA of the system), or if the CA file
//! contains it byte for byte. Its names and dates are checked in all cases. Changed files are read again at the next handshake; an
//! invalid file never replaces a valid one. Nothing of a certificate is logged.

mod client_certificate;
mod connect_failure;
mod crypto_provider;
mod error;
mod file_stamp;
mod file_value;
mod roots;
mod sessions;
mod verifier;

pub use connect_failure::ConnectFailure;
pub use error::TrustError;
pub use file_stamp::FileStamp;

use client_certificate::ClientCertificate;
use crypto_provider::provider;
use file_value::FileValue;
use roots::Roots;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::sign::CertifiedKey;
use sessions::SessionCache;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use verifier::Verifier;

/// The files with the CA certificates and the client certificate.
#[derive(Debug, Clone, Default)]
pub struct TrustFiles {
    /// PEM root certificates for servers. `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The client certificate, for servers that request one.
    pub client: Option<ClientCertificateFiles>,
}

/// The files of a client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateFiles {
    /// The PEM chain, leaf first.
    pub certificate: PathBuf,
    /// The PEM key.
    pub key: PathBuf,
}

/// The TLS settings for connections to one server. Clones share the certificates.
#[derive(Debug, Clone)]
pub struct Trust {
    config: ClientConfig,
    verifier: Arc<Verifier>,
    client_certificate: Arc<ClientCertificate>,
    /// Whether a response has arrived over a connection with these settings.
    has_response: Arc<AtomicBool>,
}

impl Trust {
    /// Reads the files. `owner` is the configured name of the server, for the log.
    ///
    /// # Errors
    /// A file is invalid, or there are no root certificates.
    pub fn open(owner: &str, files: &TrustFiles) -> Result<Self, TrustError> {
        let verifier = match &files.ca {
            Some(file) => Verifier::File(open_roots(owner, file)?),
            None => Verifier::system()?,
        };
        let client = files.client.as_ref().map(|client| open_key_pair(owner, client)).transpose()?;
        let watched: Vec<PathBuf> =
            files.ca.iter().chain(files.client.iter().flat_map(ClientCertificateFiles::paths)).cloned().collect();
        let (verifier, client_certificate) = (Arc::new(verifier), Arc::new(ClientCertificate::new(client)));
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|_| TrustError::SystemRoots)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(client_certificate.clone());
        // A resumed session skips the verification of the server certificate, so the cache ends when a file changes.
        config.resumption = Resumption::store(Arc::new(SessionCache::new(watched)));
        Ok(Self { config, verifier, client_certificate, has_response: Arc::default() })
    }

    /// The faults of the files.
    #[must_use]
    pub fn check(owner: &str, files: &TrustFiles) -> Vec<TrustError> {
        let ca = files.ca.as_ref().and_then(|file| open_roots(owner, file).err());
        let client = files.client.as_ref().and_then(|client| open_key_pair(owner, client).err());
        ca.into_iter().chain(client).collect()
    }

    /// The configuration for an HTTP client.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Records a response, which means that the server accepts the client certificate or needs none.
    pub fn record_response(&self) {
        self.has_response.store(true, Ordering::Relaxed);
    }

    /// Why the connection of a failed request failed. `None` if the request failed for another reason than its connection.
    #[must_use]
    pub fn connect_failure(&self, error: &(dyn Error + 'static)) -> Option<ConnectFailure> {
        // In TLS 1.3 the handshake of a client without a certificate succeeds. The server closes the connection afterwards, and its
        // alert can be lost in the connection reset.
        let may_lack_certificate =
            self.client_certificate.was_requested_but_not_sent() && !self.has_response.load(Ordering::Relaxed);
        if may_lack_certificate && connect_failure::is_closed_by_peer(error) {
            return Some(ConnectFailure::ClientCertificateRequired);
        }
        ConnectFailure::from_error(error)
    }

    /// Reads the files, whether changed or not. After an invalid one, the others are only read at the next handshake.
    ///
    /// # Errors
    /// A file is invalid; its last valid content stays in use.
    pub fn reload(&self) -> Result<(), TrustError> {
        self.verifier.reload().map_err(|()| TrustError::CaFile)?;
        self.client_certificate.reload().map_err(|()| TrustError::ClientCertificate)
    }
}

fn open_roots(owner: &str, file: &Path) -> Result<FileValue<Roots>, TrustError> {
    FileValue::open(owner, "caFile", vec![file.to_owned()], Roots::from_pem_file).map_err(|()| TrustError::CaFile)
}

fn open_key_pair(owner: &str, files: &ClientCertificateFiles) -> Result<FileValue<CertifiedKey>, TrustError> {
    let files = files.paths().map(Clone::clone).into();
    FileValue::open(owner, "clientCertFile", files, client_certificate::read_key_pair)
        .map_err(|()| TrustError::ClientCertificate)
}

impl ClientCertificateFiles {
    fn paths(&self) -> [&PathBuf; 2] {
        [&self.certificate, &self.key]
    }
}

#[cfg(test)]
mod tests;

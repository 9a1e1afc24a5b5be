//! The certificate and key of the API listener, read again when their files change.

use crate::config::server::Tls;
use crate::http::TlsSource;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{file} cannot be read as PEM")]
    Pem {
        /// The file. The cause is omitted: it may quote the file.
        file: String,
    },
    /// The key does not belong to the certificate, or rustls does not support one of them.
    #[error("the certificate and the key cannot be used together")]
    Unusable(#[from] rustls::Error),
}

/// The certificate and key in use.
pub struct Certificate {
    files: Tls,
    current: Arc<ArcSwap<ServerConfig>>,
    /// Where the expiry time is reported. `None` if it is not reported.
    metrics: Option<Arc<Metrics>>,
    /// Modification times of both files before the last read. `None` if one of them was not available.
    modified: Mutex<Option<[SystemTime; 2]>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(files: Tls, metrics: Option<Arc<Metrics>>) -> Result<Self, TlsError> {
        let modified = Mutex::new(modification_times(&files));
        let LoadedCertificate { config, expires_at } = load_files(&files)?;
        let certificate = Self { current: Arc::new(ArcSwap::from_pointee(config)), metrics, files, modified };
        certificate.set_expiry_metric(expires_at);
        Ok(certificate)
    }

    /// A function by which the accept loop gets the settings in use.
    #[must_use]
    pub fn tls_source(&self) -> TlsSource {
        let current = self.current.clone();
        Arc::new(move || current.load_full())
    }

    /// Reads the files again if they have changed.
    pub fn reload_if_changed(&self) {
        let last = *self.modified.lock().unwrap_or_else(PoisonError::into_inner);
        if modification_times(&self.files) != last {
            self.reload();
        }
    }

    /// Reads the files again. Invalid files never replace valid ones.
    pub fn reload(&self) {
        // The times are read before the files, so that files replaced in between are read again at the next check.
        *self.modified.lock().unwrap_or_else(PoisonError::into_inner) = modification_times(&self.files);
        match load_files(&self.files) {
            Ok(LoadedCertificate { config, expires_at }) => {
                self.current.store(Arc::new(config));
                self.set_expiry_metric(expires_at);
                tracing::info!("TLS certificate reloaded");
            }
            Err(error) => tracing::error!(%error, "TLS certificate reload failed; keeping the previous certificate"),
        }
    }

    fn set_expiry_metric(&self, expires_at: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.set_certificate_expiry(expires_at);
        }
    }
}

/// The content of the files.
struct LoadedCertificate {
    config: ServerConfig,
    /// Expiry of the first certificate of the chain, in seconds of Unix time.
    expires_at: i64,
}

fn modification_times(files: &Tls) -> Option<[SystemTime; 2]> {
    let modified = |path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    Some([modified(&files.cert_file)?, modified(&files.key_file)?])
}

fn load_files(files: &Tls) -> Result<LoadedCertificate, TlsError> {
    let pem_error = |file: &Path| TlsError::Pem { file: file.display().to_string() };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect)
        .map_err(|_| pem_error(&files.cert_file))?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|_| pem_error(&files.key_file))?;
    let expires_at = chain.first().and_then(expiry).ok_or_else(|| pem_error(&files.cert_file))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(LoadedCertificate { config, expires_at: expires_at.as_second() })
}

/// When a certificate expires.
pub fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

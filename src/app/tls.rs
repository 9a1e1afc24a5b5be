//! The certificate of the API listener, read again when its files change.

use crate::config::server::Tls;
use crate::http::TlsSource;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
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
    /// They do not belong together, or cannot be used.
    #[error("the certificate and the key cannot be used together")]
    Unusable(#[from] rustls::Error),
}

/// The active TLS settings.
pub struct Certificate {
    files: Tls,
    current: Arc<ArcSwap<ServerConfig>>,
    /// Metrics for the expiry time.
    metrics: Option<Arc<Metrics>>,
    stamp: Mutex<Option<[SystemTime; 2]>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(files: Tls, metrics: Option<Arc<Metrics>>) -> Result<Self, TlsError> {
        let stamp = Mutex::new(stamp(&files));
        let Loaded { config, expires } = load(&files)?;
        let certificate = Self { current: Arc::new(ArcSwap::from_pointee(config)), metrics, files, stamp };
        certificate.set_expiry_metric(expires);
        Ok(certificate)
    }

    /// The settings for the accept loop.
    #[must_use]
    pub fn source(&self) -> TlsSource {
        let current = self.current.clone();
        Arc::new(move || current.load_full())
    }

    /// Reads the files again if they have changed.
    pub fn reload_if_changed(&self) {
        let last = *self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp(&self.files) != last {
            self.reload();
        }
    }

    /// Reads the files again. Bad files never replace good ones.
    pub fn reload(&self) {
        // The stamp is taken before reading, so that files replaced in between are read again.
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp(&self.files);
        match load(&self.files) {
            Ok(Loaded { config, expires }) => {
                self.current.store(Arc::new(config));
                self.set_expiry_metric(expires);
                tracing::info!("TLS certificate reloaded");
            }
            Err(error) => tracing::error!(%error, "TLS certificate reload failed; keeping the previous certificate"),
        }
    }

    fn set_expiry_metric(&self, expires: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.set_certificate_expiry(expires);
        }
    }
}

/// The settings from the files.
struct Loaded {
    config: ServerConfig,
    /// Expiry of the first certificate of the chain, in seconds of Unix time.
    expires: i64,
}

fn stamp(files: &Tls) -> Option<[SystemTime; 2]> {
    let modified = |path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    Some([modified(&files.cert_file)?, modified(&files.key_file)?])
}

fn load(files: &Tls) -> Result<Loaded, TlsError> {
    let no_pem = |file: &Path| TlsError::Pem { file: file.display().to_string() };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect)
        .map_err(|_| no_pem(&files.cert_file))?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|_| no_pem(&files.key_file))?;
    let expires = chain.first().and_then(expiry).ok_or_else(|| no_pem(&files.cert_file))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { config, expires })
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

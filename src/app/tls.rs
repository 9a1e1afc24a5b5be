//! The certificate and key of the API listener, read again when their files change.

use crate::config::server::Tls;
use crate::http::TlsSource;
use crate::metrics::Metrics;
use crate::trust::FileStamp;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Stamps of both files before the last read.
    stamps: Mutex<[Option<FileStamp>; 2]>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn open(files: Tls, metrics: Option<Arc<Metrics>>) -> Result<Self, TlsError> {
        let stamps = Mutex::new(read_stamps(&files));
        let LoadedCertificate { config, expires_at } = load_files(&files)?;
        let certificate = Self { current: Arc::new(ArcSwap::from_pointee(config)), metrics, files, stamps };
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
        let last = *self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if read_stamps(&self.files) != last {
            self.reload();
        }
    }

    /// Reads the files again. Invalid files never replace valid ones.
    pub fn reload(&self) {
        // The stamps are read before the files, so that files replaced in between are read again at the next check.
        *self.stamps.lock().unwrap_or_else(PoisonError::into_inner) = read_stamps(&self.files);
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

fn read_stamps(files: &Tls) -> [Option<FileStamp>; 2] {
    [&files.cert_file, &files.key_file].map(|file| FileStamp::read(file))
}

fn load_files(files: &Tls) -> Result<LoadedCertificate, TlsError> {
    let pem_error = |file: &Path| TlsError::Pem { file: file.display().to_string() };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert_file)
        .and_then(Iterator::collect)
        .map_err(|_| pem_error(&files.cert_file))?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|_| pem_error(&files.key_file))?;
    let expires_at = chain.first().and_then(expiry_seconds).ok_or_else(|| pem_error(&files.cert_file))?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(LoadedCertificate { config, expires_at })
}

/// When a certificate expires, in seconds of Unix time. `None` if it cannot be parsed. It may be later than the last [`Timestamp`]:
/// 9999-12-31 means that a certificate does not expire (RFC 5280, section 4.1.2.5).
fn expiry_seconds(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// When a certificate expires, at the latest [`Timestamp::MAX`]. `None` if it cannot be parsed.
pub fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    expiry_seconds(certificate).map(|seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::fs;

    /// Stores a certificate that expires on a day, and its key.
    fn store_certificate(folder: &Path, [year, month, day]: [i32; 3]) -> Tls {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["claviger".to_owned()]).expect("a name");
        let byte = |number: i32| u8::try_from(number).expect("a month or day");
        params.not_after = date_time_ymd(year, byte(month), byte(day));
        let files = Tls { cert_file: folder.join("tls.crt"), key_file: folder.join("tls.key") };
        fs::write(&files.cert_file, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
        fs::write(&files.key_file, key.serialize_pem()).expect("a file");
        files
    }

    #[test]
    fn a_certificate_without_an_expiry_date_is_served() {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let folder = tempfile::tempdir().expect("a folder");
        for (date, seconds, time) in [
            ([2030, 1, 1], 1_893_456_000, "2030-01-01T00:00:00Z".parse().expect("a time")),
            ([9999, 12, 31], 253_402_214_400, Timestamp::MAX),
        ] {
            let files = store_certificate(folder.path(), date);
            let loaded = load_files(&files).unwrap_or_else(|error| panic!("{date:?}: {error}"));
            assert_eq!(loaded.expires_at, seconds);
            let certificate = CertificateDer::from_pem_file(&files.cert_file).expect("a certificate");
            assert_eq!(expiry(&certificate), Some(time));
        }
        assert_eq!(expiry(&CertificateDer::from(vec![0; 3])), None);
    }

    #[test]
    fn replaced_files_are_noticed_by_more_than_their_times() {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let folder = tempfile::tempdir().expect("a folder");
        let files = store_certificate(folder.path(), [2030, 1, 1]);
        let modified = fs::metadata(&files.cert_file).and_then(|file| file.modified()).expect("a time");
        let certificate = Certificate::open(files.clone(), None).expect("a certificate");
        let first = certificate.current.load_full();
        certificate.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &certificate.current.load_full()), "nothing has changed");
        store_certificate(folder.path(), [2031, 1, 1]);
        for file in [&files.cert_file, &files.key_file] {
            fs::File::options().write(true).open(file).and_then(|file| file.set_modified(modified)).expect("a time");
        }
        certificate.reload_if_changed();
        assert!(!Arc::ptr_eq(&first, &certificate.current.load_full()));
    }
}

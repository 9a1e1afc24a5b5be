//! The client certificate, sent to servers that request one.

use super::crypto_provider::provider;
use super::file_value::FileValue;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An optional client certificate.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    certified_key: Option<FileValue<CertifiedKey>>,
    /// Whether a server has requested a certificate, and none was sent.
    was_requested_but_not_sent: AtomicBool,
}

impl ClientCertificate {
    pub(super) fn new(certified_key: Option<FileValue<CertifiedKey>>) -> Self {
        Self { certified_key, was_requested_but_not_sent: AtomicBool::new(false) }
    }

    /// Reads the files, if a client certificate is configured. Fails if the files are invalid.
    pub(super) fn reload(&self) -> Result<(), ()> {
        self.certified_key.as_ref().map_or(Ok(()), FileValue::reload)
    }

    /// Whether a server has requested a certificate, and none was sent. Some servers accept that.
    pub(super) fn was_requested_but_not_sent(&self) -> bool {
        self.was_requested_but_not_sent.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let current = self.certified_key.as_ref().map(FileValue::current);
        let usable = current.filter(|current| current.key.choose_scheme(schemes).is_some());
        if usable.is_none() {
            self.was_requested_but_not_sent.store(true, Ordering::Relaxed);
        }
        usable
    }

    fn has_certs(&self) -> bool {
        self.certified_key.is_some()
    }
}

/// Reads a certificate chain and its key. `None` if a file is invalid, or the key is not that of the certificate.
pub(super) fn read_key_pair(files: &[PathBuf]) -> Option<CertifiedKey> {
    let [certificate, key] = files else { return None };
    let chain = CertificateDer::pem_file_iter(certificate).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
    if chain.is_empty() {
        return None;
    }
    CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key).ok()?, &provider()).ok()
}

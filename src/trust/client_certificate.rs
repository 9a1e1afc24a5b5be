//! The client certificate for servers that request one.

use super::provider::provider;
use super::reread::Reread;
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
    key: Option<Reread<CertifiedKey>>,
    /// Whether a server has requested a certificate while none was configured.
    asked_in_vain: AtomicBool,
}

impl ClientCertificate {
    /// Uses the certificate from the files.
    pub(super) fn new(key: Option<Reread<CertifiedKey>>) -> Self {
        Self { key, asked_in_vain: AtomicBool::new(false) }
    }

    /// Reads the files now, if there are any.
    pub(super) fn reload(&self) -> Result<(), ()> {
        self.key.as_ref().map_or(Ok(()), Reread::reload)
    }

    /// Whether a server has requested a certificate and got none. The server may accept that.
    pub(super) fn asked_in_vain(&self) -> bool {
        self.asked_in_vain.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.key.as_ref().map(Reread::current).filter(|key| key.key.choose_scheme(schemes).is_some());
        if key.is_none() {
            self.asked_in_vain.store(true, Ordering::Relaxed);
        }
        key
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

/// Reads a chain and a key, and checks that they belong together.
pub(super) fn read(files: &[PathBuf]) -> Option<CertifiedKey> {
    let [certificate, key] = files else { return None };
    let chain = CertificateDer::pem_file_iter(certificate).ok()?.collect::<Result<Vec<_>, _>>().ok()?;
    if chain.is_empty() {
        return None;
    }
    CertifiedKey::from_der(chain, PrivateKeyDer::from_pem_file(key).ok()?, &provider()).ok()
}

//! The root certificates for verifying servers.

use super::provider::provider;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Maximum size of a CA file in bytes.
const MAX_CA_BYTES: u64 = 1024 * 1024;

/// Trust anchors, and the same certificates for comparison byte for byte.
#[derive(Debug)]
pub(super) struct Roots {
    certificates: HashSet<CertificateDer<'static>>,
    pub(super) chains: Arc<WebPkiServerVerifier>,
}

impl Roots {
    /// Each certificate is a trust anchor; `None` if one cannot be, or if there are none.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut anchors = RootCertStore::empty();
        for certificate in &certificates {
            anchors.add(certificate.clone()).ok()?;
        }
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), provider()).build().ok()?;
        Some(Self { certificates: certificates.into_iter().collect(), chains })
    }

    /// Reads the one PEM file. Skips text between the certificates, keys and a byte order mark.
    pub(super) fn read(files: &[PathBuf]) -> Option<Self> {
        let [file] = files else { return None };
        let mut pem = Vec::new();
        File::open(file).ok()?.take(MAX_CA_BYTES + 1).read_to_end(&mut pem).ok()?;
        if pem.len() as u64 > MAX_CA_BYTES {
            return None;
        }
        let pem = pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&pem);
        Self::new(CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?)
    }

    /// Whether the file contains exactly this certificate.
    pub(super) fn hold(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.contains(certificate)
    }
}

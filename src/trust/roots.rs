//! Root certificates for the verification of servers.

use super::crypto_provider::provider;
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

/// Root certificates. They are trust anchors, and each is also accepted as the certificate of a server itself.
#[derive(Debug)]
pub(super) struct Roots {
    certificates: HashSet<CertificateDer<'static>>,
    pub(super) chain_verifier: Arc<WebPkiServerVerifier>,
}

impl Roots {
    /// Uses each certificate as a trust anchor. `None` if there are none, or if one cannot be a trust anchor.
    fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut anchors = RootCertStore::empty();
        for certificate in &certificates {
            anchors.add(certificate.clone()).ok()?;
        }
        let chain_verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), provider()).build().ok()?;
        Some(Self { certificates: certificates.into_iter().collect(), chain_verifier })
    }

    /// Reads a PEM file, of which only the certificates are used. `files` has one element. `None` if the file is invalid.
    pub(super) fn from_pem_file(files: &[PathBuf]) -> Option<Self> {
        let [file] = files else { return None };
        let mut pem = Vec::new();
        File::open(file).ok()?.take(MAX_CA_BYTES + 1).read_to_end(&mut pem).ok()?;
        if pem.len() as u64 > MAX_CA_BYTES {
            return None;
        }
        let pem = pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&pem);
        Self::new(CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?)
    }

    /// Whether this certificate is one of the root certificates, byte for byte.
    pub(super) fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.contains(certificate)
    }
}

//! Credentials and certificates of a kubeconfig or of the pod that the broker runs in. They are read, from files
//! or inline values, with a size limit, and checked before anything is sent.

use super::kubeconfig_fault::KubeconfigFault;
use super::stamp::Stamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Maximum file size in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Collects faults, warnings and the stamps of the files that were read.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<KubeconfigFault>,
    /// Settings that work but should be changed.
    pub(super) warnings: Vec<KubeconfigFault>,
    pub(super) files: Vec<(PathBuf, Option<Stamp>)>,
    /// The path that `kube` derives from an empty path.
    pub(super) no_path: PathBuf,
}

/// The `Authorization` value of a token, with surrounding white space removed.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    let token = token.trim();
    if token.is_empty() {
        return Err("holds no token");
    }
    let header = Zeroizing::new(format!("Bearer {token}"));
    let mut header = HeaderValue::from_bytes(header.as_bytes()).map_err(
        |_| "the token has a character that no HTTP header can carry, such as a line break: write the token alone, in one line",
    )?;
    header.set_sensitive(true);
    Ok(header)
}

impl Reader {
    pub(super) fn fault(&mut self, place: impl Into<String>, detail: &'static str) {
        self.faults.push(KubeconfigFault { place: place.into(), detail });
    }

    /// Records the fault if there is one.
    pub(super) fn checked<T>(&mut self, place: &str, result: Result<T, &'static str>) -> Option<T> {
        result.map_err(|detail| self.fault(place, detail)).ok()
    }

    /// Records a file that the client depends on.
    pub(super) fn watch(&mut self, path: &Path) {
        self.files.push((path.to_owned(), Stamp::of(path)));
    }

    /// The path, unless it is empty (as in kubectl). `kube` would prepend the kubeconfig's folder to an empty
    /// path.
    pub(super) fn named<'a>(&self, path: Option<&'a str>) -> Option<&'a str> {
        path.filter(|path| !path.is_empty() && Path::new(path).as_os_str() != self.no_path.as_os_str())
    }

    fn file(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        self.watch(path);
        // Opens regular files only: opening a FIFO blocks until it has a writer.
        let found = fs::metadata(path).map_err(|_| "there is no such file")?;
        if !found.is_file() {
            return Err("is not a file");
        }
        let file = File::open(path).map_err(|_| "the file cannot be read")?;
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(usize::try_from(found.len().min(MAX_BYTES)).unwrap_or(0) + 1));
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|_| "the file cannot be read")?;
        if bytes.len() as u64 > MAX_BYTES { Err("the file has more than 1 MiB") } else { Ok(bytes) }
    }

    /// The decoded base64 value or, without one, the content of the file; with its place for faults.
    pub(super) fn text_or_file(
        &mut self,
        text: (&str, Option<&str>),
        file: (&str, Option<&str>),
    ) -> Option<(String, Zeroizing<Vec<u8>>)> {
        let (place, read) = match (text.1.filter(|text| !text.is_empty()), self.named(file.1)) {
            (Some(encoded), _) => {
                let encoded: Zeroizing<String> = Zeroizing::new(encoded.split_ascii_whitespace().collect());
                (text.0, STANDARD.decode(encoded.as_bytes()).map(Zeroizing::new).map_err(|_| "must be base64"))
            }
            (None, Some(path)) => (file.0, self.file(Path::new(path))),
            (None, None) => return None,
        };
        self.checked(place, read).map(|read| (place.to_owned(), read))
    }

    /// The token from a file or, if the file cannot be read, the inline token.
    pub(super) fn token_file(
        &mut self,
        place: &str,
        path: &Path,
        beside: Option<(String, &str)>,
    ) -> Option<HeaderValue> {
        let read = self.file(path).and_then(|bytes| match std::str::from_utf8(&bytes) {
            Ok(text) if text.trim().is_empty() => Err("the file holds no token"),
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err("the file is not text: write the token alone, in one line"),
        });
        match (read, beside) {
            (Ok(token), _) => self.checked(place, bearer(&token)),
            (Err(detail), Some((beside, token))) => {
                self.warnings.push(KubeconfigFault { place: place.to_owned(), detail });
                self.checked(&beside, bearer(token))
            }
            (Err(detail), None) => self.checked(place, Err(detail)),
        }
    }

    /// The root certificates for verifying the API server's certificate.
    pub(super) fn checked_roots(&mut self, place: &str, pem: &[u8]) -> Option<Vec<Vec<u8>>> {
        const NO_PEM: &str = "must hold PEM certificates (-----BEGIN CERTIFICATE-----)";
        let certificates: Result<Vec<CertificateDer>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = match certificates {
            Ok(certificates) if !certificates.is_empty() => certificates,
            _ => return self.checked(place, Err(NO_PEM)),
        };
        let mut roots = RootCertStore::empty();
        if certificates.iter().any(|one| roots.add(one.clone()).is_err()) {
            return self.checked(place, Err("holds a certificate that cannot be read"));
        }
        Some(certificates.iter().map(|one| one.to_vec()).collect())
    }

    /// Checks that a client certificate and a key belong together.
    pub(super) fn check_pair(&mut self, place: &str, certificate: &[u8], key: &[u8]) {
        let chain: Result<Vec<CertificateDer>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key)) else {
            return self.fault(place, "certificate and key must be PEM");
        };
        if chain.is_empty() {
            return self.fault(place, "must hold a PEM certificate (-----BEGIN CERTIFICATE-----)");
        }
        if CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).is_err() {
            self.fault(place, "the client key is not the certificate's, or of a kind that cannot be used");
        }
    }
}

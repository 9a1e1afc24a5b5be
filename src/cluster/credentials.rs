//! Reads the credentials and certificates of a kubeconfig, or of the pod that the broker runs in, from files or inline values, and
//! checks them before anything is sent.

use super::connect_error::KubeconfigFault;
use crate::trust::FileStamp;
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

/// Maximum file size in bytes. A longer file is a fault.
const MAX_BYTES: u64 = 1 << 20;

/// Reads credentials, and collects faults, warnings and the stamps of the files that were read.
#[derive(Default)]
pub(super) struct CredentialReader {
    pub(super) faults: Vec<KubeconfigFault>,
    /// Settings that work but should be changed.
    pub(super) warnings: Vec<KubeconfigFault>,
    pub(super) files: Vec<(PathBuf, Option<FileStamp>)>,
    /// The kubeconfig's folder. `kube` prepends it to relative paths, so a path that equals it was empty in the kubeconfig.
    pub(super) empty_path: PathBuf,
}

/// The `Authorization` header for a token, without its surrounding white space. The error is the detail of a fault.
pub(super) fn bearer_header(token: &str) -> Result<HeaderValue, &'static str> {
    let token = token.trim();
    if token.is_empty() {
        return Err("holds no token");
    }
    let header = Zeroizing::new(format!("Bearer {token}"));
    let mut header = HeaderValue::from_bytes(header.as_bytes()).map_err(
        |_| "the token has a character that no HTTP header can carry, such as a line break: write only the token, in one line",
    )?;
    header.set_sensitive(true);
    Ok(header)
}

impl CredentialReader {
    pub(super) fn record_fault(&mut self, field: impl Into<String>, detail: &'static str) {
        self.faults.push(KubeconfigFault { field: field.into(), detail });
    }

    /// The value. Records an error as a fault of this field, and returns `None` then.
    pub(super) fn ok_or_record<T>(&mut self, field: &str, result: Result<T, &'static str>) -> Option<T> {
        result.map_err(|detail| self.record_fault(field, detail)).ok()
    }

    /// Records the stamp of a file that the client depends on.
    pub(super) fn record_stamp(&mut self, path: &Path) {
        self.files.push((path.to_owned(), FileStamp::read(path)));
    }

    /// The path. `None` if it is empty in the kubeconfig, which counts as unset, as in kubectl.
    pub(super) fn non_empty_path<'a>(&self, path: Option<&'a str>) -> Option<&'a str> {
        path.filter(|path| !path.is_empty() && Path::new(path).as_os_str() != self.empty_path.as_os_str())
    }

    fn read_file(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        self.record_stamp(path);
        // Opens regular files only: opening a FIFO blocks until it has a writer.
        let metadata = fs::metadata(path).map_err(|_| "there is no such file")?;
        if !metadata.is_file() {
            return Err("is not a file");
        }
        let file = File::open(path).map_err(|_| "the file cannot be read")?;
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0) + 1));
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|_| "the file cannot be read")?;
        if bytes.len() as u64 > MAX_BYTES { Err("the file has more than 1 MiB") } else { Ok(bytes) }
    }

    /// The decoded base64 data or, without data, the content of the file. Each parameter is a pair of a field and its value.
    /// Returns the field that was used, and the bytes. `None` if neither is set, or after recording a fault.
    pub(super) fn read_data_or_file(
        &mut self,
        (data_field, data): (&str, Option<&str>),
        (file_field, file): (&str, Option<&str>),
    ) -> Option<(String, Zeroizing<Vec<u8>>)> {
        let (field, bytes) = match (data.filter(|data| !data.is_empty()), self.non_empty_path(file)) {
            (Some(encoded), _) => {
                let encoded: Zeroizing<String> = Zeroizing::new(encoded.split_ascii_whitespace().collect());
                (data_field, STANDARD.decode(encoded.as_bytes()).map(Zeroizing::new).map_err(|_| "must be base64"))
            }
            (None, Some(path)) => (file_field, self.read_file(Path::new(path))),
            (None, None) => return None,
        };
        self.ok_or_record(field, bytes).map(|bytes| (field.to_owned(), bytes))
    }

    /// The header for the token in a file. If the file cannot be read, is empty or is not UTF-8, records a warning and uses the
    /// token of `inline`, a pair of a field and its value. `None` after recording a fault.
    pub(super) fn read_token_file(
        &mut self,
        field: &str,
        path: &Path,
        inline: Option<(String, &str)>,
    ) -> Option<HeaderValue> {
        let token = self.read_file(path).and_then(|bytes| match std::str::from_utf8(&bytes) {
            Ok(text) if text.trim().is_empty() => Err("the file holds no token"),
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err("the file is not text: write only the token, in one line"),
        });
        match (token, inline) {
            (Ok(token), _) => self.ok_or_record(field, bearer_header(&token)),
            (Err(detail), Some((inline_field, token))) => {
                self.warnings.push(KubeconfigFault { field: field.to_owned(), detail });
                self.ok_or_record(&inline_field, bearer_header(token))
            }
            (Err(detail), None) => self.ok_or_record(field, Err(detail)),
        }
    }

    /// The root certificates, in DER, for verifying the API server's certificate. `None` after recording a fault.
    pub(super) fn parse_roots(&mut self, field: &str, pem: &[u8]) -> Option<Vec<Vec<u8>>> {
        const NO_PEM_FAULT: &str = "must hold PEM certificates (-----BEGIN CERTIFICATE-----)";
        let certificates: Result<Vec<CertificateDer>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = match certificates {
            Ok(certificates) if !certificates.is_empty() => certificates,
            _ => return self.ok_or_record(field, Err(NO_PEM_FAULT)),
        };
        let mut roots = RootCertStore::empty();
        if certificates.iter().any(|certificate| roots.add(certificate.clone()).is_err()) {
            return self.ok_or_record(field, Err("holds a certificate that cannot be read"));
        }
        Some(certificates.iter().map(|certificate| certificate.to_vec()).collect())
    }

    /// Checks that a client certificate and a key belong together. Records a fault if they do not.
    pub(super) fn check_pair(&mut self, field: &str, certificate: &[u8], key: &[u8]) {
        let chain: Result<Vec<CertificateDer>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key)) else {
            return self.record_fault(field, "certificate and key must be PEM");
        };
        if chain.is_empty() {
            return self.record_fault(field, "must hold a PEM certificate (-----BEGIN CERTIFICATE-----)");
        }
        if CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).is_err() {
            self.record_fault(field, "the client key is not the certificate's, or its algorithm is not supported");
        }
    }
}

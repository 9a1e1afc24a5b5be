//! The lifetimes of certificates in files: of the server, of clients, and of certificate authorities.

use crate::config::Config;
use crate::config::stores::Kind;
use crate::wire::doctor::DoctorCheck;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Less than this is a fault: cert-manager renews a certificate of 90 days 30 days before its end.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What the certificates of a file are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The first one is shown to others.
    Shown,
    /// One of them is enough.
    Authorities,
}

pub fn check(config: &Config, now: Timestamp) -> Vec<DoctorCheck> {
    let tls = config.server.tls.as_ref();
    let mut files = Vec::new();
    files.extend(tls.map(|tls| ("server.tls.certFile".to_owned(), tls.cert_file.as_path(), Purpose::Shown)));
    for store in &config.stores {
        let Kind::Vault(vault) = &store.kind else { continue };
        let setting = |key: &str| format!("store {}: {key}", store.name);
        let shown = vault.client_certificate.as_ref().map(|files| files.cert_file.as_path());
        files.extend(shown.map(|file| (setting("clientCertFile"), file, Purpose::Shown)));
        files.extend(vault.ca_file.as_deref().map(|file| (setting("caFile"), file, Purpose::Authorities)));
    }
    files.into_iter().map(|(setting, file, purpose)| check_file(&setting, file, purpose, now)).collect()
}

fn check_file(setting: &str, file: &Path, purpose: Purpose, now: Timestamp) -> DoctorCheck {
    let name = format!("certificate {setting}");
    let ends = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let ends: Vec<Timestamp> = ends.unwrap_or_default().iter().filter_map(expiry).collect();
    let end = match purpose {
        Purpose::Shown => ends.first(),
        Purpose::Authorities => ends.iter().max(),
    };
    let Some(end) = end else {
        return DoctorCheck::fault(name, "the file holds no certificate in PEM", "mount the certificate at this path");
    };
    let left = end.duration_since(now);
    let detail = format!("valid until {end}");
    if left <= SignedDuration::ZERO {
        DoctorCheck::fault(name, format!("expired on {end}"), "replace the file; it is read again without a restart")
    } else if purpose == Purpose::Shown && left < RENEWED_BEFORE {
        DoctorCheck::fault(name, detail, "less than 7 days are left: see why it was not renewed")
    } else {
        DoctorCheck::good(name, detail)
    }
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

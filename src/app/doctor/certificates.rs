//! Checks the expiry of certificates in files: the server certificate, and for each Vault store the client certificate and the
//! trusted authorities.

use crate::app::tls::expiry;
use crate::config::Config;
use crate::config::stores::Kind;
use crate::wire::doctor::DoctorCheck;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;

/// A presented certificate that has less time left is a fault. cert-manager renews a 90-day certificate when 30 days are left, so
/// its renewal has failed for weeks by then.
const MIN_REMAINING: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What the certificates of a file are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A chain that is presented to peers. The first certificate is checked.
    Presented,
    /// Certificates of trusted authorities. Such a file may contain expired ones, so the one that expires last is checked.
    Authorities,
}

pub fn check(config: &Config, now: Timestamp) -> Vec<DoctorCheck> {
    let tls = config.server.tls.as_ref();
    let mut files = Vec::new();
    files.extend(tls.map(|tls| ("server.tls.certFile".to_owned(), tls.cert_file.as_path(), Purpose::Presented)));
    for store in &config.stores {
        let Kind::Vault(vault) = &store.kind else { continue };
        let setting = |key: &str| format!("store {}: {key}", store.name);
        let client_certificate = vault.client_certificate.as_ref().map(|client| client.cert_file.as_path());
        files.extend(client_certificate.map(|file| (setting("clientCertFile"), file, Purpose::Presented)));
        files.extend(vault.ca_file.as_deref().map(|file| (setting("caFile"), file, Purpose::Authorities)));
    }
    files.into_iter().map(|(setting, file, purpose)| check_file(&setting, file, purpose, now)).collect()
}

fn check_file(setting: &str, file: &Path, purpose: Purpose, now: Timestamp) -> DoctorCheck {
    let name = format!("certificate {setting}");
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let expiry_times: Vec<Timestamp> = certificates.unwrap_or_default().iter().filter_map(expiry).collect();
    let expires_at = match purpose {
        Purpose::Presented => expiry_times.first(),
        Purpose::Authorities => expiry_times.iter().max(),
    };
    let Some(expires_at) = expires_at else {
        let detail = format!("no certificate in PEM can be read from {}", file.display());
        return DoctorCheck::failed(name, detail, "write valid certificates to this file, and let Claviger read it");
    };
    let remaining = expires_at.duration_since(now);
    let detail = format!("valid until {expires_at}");
    if remaining <= SignedDuration::ZERO {
        DoctorCheck::failed(
            name,
            format!("expired on {expires_at}"),
            "replace the file; it is read again without a restart",
        )
    } else if purpose == Purpose::Presented && remaining < MIN_REMAINING {
        DoctorCheck::failed(name, detail, "less than 7 days are left: see why it was not renewed")
    } else {
        DoctorCheck::passed(name, detail)
    }
}

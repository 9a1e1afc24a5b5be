//! Verification of server certificates.

use super::crypto_provider::provider;
use super::error::TrustError;
use super::file_value::FileValue;
use super::roots::Roots;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// A verifier, by the source of its root certificates.
#[derive(Debug)]
pub(super) enum Verifier {
    /// A file, read again when it changes.
    File(FileValue<Roots>),
    /// The verifier of the operating system.
    System(Arc<rustls_platform_verifier::Verifier>),
}

impl Verifier {
    /// Uses the root certificates of the operating system.
    pub(super) fn system() -> Result<Self, TrustError> {
        let system = rustls_platform_verifier::Verifier::new(provider()).map_err(|_| TrustError::SystemRoots)?;
        Ok(Self::System(Arc::new(system)))
    }

    /// Reads the file again, if the certificates come from a file. Fails if the file is invalid.
    pub(super) fn reload(&self) -> Result<(), ()> {
        if let Self::File(file) = self { file.reload() } else { Ok(()) }
    }

    /// Calls a function with the verifier of the library.
    fn with_library_verifier<T>(&self, act: impl FnOnce(&dyn ServerCertVerifier) -> T) -> T {
        match self {
            Self::File(file) => act(&*file.current().chain_verifier),
            Self::System(system) => act(&**system),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Self::File(file) = self
            && file.current().contains(end_entity)
        {
            return verify_pinned(end_entity, server_name, now);
        }
        self.with_library_verifier(|verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.with_library_verifier(|verifier| verifier.verify_tls12_signature(message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.with_library_verifier(|verifier| verifier.verify_tls13_signature(message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.with_library_verifier(|verifier| verifier.supported_verify_schemes())
    }
}

/// Verifies the names and dates of a certificate that is itself trusted. The handshake proves that the server has its key.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let unreadable = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    let validity = parsed.validity();
    let now = i64::try_from(now.as_secs()).map_err(|_| unreadable())?;
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    Ok(ServerCertVerified::assertion())
}

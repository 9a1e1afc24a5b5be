//! The word for a connection that fails, found in the causes of an error. Pure.
//!
//! Texts of the errors are not repeated: they name addresses, and an address may be a secret.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::error::Error;
use std::io::{self, ErrorKind};

/// Why a connection does not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectFailure {
    /// No process listens at this address.
    Refused,
    /// The host has no address.
    UnknownHost,
    /// No CA that is trusted has signed the certificate.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is one of a CA, and is not in the CA file itself.
    CaAsEndEntity,
    /// The certificate is not acceptable for another reason: revoked, unreadable, of a forbidden algorithm or purpose.
    BadCertificate,
    /// The server wants a client certificate, and got none or another one.
    ClientCertificateRequired,
    /// What answers does not speak TLS, or no version and no algorithm that is spoken here.
    NoTls,
}

impl ConnectFailure {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::UnknownHost => "unknown_host",
            Self::UnknownIssuer => "certificate_unknown_issuer",
            Self::WrongName => "certificate_wrong_name",
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::CaAsEndEntity => "certificate_of_ca",
            Self::BadCertificate => "certificate_invalid",
            Self::ClientCertificateRequired => "client_certificate_required",
            Self::NoTls => "no_tls",
        }
    }

    /// The same for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Refused => "the connection is refused: no process listens there",
            Self::UnknownHost => "the host name has no address",
            Self::UnknownIssuer => {
                "the server's certificate has an unknown issuer: no CA that is trusted here has signed it"
            }
            Self::WrongName => "the server's certificate is not valid for this host name",
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::CaAsEndEntity => {
                "the server's certificate is a CA certificate used as end entity: put this very certificate into the CA \
                 file, or issue one with CA:FALSE"
            }
            Self::BadCertificate => "the server's certificate is not acceptable",
            Self::ClientCertificateRequired => {
                "the server requires a client certificate, or refuses the one it was shown"
            }
            Self::NoTls => "no TLS handshake succeeds: the server speaks no TLS, or no version and algorithm in common",
        }
    }

    /// Whether waiting may help: a refused connection may be a restart, a certificate is a matter of configuration.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Refused | Self::UnknownHost)
    }

    /// The word that the causes of an error have; none where they say nothing of the connection.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<TlsError>() {
                return of_tls(error);
            }
            let error = cause.downcast_ref::<io::Error>()?;
            match error.kind() {
                ErrorKind::ConnectionRefused => Some(Self::Refused),
                // The standard library's words for every fault of `getaddrinfo`, which has no kind of its own.
                _ if error.to_string().starts_with("failed to lookup address information") => Some(Self::UnknownHost),
                _ => None,
            }
        })
    }
}

/// Whether the other side ended the connection, by an alert or without one.
pub(super) fn was_ended(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        if let Some(TlsError::AlertReceived(_)) = cause.downcast_ref::<TlsError>() {
            return true;
        }
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof))
    })
}

fn of_tls(error: &TlsError) -> Option<ConnectFailure> {
    use ConnectFailure as Word;
    Some(match error {
        TlsError::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Word::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Word::WrongName,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Word::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Word::NotYetValid,
            // webpki's own error, which rustls has no variant for.
            CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity" => Word::CaAsEndEntity,
            _ => Word::BadCertificate,
        },
        TlsError::NoCertificatesPresented => Word::BadCertificate,
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Word::ClientCertificateRequired,
        TlsError::AlertReceived(_)
        | TlsError::InvalidMessage(_)
        | TlsError::PeerIncompatible(_)
        | TlsError::PeerMisbehaved(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => Word::NoTls,
        _ => return None,
    })
}

/// An error and its causes. An `io::Error` does not name the error inside it as its cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

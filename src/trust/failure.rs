//! The cause of a failed connection, found in an error's source chain. Pure.
//!
//! Error texts are not repeated: they name addresses, and an address may be a secret.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::error::Error;
use std::io::{self, ErrorKind};

/// Why a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectFailure {
    /// No process listens on this address.
    Refused,
    /// The host name cannot be resolved.
    UnknownHost,
    /// The certificate is not signed by a trusted CA.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is a CA certificate that is not itself in the CA file.
    CaAsEndEntity,
    /// The certificate is invalid for another reason: revoked, malformed, or with a forbidden algorithm or
    /// purpose.
    BadCertificate,
    /// The server requires a client certificate, and got none or rejected it.
    ClientCertificateRequired,
    /// The peer does not speak TLS, or shares no TLS version or algorithm with this client.
    NoTls,
}

impl ConnectFailure {
    /// The value of the log field.
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

    /// A sentence for people.
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

    /// Whether a retry may succeed: a refused connection may be a restart, a certificate error needs a
    /// configuration change.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Refused | Self::UnknownHost)
    }

    /// The cause named by an error or its sources; `None` if they say nothing about the connection.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<TlsError>() {
                return of_tls(error);
            }
            let error = cause.downcast_ref::<io::Error>()?;
            match error.kind() {
                ErrorKind::ConnectionRefused => Some(Self::Refused),
                // The standard library's text for every error of `getaddrinfo`, which has no kind.
                _ if error.to_string().starts_with("failed to lookup address information") => Some(Self::UnknownHost),
                _ => None,
            }
        })
    }
}

/// Whether the peer ended the connection, with or without an alert.
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
            // webpki's own error, for which rustls has no variant.
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

/// An error and its sources. An `io::Error` does not return the error inside it as its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

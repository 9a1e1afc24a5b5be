//! The cause of a failed connection, determined from the source chain of an error.
//!
//! The texts of errors are never shown, because they contain addresses, which may be secret. Two texts are compared, where an
//! error has no kind.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::error::Error;
use std::io::{self, ErrorKind};

closed_enum! {
    /// Why a connection failed.
    pub enum ConnectFailure {
        /// No process listens on this address.
        Refused => "connection_refused",
        /// The host name cannot be resolved.
        UnknownHost => "unknown_host",
        /// The certificate is not signed by a trusted CA.
        UnknownIssuer => "certificate_unknown_issuer",
        /// The certificate is not valid for the host name.
        WrongName => "certificate_wrong_name",
        /// The certificate has expired.
        Expired => "certificate_expired",
        /// The certificate is not valid yet.
        NotYetValid => "certificate_not_yet_valid",
        /// The server uses a CA certificate as its own. It would be accepted only if the CA file contained it.
        CaAsEndEntity => "certificate_of_ca",
        /// The certificate is invalid for another reason: revoked, malformed, or with a forbidden algorithm or
        /// purpose.
        BadCertificate => "certificate_invalid",
        /// The server requires a client certificate, and received none or rejected it.
        ClientCertificateRequired => "client_certificate_required",
        /// The TLS handshake failed for another reason: for example, the peer does not use TLS, or supports no TLS version or
        /// algorithm of this client.
        HandshakeFailed => "no_tls",
    }
}

impl ConnectFailure {
    /// A description for error messages.
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
            Self::ClientCertificateRequired => "the server requires a client certificate, or refuses the received one",
            Self::HandshakeFailed => {
                "the TLS handshake failed: the server does not speak TLS, or has no version or algorithm in common"
            }
        }
    }

    /// Whether a retry may succeed: the server may be restarting. A certificate error needs a change of the configuration.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Refused | Self::UnknownHost)
    }

    /// Why a connection failed, by the error and its sources. `None` for an error of another kind.
    #[must_use]
    pub fn from_error(error: &(dyn Error + 'static)) -> Option<Self> {
        source_chain(error).find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<TlsError>() {
                return from_tls_error(error);
            }
            let error = cause.downcast_ref::<io::Error>()?;
            match error.kind() {
                ErrorKind::ConnectionRefused => Some(Self::Refused),
                // Errors of `getaddrinfo` have no `ErrorKind`, only this text of the standard library.
                _ if error.to_string().starts_with("failed to lookup address information") => Some(Self::UnknownHost),
                _ => None,
            }
        })
    }
}

/// Whether the peer closed the connection, with or without a TLS alert.
pub(super) fn is_closed_by_peer(error: &(dyn Error + 'static)) -> bool {
    source_chain(error).any(|cause| {
        if let Some(TlsError::AlertReceived(_)) = cause.downcast_ref::<TlsError>() {
            return true;
        }
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof))
    })
}

fn from_tls_error(error: &TlsError) -> Option<ConnectFailure> {
    use ConnectFailure as Failure;
    Some(match error {
        TlsError::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Failure::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Failure::WrongName,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Failure::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Failure::NotYetValid,
            // An error of webpki for which rustls has no variant.
            CertificateError::Other(other) if format!("{:?}", other.0) == "CaUsedAsEndEntity" => Failure::CaAsEndEntity,
            _ => Failure::BadCertificate,
        },
        TlsError::NoCertificatesPresented => Failure::BadCertificate,
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Failure::ClientCertificateRequired,
        TlsError::AlertReceived(_)
        | TlsError::InvalidMessage(_)
        | TlsError::PeerIncompatible(_)
        | TlsError::PeerMisbehaved(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => Failure::HandshakeFailed,
        _ => return None,
    })
}

/// An error and its sources. The error inside an `io::Error` is included, which `source` does not return.
fn source_chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

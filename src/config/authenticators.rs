//! `authenticators`: who vouches for callers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One checked entry.
#[derive(Debug, Clone)]
pub struct Authenticator {
    /// Its name: the issuer of every caller it vouches for.
    pub name: Arc<str>,
    /// How it works.
    pub kind: Kind,
}

/// What vouches.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A Kubernetes API server, by TokenReview.
    Kubernetes(Kubernetes),
    /// An OIDC issuer, by the signature of its tokens.
    Oidc(Oidc),
}

/// TokenReview against one cluster.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// The audience that tokens must be made for; never empty.
    pub audience: String,
    /// A kubeconfig; in-cluster without.
    pub kubeconfig: Option<PathBuf>,
    /// The longest that a positive answer is believed.
    pub cache_ttl: Duration,
}

/// JWTs of one issuer.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The audience that tokens must be made for; never empty.
    pub audience: String,
    /// A JWKS file (RFC 7517).
    pub jwks_file: PathBuf,
    /// The signature algorithms that are taken (RFC 7518 names); never empty, never symmetric.
    pub algorithms: Vec<Algorithm>,
}

/// An asymmetric JWS algorithm (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

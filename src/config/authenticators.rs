//! `authenticators`: how callers are authenticated.

use super::address;
use super::check::{Check, MINUTE, NOTHING};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One checked entry.
#[derive(Debug, Clone)]
pub struct Authenticator {
    /// Its name, which is also the issuer of every caller it authenticates.
    pub name: Arc<str>,
    /// Its kind and settings.
    pub kind: Kind,
}

/// A kind of authenticator.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `TokenReview` at a Kubernetes API server.
    Kubernetes(Kubernetes),
    /// Signature check of tokens of an OIDC issuer.
    Oidc(Oidc),
}

/// `TokenReview` against one cluster.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// The required audience of tokens; never empty.
    pub audience: String,
    /// The audience that admits tokens bound to no pod. Differs from `audience`.
    pub unbound_audience: Option<String>,
    /// The `iss` of the cluster's tokens. Required with more than one cluster.
    pub issuer: Option<String>,
    /// Path of a kubeconfig; the in-cluster configuration without.
    pub kubeconfig: Option<PathBuf>,
    /// The maximum time for which a positive answer is cached.
    pub cache_ttl: Duration,
}

/// JWTs of one issuer.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The required audience of tokens; never empty.
    pub audience: String,
    /// A JWKS file (RFC 7517). Without it, the keys are fetched from the issuer.
    pub jwks_file: Option<PathBuf>,
    /// The accepted signature algorithms (RFC 7518 names); never empty, never symmetric.
    pub algorithms: Vec<Algorithm>,
    /// PEM root certificates for the issuer's server certificate; the system's without.
    pub ca_file: Option<PathBuf>,
    /// A forward proxy. Proxies from the environment are not used.
    pub proxy_url: Option<String>,
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

impl Algorithm {
    /// All supported algorithms.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in RFC 7518 and RFC 8037, as tokens and the configuration write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAuthenticator {
    pub(super) name: Option<String>,
    pub(super) kubernetes: Option<RawKubernetes>,
    pub(super) oidc: Option<RawOidc>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawKubernetes {
    audience: Option<String>,
    unbound_audience: Option<String>,
    issuer: Option<String>,
    kubeconfig: Option<String>,
    cache_ttl: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawOidc {
    issuer: Option<String>,
    audience: Option<String>,
    jwks_file: Option<String>,
    algorithms: Option<Vec<Option<String>>>,
    ca_file: Option<String>,
    proxy_url: Option<String>,
}

/// Checks the whole list.
pub(super) fn check(raw: Vec<Option<RawAuthenticator>>, check: &mut Check) -> Vec<Authenticator> {
    if raw.is_empty() {
        check.fault("/authenticators", "must have at least one entry: nobody could be known");
    }
    let clusters = raw.iter().flatten().filter(|raw| raw.kubernetes.is_some()).count();
    let mut names = Vec::new();
    let mut checked = Vec::new();
    let mut reviewers: Vec<Kubernetes> = Vec::new();
    let mut oidc_issuers = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = format!("/authenticators/{index}");
        let Some(raw) = check.required(&at, raw) else { continue };
        let name = check.name(&format!("{at}/name"), raw.name, &names);
        names.extend(name.clone());
        let kind = match (raw.kubernetes, raw.oidc) {
            (Some(kubernetes), None) => {
                let at = format!("{at}/kubernetes");
                let kubernetes = kubernetes.check(&at, clusters > 1, check);
                if kubernetes.as_ref().is_some_and(|one| reviewers.iter().any(|other| one.takes_tokens_of(other))) {
                    check.fault(
                        format!("{at}/issuer"),
                        "is the issuer of another cluster too, for the same audience: either API server would be shown the \
                         other's tokens. Give each cluster an issuer (--service-account-issuer) or an audience of its own",
                    );
                }
                reviewers.extend(kubernetes.clone());
                kubernetes.map(Kind::Kubernetes)
            }
            (None, Some(oidc)) => {
                let at = format!("{at}/oidc");
                let oidc = oidc.check(&at, check);
                oidc_issuers.extend(oidc.as_ref().map(|oidc| (format!("{at}/issuer"), oidc.issuer.clone())));
                oidc.map(Kind::Oidc)
            }
            _ => {
                check.fault(&at, "must have exactly one of kubernetes, oidc");
                None
            }
        };
        checked.extend(name.zip(kind).map(|(name, kind)| Authenticator { name, kind }));
    }
    for (at, issuer) in oidc_issuers {
        if reviewers.iter().any(|cluster| cluster.issuer.as_ref() == Some(&issuer)) {
            check.fault(at, OF_CLUSTER);
        }
    }
    checked
}

/// What is said of an `oidc` entry whose issuer is that of a configured cluster.
pub const OF_CLUSTER: &str = "is the issuer of a cluster that has a kubernetes entry: its pods' tokens would be accepted for their \
     signature alone, past TokenReview, attestation and deny policies. Remove this entry; for tokens that are bound to no pod set \
     kubernetes.unboundAudience";

impl RawKubernetes {
    fn check(self, at: &str, needs_issuer: bool, check: &mut Check) -> Option<Kubernetes> {
        let audience_at = format!("{at}/audience");
        let audience = check.text(&audience_at, self.audience);
        let issuer_at = format!("{at}/issuer");
        if needs_issuer && self.issuer.is_none() {
            check.fault(
                &issuer_at,
                "must be set where there is more than one kubernetes authenticator, so that no API server is shown the tokens \
                 of another cluster: write the issuer that `kubectl get --raw /.well-known/openid-configuration` shows",
            );
        }
        let is_set = self.issuer.is_some();
        // Compared with `iss` byte by byte, so a trailing slash stays.
        let issuer = if is_set { check.text(&issuer_at, self.issuer) } else { None };
        if audience.as_deref().is_some_and(|audience| is_of_api_server(audience) || issuer.as_deref() == Some(audience))
        {
            check.fault(audience_at, OF_API_SERVER);
        }
        let unbound_at = format!("{at}/unboundAudience");
        let is_unbound_set = self.unbound_audience.is_some();
        let unbound_audience = if is_unbound_set { check.text(&unbound_at, self.unbound_audience) } else { None };
        if let Some(unbound) = &unbound_audience {
            if is_of_api_server(unbound) || issuer.as_ref() == Some(unbound) {
                check.fault(unbound_at, OF_API_SERVER);
            } else if audience.as_ref() == Some(unbound) {
                check.fault(
                    unbound_at,
                    "must differ from audience, so that a token says that it is meant for a caller without a pod: write \
                     another one, such as claviger-eso",
                );
            }
        }
        let kubeconfig = check.file_if_set(&format!("{at}/kubeconfig"), self.kubeconfig);
        let cache_ttl = check.duration(&format!("{at}/cacheTtl"), self.cache_ttl, NOTHING..=MINUTE * 5);
        if is_set != issuer.is_some() || is_unbound_set != unbound_audience.is_some() {
            return None;
        }
        Some(Kubernetes { audience: audience?, unbound_audience, issuer, kubeconfig, cache_ttl: cache_ttl? })
    }
}

impl Kubernetes {
    /// Whether a token for one of two clusters would be accepted by the other.
    fn takes_tokens_of(&self, other: &Self) -> bool {
        self.kubeconfig != other.kubeconfig
            && self.issuer.is_some()
            && self.issuer == other.issuer
            && self.audiences().any(|audience| other.audiences().any(|one| one == audience))
    }

    fn audiences(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.audience).chain(self.unbound_audience.as_deref())
    }
}

/// Warning for an audience that is the API server's own.
pub const OF_API_SERVER: &str = "is the API server's own audience: every pod has such a token, and whoever is shown one can use it at \
     the API server. Write an audience of Claviger's own, such as claviger";

/// Whether an audience or an issuer is a default of API servers: a name of the API server inside its cluster.
pub(super) fn is_of_api_server(audience: &str) -> bool {
    let rest = audience.split_once("://").map_or(audience, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    matches!(host, "kubernetes.default" | "kubernetes.svc.default") || host.starts_with("kubernetes.default.svc")
}

impl RawOidc {
    fn check(self, at: &str, check: &mut Check) -> Option<Oidc> {
        let issuer_at = format!("{at}/issuer");
        // Compared with `iss` byte by byte, so a trailing slash stays.
        let issuer =
            check.required(&issuer_at, self.issuer).and_then(|issuer| check.noted(&issuer_at, address::check(issuer)));
        let audience_at = format!("{at}/audience");
        let audience = check.text(&audience_at, self.audience);
        if audience.as_deref().is_some_and(is_of_api_server) {
            check.fault(audience_at, OF_API_SERVER);
        }
        let jwks_file = check.file_if_set(&format!("{at}/jwksFile"), self.jwks_file);
        let algorithms = algorithms(&format!("{at}/algorithms"), self.algorithms.unwrap_or_default(), check);
        let ca_file = check.file_if_set(&format!("{at}/caFile"), self.ca_file);
        let proxy_url =
            self.proxy_url.and_then(|url| check.noted(&format!("{at}/proxyUrl"), address::check_server(url)));
        Some(Oidc { issuer: issuer?, audience: audience?, jwks_file, algorithms, ca_file, proxy_url })
    }
}

fn algorithms(at: &str, raw: Vec<Option<String>>, check: &mut Check) -> Vec<Algorithm> {
    if raw.is_empty() {
        check.fault(at, "must have at least one entry");
    }
    let mut checked = Vec::new();
    for (index, name) in raw.into_iter().enumerate() {
        let at = format!("{at}/{index}");
        let Some(name) = check.required(&at, name) else { continue };
        checked.extend(check.noted(&at, algorithm(&name)));
    }
    checked
}

fn algorithm(name: &str) -> Result<Algorithm, &'static str> {
    if name.eq_ignore_ascii_case("none") {
        return Err("would take tokens that nobody has signed");
    }
    if ["HS256", "HS384", "HS512"].iter().any(|symmetric| name.eq_ignore_ascii_case(symmetric)) {
        return Err("is symmetric: whoever can check a token could make one");
    }
    Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.as_str() == name)
        .ok_or("must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA")
}

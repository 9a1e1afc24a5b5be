//! `authenticators`: how callers are authenticated.

use super::address;
use super::fault_collector::{FaultCollector, MINUTE, ZERO};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A validated entry.
#[derive(Debug, Clone)]
pub struct Authenticator {
    /// The name, which is also [`Caller::issuer`](crate::model::caller::Caller::issuer) of its callers.
    pub name: Arc<str>,
    /// The kind with its settings.
    pub kind: Kind,
}

/// A kind of authenticator.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `TokenReview` at a Kubernetes API server.
    Kubernetes(Kubernetes),
    /// Verification of the signatures of tokens of an OIDC issuer.
    Oidc(Oidc),
}

/// The settings for the `TokenReview` of one cluster.
#[derive(Debug, Clone)]
pub struct Kubernetes {
    /// The required audience of tokens; never empty.
    pub audience: String,
    /// The audience of tokens that are accepted without being bound to a pod. Differs from `audience`.
    pub unbound_audience: Option<String>,
    /// The `iss` of the cluster's tokens. Required with more than one cluster.
    pub issuer: Option<String>,
    /// The kubeconfig file. `None`: the in-cluster configuration.
    pub kubeconfig: Option<PathBuf>,
    /// How long an accepted token is cached, at most.
    pub cache_ttl: Duration,
}

/// The settings for the JWTs of one issuer.
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
    /// PEM root certificates for the server certificate of the issuer. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// A forward proxy. Proxy variables of the environment are ignored.
    pub proxy_url: Option<String>,
}

closed_enum! {
    /// An asymmetric JWS algorithm (RFC 7518, RFC 8037).
    pub enum Algorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 => "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 => "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 => "RS512",
        /// RSASSA-PSS with SHA-256.
        Ps256 => "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 => "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 => "PS512",
        /// ECDSA on P-256.
        Es256 => "ES256",
        /// ECDSA on P-384.
        Es384 => "ES384",
        /// Ed25519.
        EdDsa => "EdDSA",
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

/// Validates the list.
pub(super) fn validate(raw: Vec<Option<RawAuthenticator>>, faults: &mut FaultCollector) -> Vec<Authenticator> {
    if raw.is_empty() {
        faults.record("/authenticators", "must have at least one entry: without one, no caller can be authenticated");
    }
    let clusters = raw.iter().flatten().filter(|raw| raw.kubernetes.is_some()).count();
    let mut names = Vec::new();
    let mut checked = Vec::new();
    let mut reviewers: Vec<Kubernetes> = Vec::new();
    let mut oidc_issuers = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let pointer = format!("/authenticators/{index}");
        let Some(raw) = faults.require(&pointer, raw) else { continue };
        let name = faults.require_name(&format!("{pointer}/name"), raw.name, &names);
        names.extend(name.clone());
        let kind = match (raw.kubernetes, raw.oidc) {
            (Some(kubernetes), None) => {
                let pointer = format!("{pointer}/kubernetes");
                let kubernetes = kubernetes.validate(&pointer, clusters > 1, faults);
                if kubernetes.as_ref().is_some_and(|one| reviewers.iter().any(|other| one.accepts_tokens_of(other))) {
                    faults.record(
                        format!("{pointer}/issuer"),
                        "is also the issuer of another cluster with the same audience, so each API server would receive the tokens of the \
                         other. Give each cluster a different issuer (--service-account-issuer) or a different audience",
                    );
                }
                reviewers.extend(kubernetes.clone());
                kubernetes.map(Kind::Kubernetes)
            }
            (None, Some(oidc)) => {
                let pointer = format!("{pointer}/oidc");
                let oidc = oidc.validate(&pointer, faults);
                oidc_issuers.extend(oidc.as_ref().map(|oidc| (format!("{pointer}/issuer"), oidc.issuer.clone())));
                oidc.map(Kind::Oidc)
            }
            _ => faults.record_none(&pointer, "must have exactly one of kubernetes, oidc"),
        };
        checked.extend(name.zip(kind).map(|(name, kind)| Authenticator { name, kind }));
    }
    for (pointer, issuer) in oidc_issuers {
        if reviewers.iter().any(|cluster| cluster.issuer.as_ref() == Some(&issuer)) {
            faults.record(pointer, CLUSTER_ISSUER_FAULT);
        }
    }
    checked
}

/// The fault of an `oidc` entry whose issuer is that of a configured cluster.
pub const CLUSTER_ISSUER_FAULT: &str = "is the issuer of a cluster that has a kubernetes entry: the tokens of its pods would be \
     verified only by their signature, without TokenReview, attestation and deny policies. Remove this entry; for tokens that are \
     not bound to a pod, set kubernetes.unboundAudience";

impl RawKubernetes {
    fn validate(self, pointer: &str, needs_issuer: bool, faults: &mut FaultCollector) -> Option<Kubernetes> {
        let audience_pointer = format!("{pointer}/audience");
        let audience = faults.require_text(&audience_pointer, self.audience);
        let issuer_pointer = format!("{pointer}/issuer");
        if needs_issuer && self.issuer.is_none() {
            faults.record(
                &issuer_pointer,
                "must be set where there is more than one kubernetes authenticator, so that no API server receives the tokens \
                 of another cluster: write the issuer that `kubectl get --raw /.well-known/openid-configuration` shows",
            );
        }
        let is_set = self.issuer.is_some();
        // Not normalised, because it is compared with `iss` byte by byte.
        let issuer = if is_set { faults.require_text(&issuer_pointer, self.issuer) } else { None };
        if audience
            .as_deref()
            .is_some_and(|audience| is_api_server_name(audience) || issuer.as_deref() == Some(audience))
        {
            faults.record(audience_pointer, API_SERVER_AUDIENCE_FAULT);
        }
        let unbound_pointer = format!("{pointer}/unboundAudience");
        let is_unbound_set = self.unbound_audience.is_some();
        let unbound_audience =
            if is_unbound_set { faults.require_text(&unbound_pointer, self.unbound_audience) } else { None };
        if let Some(unbound) = &unbound_audience {
            if is_api_server_name(unbound) || issuer.as_ref() == Some(unbound) {
                faults.record(unbound_pointer, API_SERVER_AUDIENCE_FAULT);
            } else if audience.as_ref() == Some(unbound) {
                faults.record(
                    unbound_pointer,
                    "must differ from audience, so that the audience of a token shows that it is for a caller without a pod: \
                     write another one, such as claviger-eso",
                );
            }
        }
        let kubeconfig = faults.optional_file(&format!("{pointer}/kubeconfig"), self.kubeconfig);
        let cache_ttl = faults.require_duration(&format!("{pointer}/cacheTtl"), self.cache_ttl, ZERO..=MINUTE * 5);
        // A value that is set but invalid.
        if is_set != issuer.is_some() || is_unbound_set != unbound_audience.is_some() {
            return None;
        }
        Some(Kubernetes { audience: audience?, unbound_audience, issuer, kubeconfig, cache_ttl: cache_ttl? })
    }
}

impl Kubernetes {
    /// Whether this cluster would accept a token of the other cluster.
    fn accepts_tokens_of(&self, other: &Self) -> bool {
        self.kubeconfig != other.kubeconfig
            && self.issuer.is_some()
            && self.issuer == other.issuer
            && self.audiences().any(|audience| other.audiences().any(|one| one == audience))
    }

    fn audiences(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.audience).chain(self.unbound_audience.as_deref())
    }
}

/// The fault of an audience that the API server itself accepts.
pub const API_SERVER_AUDIENCE_FAULT: &str = "is the API server's own audience: every pod has such a token, and anyone who \
     receives one can use it at the API server. Write an audience that only Claviger has, such as claviger";

/// Whether an audience or an issuer is a default of API servers: the in-cluster name of the API server.
pub(super) fn is_api_server_name(audience: &str) -> bool {
    let rest = audience.split_once("://").map_or(audience, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    matches!(host, "kubernetes.default" | "kubernetes.svc.default") || host.starts_with("kubernetes.default.svc")
}

impl RawOidc {
    fn validate(self, pointer: &str, faults: &mut FaultCollector) -> Option<Oidc> {
        // Not normalised, because it is compared with `iss` byte by byte.
        let issuer = faults.require_parsed(&format!("{pointer}/issuer"), self.issuer, address::validate);
        let audience_pointer = format!("{pointer}/audience");
        let audience = faults.require_text(&audience_pointer, self.audience);
        if audience.as_deref().is_some_and(is_api_server_name) {
            faults.record(audience_pointer, API_SERVER_AUDIENCE_FAULT);
        }
        let jwks_file = faults.optional_file(&format!("{pointer}/jwksFile"), self.jwks_file);
        let algorithms_pointer = format!("{pointer}/algorithms");
        faults.require_entries(&algorithms_pointer, self.algorithms.as_ref(), "must have at least one entry");
        let algorithms = faults.parse_each(&algorithms_pointer, self.algorithms, parse_algorithm);
        let ca_file = faults.optional_file(&format!("{pointer}/caFile"), self.ca_file);
        let proxy_url = address::validate_optional(&format!("{pointer}/proxyUrl"), self.proxy_url, faults);
        Some(Oidc { issuer: issuer?, audience: audience?, jwks_file, algorithms, ca_file, proxy_url })
    }
}

fn parse_algorithm(name: &str) -> Result<Algorithm, &'static str> {
    if name.eq_ignore_ascii_case("none") {
        return Err("would accept tokens without a signature");
    }
    if ["HS256", "HS384", "HS512"].iter().any(|symmetric| name.eq_ignore_ascii_case(symmetric)) {
        return Err("is symmetric: anyone who can verify a token could create one");
    }
    Algorithm::from_name(name).ok_or("must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA")
}

//! What a policy is checked against when it is written: the names and limits of this server.

use super::ceiling::Ceiling;
use crate::config::{Config, authenticators::Kind};
use crate::wire::policy::PolicyManifest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The configuration, as far as policies are concerned.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The names of the configured stores.
    pub stores: BTreeSet<Arc<str>>,
    /// The configured authenticators.
    pub authenticators: BTreeMap<Arc<str>, AuthenticatorKind>,
    /// The longest life a policy may give a ticket.
    pub max_ttl: Duration,
    /// What no policy may leave.
    pub ceiling: Ceiling,
}

/// What an authenticator vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorKind {
    /// Pods.
    Kubernetes,
    /// Bearers of OIDC tokens.
    Oidc,
}

impl Bounds {
    /// The bounds that a configuration sets.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let kind = |kind: &Kind| match kind {
            Kind::Kubernetes(_) => AuthenticatorKind::Kubernetes,
            Kind::Oidc(_) => AuthenticatorKind::Oidc,
        };
        Self {
            stores: config.stores.iter().map(|store| store.name.clone()).collect(),
            authenticators: config.authenticators.iter().map(|one| (one.name.clone(), kind(&one.kind))).collect(),
            max_ttl: config.tickets.max_ttl,
            ceiling: Ceiling::new(&config.policies.ceiling),
        }
    }

    /// Bounds for policies whose server is not known: every store and every issuer that they name is there, and nothing
    /// is too long or too high.
    #[must_use]
    pub fn around(manifests: &[PolicyManifest]) -> Self {
        let specs = || manifests.iter().filter_map(|manifest| manifest.spec.as_ref());
        let stores = specs().flat_map(|spec| &spec.secrets).flatten().filter_map(|secret| secret.store.as_deref());
        let bearers = specs().flat_map(|spec| &spec.subjects).flatten().filter_map(|subject| subject.oidc.as_ref());
        let issuers = bearers.filter_map(|bearers| bearers.issuer.as_deref());
        Self {
            stores: stores.map(Arc::from).collect(),
            authenticators: issuers.map(|issuer| (issuer.into(), AuthenticatorKind::Oidc)).collect(),
            max_ttl: Duration::MAX,
            ceiling: Ceiling::default(),
        }
    }
}

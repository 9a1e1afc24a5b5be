//! The server's names and limits that policies are checked against.

use super::ceiling::Ceiling;
use super::tenants::Tenants;
use crate::wire::policy::PolicyManifest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The part of the configuration that policies are checked against.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The names of the configured stores.
    pub stores: BTreeSet<Arc<str>>,
    /// The configured authenticators.
    pub authenticators: BTreeMap<Arc<str>, AuthenticatorKind>,
    /// Maximum lifetime that a policy may set for a ticket.
    pub max_ttl: Duration,
    /// The paths that policies may grant.
    pub ceiling: Ceiling,
    /// The outermost paths that the policies of a namespace may grant.
    pub tenants: Tenants,
}

/// The kind of an authenticator's callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorKind {
    /// Pods.
    Kubernetes,
    /// Holders of OIDC tokens.
    Oidc,
}

impl Bounds {
    /// The bounds of the policies of a namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> Self {
        Self { ceiling: self.tenants.ceiling_of(namespace, &self.ceiling), ..self.clone() }
    }

    /// Bounds for policies without a server: every store and issuer that they name exists, and there are no limits.
    #[must_use]
    pub fn permissive(manifests: &[PolicyManifest]) -> Self {
        let specs = || manifests.iter().filter_map(|manifest| manifest.spec.as_ref());
        let stores = specs().flat_map(|spec| &spec.secrets).flatten().filter_map(|secret| secret.store.as_deref());
        let bearers = specs().flat_map(|spec| &spec.subjects).flatten().filter_map(|subject| subject.oidc.as_ref());
        let issuers = bearers.filter_map(|bearers| bearers.issuer.as_deref());
        Self {
            stores: stores.map(Arc::from).collect(),
            authenticators: issuers.map(|issuer| (issuer.into(), AuthenticatorKind::Oidc)).collect(),
            max_ttl: Duration::MAX,
            ceiling: Ceiling::default(),
            tenants: Tenants::unbounded(),
        }
    }
}

//! The part of the server's configuration that policies are checked against.

use super::ceiling::Ceiling;
use super::tenants::Tenants;
use crate::wire::policy::PolicyManifest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The names and limits that policies are checked against.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The names of the configured stores.
    pub stores: BTreeSet<Arc<str>>,
    /// The configured authenticators.
    pub authenticators: BTreeMap<Arc<str>, AuthenticatorKind>,
    /// Maximum ticket lifetime that a policy may set.
    pub max_ttl: Duration,
    /// The paths that policies may grant.
    pub ceiling: Ceiling,
    /// The paths that the policies of each namespace may grant.
    pub tenants: Tenants,
}

/// The kind of callers that an authenticator authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorKind {
    /// Pods and `ServiceAccounts`.
    Kubernetes,
    /// Callers with OIDC tokens.
    Oidc,
}

impl Bounds {
    /// These bounds for the policies of a namespace: the ceiling is limited further, to what `tenants` permits the namespace.
    pub(super) fn for_namespace(&self, namespace: &str) -> Self {
        Self { ceiling: self.tenants.namespace_ceiling(namespace, &self.ceiling), ..self.clone() }
    }

    /// Bounds for checking policies without a server: all stores and issuers that `manifests` name count as configured, and there
    /// are no limits.
    #[must_use]
    pub fn permissive(manifests: &[PolicyManifest]) -> Self {
        let specs = || manifests.iter().filter_map(|manifest| manifest.spec.as_ref());
        let stores = specs().flat_map(|spec| &spec.secrets).flatten().filter_map(|secret| secret.store.as_deref());
        let oidc_subjects =
            specs().flat_map(|spec| &spec.subjects).flatten().filter_map(|subject| subject.oidc.as_ref());
        let issuers = oidc_subjects.filter_map(|subject| subject.issuer.as_deref());
        Self {
            stores: stores.map(Arc::from).collect(),
            authenticators: issuers.map(|issuer| (issuer.into(), AuthenticatorKind::Oidc)).collect(),
            max_ttl: Duration::MAX,
            ceiling: Ceiling::default(),
            tenants: Tenants::unbounded(),
        }
    }
}
